//! The node agent: runs the pods that the scheduler gave to this machine.
//!
//! [`run`] registers the node, renews its lease, and drives each pod one idempotent step at a time:
//! a pure function looks at the pod, at what the runtime has, and at what the agent remembers, and
//! answers what to do next (`lifecycle::plan`). What the agent must know after a crash is kept with the
//! containers themselves, so that a restarted agent adopts them.

mod admission;
mod agent;
mod cgroup;
mod config;
mod container;
mod error;
mod hooks;
mod lifecycle;
mod logs;
mod node_group;
mod patch;
mod pod;
mod pressure;
mod probes;
mod registration;
mod server;
mod sources;
mod usage;
mod volumes;
mod worker;

pub use agent::run;
pub use config::{Capacity, CgroupConfig, Config, EvictionConfig, LogRotation, MemoryVolumes, ServerConfig};
pub use error::Error;
pub use lifecycle::labels::POD_NAME;
pub use pressure::{BadThresholds, Thresholds};

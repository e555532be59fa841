//! The node agent: runs the pods that the scheduler gave to this machine.
//!
//! [`run`] registers the node, renews its lease, and drives each pod one idempotent step at a time:
//! a pure function looks at the pod, at what the runtime has, and at what the agent remembers, and
//! answers what to do next ([`lifecycle`]). What the agent must know after a crash is kept with the
//! containers themselves, so that a restarted agent adopts them.

mod config;
mod error;
mod pod;
mod registration;

use portolan_base::Shutdown;

pub use config::{Capacity, CgroupConfig, Config, LogRotation, MemoryVolumes, ServerConfig};
pub use error::Error;

/// Runs the agent until shutdown is requested; running containers stay.
///
/// # Errors
/// The agent cannot start, or one of its parts failed for good.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    registration::Registration::new(config, None).run(shutdown).await;
    Ok(())
}

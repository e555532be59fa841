//! What the benches share: processes to measure, and how they are measured.
//!
//! Wall time on shared machines swings with the neighbours; the figure that repeats is the CPU time
//! of the server's process per operation. So every bench prints that, beside a peer or a bound from
//! the same run.

pub mod bare;
pub mod cluster;
pub mod dialects;
pub mod etcd;
pub mod fan_out;
pub mod http;
pub mod nacos;
pub mod name_servers;
pub mod nodes;
pub mod process;
pub mod report;
pub mod series;
pub mod verbs;
pub mod waiting;
pub mod zookeeper;

//! Assigns pods to nodes: filter, score, bind; and says why a pod waits.
//!
//! The decision is a pure function of a snapshot of nodes and pods. The snapshot changes by what changed,
//! not by the size of the cluster, and already counts pods whose binding is still on its way.

mod decide;
mod filter;
mod queue;
mod score;
mod shell;
mod snapshot;

pub use decide::{Explanation, explain};
pub use shell::{Config, run};

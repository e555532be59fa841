//! The shell around [`crate::lifecycle`]: one task per pod, and one that knows which pods there are.

mod context;
mod execute;
mod messages;
mod pod_worker;
mod probing;
mod report;
mod supervisor;
mod view;

pub(crate) use context::Context;
pub(crate) use supervisor::Supervisor;
pub(crate) use view::{RuntimeView, Snapshot};

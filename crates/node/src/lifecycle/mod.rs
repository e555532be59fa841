//! What to do next for a pod, and what to say about it. Pure.

pub(crate) mod crash;
pub(crate) mod labels;
mod plan;
pub(crate) mod resize;
mod state;
mod status;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use plan::{Step, plan};
pub(crate) use state::{
    Cause, Doomed, Failure, ImageState, Local, LocalContainer, PodRuntime, Verdict, Volumes, Work, is_started, probed,
};
pub(crate) use status::{Surroundings, is_terminal, status};

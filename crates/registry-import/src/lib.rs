//! Copies another registry into this one and follows it, so that a team can move over service by
//! service: nothing is written there.
//!
//! An imported instance is a `ServiceInstance` with the origin `import` and labels that say which import
//! it belongs to. Only objects with the labels of this import are ever changed or removed. While the
//! source is away its last state stays, and [`Progress`] says so.

mod consul;
mod eureka;
mod follow;
mod http;
mod keys;
mod machines;
mod plan;
mod source;
#[cfg(test)]
mod tests;

pub use follow::{Config, Progress, Report, Totals, run};
pub use http::{Error, Remote};
pub use keys::{Copied, KeyCopy};
pub use source::Dialect;

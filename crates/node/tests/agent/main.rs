//! The whole agent on a simulated runtime and an API in memory.

mod changes;
mod harness;
mod lifecycle;
mod streams;

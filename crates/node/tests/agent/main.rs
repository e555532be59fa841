//! The whole agent on a simulated runtime and an API in memory.

mod harness;
mod lifecycle;
mod streams;

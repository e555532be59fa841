//! What a fuzz target drives: all that reads requests, by both ways that there are.

pub use crate::front::both::answers;

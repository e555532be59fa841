//! Holds objects against the schema of their kind.

mod check;
mod prune;
mod strict;
#[cfg(test)]
mod tests;

pub use check::{Findings, check, check_at, strict_decoding_error};
pub(crate) use prune::is_canonical;
pub use prune::prune;
pub use strict::strict_problems;

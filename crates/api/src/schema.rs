//! Holds objects against the schema of their kind.

mod check;
mod emptied;
mod fill;
mod prune;
mod strict;
#[cfg(test)]
mod tests;

pub use check::{Findings, check, check_at, strict_decoding_error};
pub use emptied::Emptied;
pub(crate) use fill::zero;
pub use fill::{fill, fill_status};
pub use prune::prune;
pub(crate) use prune::{is_canonical, is_canonical_text};
pub use strict::strict_problems;

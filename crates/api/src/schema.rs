//! Holds objects against the schema of their kind.

mod check;
mod convert;
mod emptied;
mod fill;
mod first;
mod place;
mod prune;
mod strict;
#[cfg(test)]
mod tests;

pub use check::{Findings, base64_problem, check, check_at, strict_decoding_error};
pub use convert::convert;
pub use emptied::Emptied;
pub(crate) use fill::zero;
pub use fill::{drop_empty_lists, fill, fill_status};
pub use first::first_misfit;
pub use prune::prune;
pub(crate) use prune::{is_canonical, is_canonical_text};
pub use strict::strict_problems;

//! Applies patches to objects.

pub mod json;
pub mod merge;
pub mod strategic;

/// Why a patch cannot be applied. The object is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch is not one: the client should not send it again.
    #[error("{0}")]
    Malformed(String),
    /// The patch has more operations than allowed.
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {found}")]
    TooManyOperations {
        /// How many are allowed.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// What upstream's library refuses without saying whose fault it is.
    #[error("{0}")]
    Unexpected(String),
    /// The patch does not fit this object.
    #[error("{0}")]
    Failed(String),
}

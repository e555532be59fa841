//! Why the registrar did not do as asked.

/// Why the registrar did not do as asked. Dialects put it into their own words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such registration, check or lease.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The API did not take the change.
    #[error("the API server refused: {0}")]
    Api(#[source] portolan_client::Error),
}

//! What can go wrong while an expression is evaluated.

use std::borrow::Cow;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A field or key is not there.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// No function of that name takes such arguments.
    #[error("no such overload")]
    NoSuchOverload,
    /// It became too expensive.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostExceeded,
    /// Something else.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl EvaluationError {
    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Other(text.into())
    }
}

//! Refusals, as the client reads them.

use http::StatusCode;
use portolan_registrar::access::Denied;
use portolan_registrar::http::Refusal;
use portolan_registrar::limits::Excess;
use serde_json::json;

/// Why a request was refused. Its JSON form is `{"error": reason, "message": text}`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such path, service or instance.
    #[error("{0}")]
    NotFound(String),
    /// Several registrations have the id that was named.
    #[error("{0}")]
    Ambiguous(String),
    /// The path is there, the method is not.
    #[error("{method} is not possible here; allowed: {allowed}")]
    MethodNotAllowed {
        /// What was asked.
        method: String,
        /// What can be.
        allowed: String,
    },
    /// The body is larger than any registration.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The client asks for more than it may.
    #[error("{0}")]
    TooMany(Excess),
    /// Who asks is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// Nobody can tell who may do this.
    #[error("{0}")]
    Unavailable(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The API did not take the change.
    #[error("the API server refused: {0}")]
    Api(#[source] portolan_client::Error),
}

impl From<portolan_registrar::Error> for Error {
    fn from(error: portolan_registrar::Error) -> Self {
        match error {
            portolan_registrar::Error::Api(error) => Self::Api(error),
            portolan_registrar::Error::NotFound(message) => Self::NotFound(message),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge(limit) => Self::TooLarge { limit },
            Refusal::Untrusted(_) => Self::Forbidden(refusal.to_string()),
            Refusal::Denied(denied) => denied.into(),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        let text = portolan_base::error::chain(&denied).to_string();
        match denied {
            Denied::Unauthenticated(_) => Self::Unauthorized(text),
            Denied::Forbidden { .. } => Self::Forbidden(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Self {
        Self::TooMany(excess)
    }
}

impl Error {
    /// Status code of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Ambiguous(_) => StatusCode::CONFLICT,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Api(error) => {
                error.code().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "BadRequest",
            Self::NotFound(_) => "NotFound",
            Self::Ambiguous(_) => "Ambiguous",
            Self::MethodNotAllowed { .. } => "MethodNotAllowed",
            Self::TooLarge { .. } => "TooLarge",
            Self::TooMany(_) => "TooManyRequests",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Unavailable(_) => "Unavailable",
            Self::Forbidden(_) => "Forbidden",
            Self::Api(_) => "Refused",
        }
    }

    /// Body of the answer.
    pub(crate) fn body(&self) -> serde_json::Value {
        let message = match self {
            Self::Api(error) => portolan_base::error::chain(error).to_string(),
            other => other.to_string(),
        };
        json!({"error": self.reason(), "message": message})
    }
}

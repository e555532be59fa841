//! Refusals, as Eureka clients read them: a status code and a line of text.

use http::StatusCode;
use portolan_registrar::access::Denied;
use portolan_registrar::http::Refusal;
use portolan_registrar::limits::Excess;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such path, application or instance; a client registers again.
    #[error("{0}")]
    NotFound(String),
    /// The path is there, the method is not.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The instance is not the client's to change, or the peer may not talk plain HTTP.
    #[error("{0}")]
    Forbidden(String),
    /// What the server knows is newer than what a peer sent; carries the server's instance.
    #[error("the registry's instance is newer")]
    Conflict(Box<crate::wire::InstanceInfo>),
    /// The body is larger than any registration.
    #[error("{0}")]
    TooLarge(String),
    /// More requests than the limit allows.
    #[error("too many fetches; try again later")]
    TooMany,
    /// This client asks for more than it may.
    #[error("{0}")]
    Excess(Excess),
    /// Who asks is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// Nobody can tell who may do this.
    #[error("{0}")]
    Unavailable(String),
    /// The API did not take the change.
    #[error("the API server refused")]
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
            Refusal::TooLarge(_) => Self::TooLarge(refusal.to_string()),
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
        Self::Excess(excess)
    }
}

impl Error {
    /// Status code of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            // The code of Eureka's own limiter; its clients go on with what they have.
            Self::TooMany | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Excess(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Api(error) => {
                error.code().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Text of the answer.
    pub(crate) fn text(&self) -> String {
        portolan_base::error::chain(self).to_string()
    }
}

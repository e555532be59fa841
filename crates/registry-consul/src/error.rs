//! Refusals, as Consul words them: a status code and plain text.

use http::{HeaderValue, Method, Response, StatusCode, header};
use portolan_registrar::access::Denied;
use portolan_registrar::http::{Body, Refusal, full};
use portolan_registrar::limits::Excess;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// Nobody could be known to do this.
    #[error("{0}")]
    Unauthorized(String),
    /// The client may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The path is there, the method is not.
    #[error("method {method} not allowed")]
    MethodNotAllowed {
        /// What was asked.
        method: Method,
        /// What can be, joined by commas.
        allowed: &'static str,
    },
    /// The body is larger than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// The client asks too often.
    #[error("{0}")]
    TooManyRequests(String),
    /// It could not be done; the client may try again.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Refuses the method of a request.
    pub(crate) fn method(method: &Method, allowed: &'static str) -> Self {
        Self::MethodNotAllowed { method: method.clone(), allowed }
    }

    /// Status code of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Self::MethodNotAllowed { allowed, .. } = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl From<portolan_registrar::Error> for Error {
    fn from(error: portolan_registrar::Error) -> Self {
        match error {
            portolan_registrar::Error::Api(error) => error.into(),
            portolan_registrar::Error::NotFound(message) => Self::NotFound(message),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<portolan_client::Error> for Error {
    fn from(error: portolan_client::Error) -> Self {
        let text = portolan_base::error::chain(&error).to_string();
        match error.code() {
            Some(400 | 422) => Self::BadRequest(text),
            Some(401 | 403) => Self::Forbidden(format!("Permission denied: {text}")),
            Some(404) => Self::NotFound(text),
            Some(429) => Self::TooManyRequests(text),
            _ => Self::Internal(text),
        }
    }
}

impl From<portolan_store::Error> for Error {
    fn from(error: portolan_store::Error) -> Self {
        Self::Internal(portolan_base::error::chain(&error).to_string())
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        let text = portolan_base::error::chain(&denied).to_string();
        match denied {
            Denied::Unauthenticated(_) => Self::Unauthorized(format!("Permission denied: {text}")),
            Denied::Forbidden { .. } => Self::Forbidden(format!("Permission denied: {text}")),
            _ => Self::Internal(text),
        }
    }
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Self {
        Self::TooManyRequests(format!("Your request was rate limited: {excess}"))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge(limit) => Self::TooLarge(format!("Request body too large, max size: {limit} bytes")),
            Refusal::Untrusted(_) => Self::Forbidden(refusal.to_string()),
            Refusal::Denied(denied) => denied.into(),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

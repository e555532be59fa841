//! What can go wrong with a request.

use serde::{Deserialize, Serialize};

use crate::transport::BoxError;

/// A request that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with a failure.
    #[error("{0}")]
    Status(Box<Status>),
    /// The server could not be reached or the connection broke; nothing is known about the request's effect.
    #[error("reach the API server for {method} {path}")]
    Transport {
        /// Method of the request.
        method: http::Method,
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The request cannot be expressed, for example because a name has forbidden characters.
    #[error("build the request for {path}")]
    Request {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// The server's answer is not what the API promises.
    #[error("understand the answer to {path}")]
    Decode {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// TLS material or an address is not usable.
    #[error("set up the connection: {0}")]
    Setup(String),
}

impl Error {
    /// The status code the server answered with.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            _ => None,
        }
    }

    /// The reason the server gave, for example `AlreadyExists`.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Status(status) => Some(&status.reason),
            _ => None,
        }
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The object changed since it was read (and is not a duplicate name).
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && self.reason() != Some("AlreadyExists")
    }

    /// An object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == Some("AlreadyExists")
    }

    /// The revision asked for is no longer kept.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// The server refused the content.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(400 | 422))
    }

    /// The namespace is being deleted: nothing can be created in it any more.
    pub fn is_namespace_terminating(&self) -> bool {
        matches!(self, Self::Status(status) if status.details.causes.iter().any(|it| it.reason == "NamespaceTerminating"))
    }

    /// The caller may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }
}

/// A failure as the API reports it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(default, rename_all = "camelCase")]
#[error("{}", if self.message.is_empty() { self.reason.as_str() } else { self.message.as_str() })]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `Failure` or `Success`.
    pub status: String,
    /// One word for programs, for example `NotFound`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// What it is about.
    pub details: StatusDetails,
}

/// What a failure is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusDetails {
    /// Name of the object.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its kind or resource.
    pub kind: String,
    /// Its UID.
    pub uid: String,
    /// Single causes, for example one per invalid field.
    pub causes: Vec<StatusCause>,
    /// How long to wait before another try.
    pub retry_after_seconds: u32,
}

/// One cause of a failure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusCause {
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The field.
    pub field: String,
}

impl Status {
    /// Reads the body of an answer whose status code says failure.
    pub(crate) fn from_answer(code: http::StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Self>(body) {
            Ok(mut status) if !status.message.is_empty() || !status.reason.is_empty() => {
                if status.code == 0 {
                    status.code = code.as_u16();
                }
                status
            }
            // Something between us and the server answered, or the server speaks no Status here.
            _ => Self {
                code: code.as_u16(),
                status: "Failure".to_owned(),
                reason: code.canonical_reason().unwrap_or("Unknown").replace(' ', ""),
                message: String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_owned(),
                ..Self::default()
            },
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_a_status_object_still_tell_code_and_text() {
        let status = Status::from_answer(http::StatusCode::BAD_GATEWAY, b"upstream gone\n");
        assert_eq!(
            (status.code, status.reason.as_str(), status.message.as_str()),
            (502, "BadGateway", "upstream gone")
        );
    }

    #[test]
    fn a_namespace_that_ends_is_told_from_a_lack_of_rights() {
        let of = |reason: &str| {
            let causes = vec![StatusCause { reason: reason.to_owned(), ..StatusCause::default() }];
            let details = StatusDetails { causes, ..StatusDetails::default() };
            Error::from(Status { code: 403, details, ..Status::default() })
        };
        assert!(of("NamespaceTerminating").is_namespace_terminating());
        assert!(!of("").is_namespace_terminating());
    }

    #[test]
    fn conflict_and_duplicate_name_are_told_apart() {
        let status = |reason: &str| Error::from(Status { code: 409, reason: reason.to_owned(), ..Status::default() });
        assert!(status("Conflict").is_conflict() && !status("Conflict").is_already_exists());
        assert!(status("AlreadyExists").is_already_exists() && !status("AlreadyExists").is_conflict());
    }
}

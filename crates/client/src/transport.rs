//! The port through which requests leave.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use portolan_api::typed::Known;

use crate::error::Error;

/// Any error, boxed in transit.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer; streams for watches and logs.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Carries requests to an API server.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends a request whose URI is a path with query, and returns the answer once its head has arrived.
    ///
    /// # Errors
    /// [`Error::Transport`] if no answer arrived. An answer that says failure is not an error here.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error>;

    /// Creates an object in a server in this process as it is, and fills in what the server says of it. `false` if
    /// that is not possible, or not without more questions: nothing was done then, and the object is to be sent.
    async fn create(&self, _agent: Option<&HeaderValue>, _object: Known<'_>) -> bool {
        false
    }
}

/// A body of known bytes.
pub fn body_of(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An extension of an answer: the frames of its body are those of a server in this process.
///
/// Each event of a watch is then one frame, or three: what comes before the members of the
/// metadata, these and the rest of the object as the server's store keeps them, and the end of the
/// line. Whoever keeps the second shares memory with the store.
#[derive(Debug, Clone, Copy)]
pub struct SharedFrames;

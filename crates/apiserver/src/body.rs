//! Bodies of requests and responses.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::status::Status;

/// Any error of a body's transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or response, in process and over the network.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Largest body of a request, as upstream.
pub(crate) const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// How long a client may take to send a body: a slow one must not hold memory for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is complete.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Reads a whole body.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Status> {
    let collect = async {
        let mut first = Bytes::new();
        let mut rest: Option<BytesMut> = None;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Status::bad_request(format!("unable to read the request body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = rest.as_ref().map_or(first.len(), BytesMut::len) + data.len();
            if length > BODY_LIMIT {
                return Err(Status::too_large(BODY_LIMIT));
            }
            match &mut rest {
                Some(buffer) => buffer.extend_from_slice(&data),
                // Most bodies come in one frame, which is then used as it is.
                None if first.is_empty() => first = data,
                None => {
                    let mut buffer = BytesMut::with_capacity(length * 2);
                    buffer.extend_from_slice(&first);
                    buffer.extend_from_slice(&data);
                    rest = Some(buffer);
                }
            }
        }
        Ok(rest.map_or(first, BytesMut::freeze))
    };
    match tokio::time::timeout(BODY_TIMEOUT, collect).await {
        Ok(result) => result,
        Err(_) => Err(Status::new(408, "Timeout", "the request body did not arrive in time")),
    }
}

//! Responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::body::{Body, full};
use crate::status::Status;

/// The only media type of objects.
pub(crate) const JSON: &str = "application/json";

/// A complete JSON answer.
pub(crate) fn json(code: u16, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of(code, JSON, bytes),
        Err(error) => status(&Status::internal(format!("the answer cannot be encoded: {error}"))),
    }
}

/// A complete answer of any type.
pub(crate) fn bytes_of(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    with_body(code, content_type, full(bytes))
}

/// An answer with this body.
pub(crate) fn with_body(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A refusal.
pub(crate) fn status(status: &Status) -> Response<Body> {
    let mut response = json(status.code(), &status.to_value());
    for (name, value) in status.headers() {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    add_warnings(&mut response, status.warnings());
    response
}

/// Adds texts that `kubectl` prints as `Warning: ...` (RFC 7234, section 5.5).
pub(crate) fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

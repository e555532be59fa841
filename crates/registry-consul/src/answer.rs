//! Answers: JSON bodies and the headers that Consul's clients read.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use portolan_registrar::http::{Body, full};
use serde::Serialize;

use crate::Error;
use crate::parameters::Consistency;

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const ACL_POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");
const TRANSLATE: HeaderName = HeaderName::from_static("x-consul-translate-addresses");
const BACKEND: HeaderName = HeaderName::from_static("x-consul-query-backend");
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Encodes a value; `pretty` indents it as Consul does.
pub(crate) fn encode(value: &impl Serialize, pretty: bool) -> Result<Bytes, Error> {
    let failed = |error: serde_json::Error| Error::Internal(format!("cannot encode the answer: {error}"));
    if !pretty {
        return serde_json::to_vec(value).map(Bytes::from).map_err(failed);
    }
    let mut body = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, formatter)).map_err(failed)?;
    body.push(b'\n');
    Ok(body.into())
}

/// As many headers as an answer has at most, of those that are usual.
const USUAL_HEADERS: usize = 12;

/// An answer of JSON that is encoded already.
pub(crate) fn encoded(body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().reserve(USUAL_HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    common(response.headers_mut());
    response
}

/// An answer of JSON.
pub(crate) fn json(value: &impl Serialize, pretty: bool) -> Result<Response<Body>, Error> {
    Ok(encoded(encode(value, pretty)?))
}

/// An answer without a body.
pub(crate) fn empty() -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    common(response.headers_mut());
    response
}

/// What can be asked of a path.
pub(crate) fn options(allowed: &str) -> Response<Body> {
    let mut response = empty();
    if let Ok(allowed) = HeaderValue::try_from(format!("OPTIONS,{allowed}")) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// An answer of plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    common(response.headers_mut());
    response
}

/// Says which state an answer shows. The index of an empty state is 1, since clients take 0 for "do not wait".
pub(crate) fn with_index(mut response: Response<Body>, index: u64, consistency: Consistency) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(INDEX, index.max(1).into());
    headers.insert(KNOWN_LEADER, HeaderValue::from_static("true"));
    headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
    headers.insert(CONSISTENCY, HeaderValue::from_static(consistency.as_str()));
    headers.insert(BACKEND, HeaderValue::from_static("blocking-query"));
    response
}

/// Says the hash of an answer's content, for a poll that waits for another.
pub(crate) fn with_hash(mut response: Response<Body>, hash: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(hash) {
        response.headers_mut().insert(CONTENT_HASH, value);
    }
    response
}

/// Says that the answer came out of a cache that is always fresh.
pub(crate) fn with_cache(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static("HIT"));
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    response
}

/// Says what holds for requests without a token.
pub(crate) fn with_default_policy(mut response: Response<Body>, policy: &'static str) -> Response<Body> {
    response.headers_mut().insert(ACL_POLICY, HeaderValue::from_static(policy));
    response
}

fn common(headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(TRANSLATE, HeaderValue::from_static("false"));
}

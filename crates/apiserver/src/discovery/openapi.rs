//! OpenAPI documents. They are large: each is encoded at its first request and kept for as long as what it
//! describes stays.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use portolan_api::description::Description;
use portolan_api::openapi;
use serde_json::Value;

use super::{hash, tagged_as};
use crate::aggregation;
use crate::body::{Body, empty};
use crate::negotiate::preferred;
use crate::request::Query;
use crate::respond;
use crate::server::Server;

/// Answers a path below `/openapi`, given by its segments; `None` if there is no such document.
pub(super) fn serve(
    server: &Server,
    description: &Arc<Description>,
    segments: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    match segments {
        ["v2"] => Some(v2(server, description, headers)),
        ["v3"] => {
            // Upstream's aggregator does not say what this is.
            let index = aggregation::openapi_index(server, openapi::v3_index(description)).to_string();
            Some(respond::bytes_of(200, "text/plain; charset=utf-8", index))
        }
        ["v3", name @ ..] => v3(server, description, &name.join("/"), query, headers),
        _ => None,
    }
}

/// An answer that is its code only.
pub(super) fn nothing(code: u16) -> Response<Body> {
    let mut response = respond::with_body(code, respond::JSON, empty());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// The answer to whoever accepts none of the forms that there are.
fn unacceptable() -> Response<Body> {
    let mut response = nothing(406);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The two forms of the one document of version 2, of what was described last.
struct Kept {
    of: Weak<Description>,
    parts: Vec<Arc<Value>>,
    json: Option<Bytes>,
    binary: Option<Bytes>,
}

impl Kept {
    /// Whether this is what is described now. What is compared is kept, so that its address is given to nothing else.
    fn is_of(&self, description: &Arc<Description>, parts: &[Arc<Value>]) -> bool {
        self.of.as_ptr() == Arc::as_ptr(description)
            && self.parts.len() == parts.len()
            && self.parts.iter().zip(parts).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// kubectl asks for the binary form only, client-go for either.
fn v2(server: &Server, description: &Arc<Description>, headers: &HeaderMap) -> Response<Body> {
    static KEPT: Mutex<Kept> = Mutex::new(Kept { of: Weak::new(), parts: Vec::new(), json: None, binary: None });
    let forms = [respond::JSON, openapi::V2_PROTOBUF_ACCEPT, openapi::V2_PROTOBUF_CONTENT_TYPE];
    let Some(form) = preferred(headers, &forms) else { return unacceptable() };
    let is_binary = form != respond::JSON;
    let parts = server.aggregation.parts();
    let mut kept = KEPT.lock();
    if !kept.is_of(description, &parts) {
        *kept = Kept { of: Arc::downgrade(description), parts: parts.clone(), json: None, binary: None };
    }
    let bytes = if is_binary {
        kept.binary.get_or_insert_with(|| openapi::v2_protobuf(&whole(description, &parts)).into()).clone()
    } else {
        kept.json.get_or_insert_with(|| whole(description, &parts).to_string().into()).clone()
    };
    drop(kept);
    let tag = format!("{:016X}", hash(&bytes));
    tagged_as(headers, if is_binary { openapi::V2_PROTOBUF_CONTENT_TYPE } else { respond::JSON }, bytes, &tag)
}

/// What this server describes together with what extension servers do.
fn whole(description: &Description, parts: &[Arc<Value>]) -> Value {
    let mut document = openapi::v2(description);
    for part in parts {
        if let Err(why) = openapi::v2_merge(&mut document, part) {
            tracing::warn!(error = why, "an extension server's OpenAPI document was left out");
        }
    }
    document
}

/// The forms of a version's document that clients know of. There is one: whoever asks for another gets that.
const V3_FORMS: [&str; 3] = [
    respond::JSON,
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
];

fn v3(
    server: &Server,
    description: &Description,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let version = openapi::v3_version(description, name)?;
    if preferred(headers, &V3_FORMS).is_none() {
        return Some(unacceptable());
    }
    let (wanted, hash) = (query.get("hash"), openapi::hash_of(version));
    if !wanted.is_empty() && wanted != hash {
        // The index was read before the document changed.
        let mut response = tagged_as(headers, respond::JSON, Bytes::new(), hash);
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(url) = HeaderValue::from_str(&format!("/openapi/v3/{name}?hash={hash}")) {
            response.headers_mut().insert(header::LOCATION, url);
        }
        return Some(response);
    }
    let mut response = tagged_as(headers, respond::JSON, openapi::v3(version), hash);
    if !wanted.is_empty() {
        // The URL names this very content: it may be kept for ever, of which clients of old know a year.
        let answer = response.headers_mut();
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let year = Duration::from_secs(365 * 24 * 3600);
        let end = (server.config.clock.now() + year).strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        if let Ok(end) = HeaderValue::from_str(&end) {
            answer.insert(header::EXPIRES, end);
        }
    }
    Some(response)
}

//! OpenAPI documents. They are large: each is encoded at its first request and kept for as long as what it
//! describes stays.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use parking_lot::Mutex;
use portolan_api::description::Description;
use portolan_api::openapi;

use super::{tagged, tagged_bytes};
use crate::aggregation;
use crate::body::Body;
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
        ["v2"] => Some(v2(description, headers)),
        ["v3"] => {
            Some(tagged(headers, respond::JSON, &aggregation::openapi_index(server, openapi::v3_index(description))))
        }
        ["v3", name @ ..] => v3(description, &name.join("/"), query, headers),
        _ => None,
    }
}

/// The two forms of the one document of version 2, of the description that was asked for last.
struct Kept {
    of: Weak<Description>,
    json: Option<Bytes>,
    binary: Option<Bytes>,
}

/// kubectl asks for the binary form only, client-go for either.
fn v2(description: &Arc<Description>, headers: &HeaderMap) -> Response<Body> {
    static KEPT: Mutex<Kept> = Mutex::new(Kept { of: Weak::new(), json: None, binary: None });
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_binary = accepted.contains("proto-openapi.spec.v2");
    let mut kept = KEPT.lock();
    if kept.of.as_ptr() != Arc::as_ptr(description) {
        // The weak reference keeps the address from being given to another one.
        *kept = Kept { of: Arc::downgrade(description), json: None, binary: None };
    }
    let bytes = if is_binary {
        kept.binary.get_or_insert_with(|| openapi::v2_protobuf(description).into()).clone()
    } else {
        kept.json.get_or_insert_with(|| openapi::v2(description).to_string().into()).clone()
    };
    drop(kept);
    tagged_bytes(headers, if is_binary { openapi::V2_PROTOBUF_CONTENT_TYPE } else { respond::JSON }, bytes)
}

fn v3(description: &Description, name: &str, query: &Query, headers: &HeaderMap) -> Option<Response<Body>> {
    let version = openapi::v3_version(description, name)?;
    let document = openapi::v3(version);
    let mut response = tagged_bytes(headers, respond::JSON, document);
    if query.get("hash") == openapi::hash_of(version) {
        // The URL names this very content: it may be kept for ever.
        let immutable = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(header::CACHE_CONTROL, immutable);
    }
    Some(response)
}

//! OpenAPI documents. They are large: each is encoded at its first request and kept for as long as what it
//! describes stays.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use parking_lot::Mutex;
use portolan_api::description::Description;
use portolan_api::openapi;
use serde_json::Value;

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
        ["v2"] => Some(v2(server, description, headers)),
        ["v3"] => {
            Some(tagged(headers, respond::JSON, &aggregation::openapi_index(server, openapi::v3_index(description))))
        }
        ["v3", name @ ..] => v3(description, &name.join("/"), query, headers),
        _ => None,
    }
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
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_binary = accepted.contains("proto-openapi.spec.v2");
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
    tagged_bytes(headers, if is_binary { openapi::V2_PROTOBUF_CONTENT_TYPE } else { respond::JSON }, bytes)
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

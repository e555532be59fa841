//! OpenAPI documents. They are large and never change while the process runs: each is encoded at
//! its first request and kept.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use parking_lot::Mutex;
use portolan_api::openapi;

use super::{tagged, tagged_bytes};
use crate::body::Body;
use crate::request::Query;
use crate::respond;

/// Answers a path below `/openapi`, given by its segments; `None` if there is no such document.
pub(super) fn serve(segments: &[&str], query: &Query, headers: &HeaderMap) -> Option<Response<Body>> {
    match segments {
        ["v2"] => Some(v2(headers)),
        ["v3"] => Some(tagged(headers, respond::JSON, &openapi::v3_index())),
        ["v3", name @ ..] => v3(&name.join("/"), query, headers),
        _ => None,
    }
}

/// kubectl asks for the binary form only, client-go for either.
fn v2(headers: &HeaderMap) -> Response<Body> {
    static JSON: OnceLock<Bytes> = OnceLock::new();
    static BINARY: OnceLock<Bytes> = OnceLock::new();
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("proto-openapi.spec.v2") {
        let bytes = BINARY.get_or_init(|| openapi::v2_protobuf().into()).clone();
        return tagged_bytes(headers, openapi::V2_PROTOBUF_CONTENT_TYPE, bytes);
    }
    let bytes = JSON.get_or_init(|| openapi::v2().to_string().into()).clone();
    tagged_bytes(headers, respond::JSON, bytes)
}

fn v3(name: &str, query: &Query, headers: &HeaderMap) -> Option<Response<Body>> {
    static DOCUMENTS: Mutex<Option<HashMap<String, Bytes>>> = Mutex::new(None);
    let kept = DOCUMENTS.lock().get_or_insert_default().get(name).cloned();
    let bytes = match kept {
        Some(bytes) => bytes,
        None => {
            let bytes = Bytes::from(openapi::v3(name)?.to_string());
            DOCUMENTS.lock().get_or_insert_default().insert(name.to_owned(), bytes.clone());
            bytes
        }
    };
    let mut response = tagged_bytes(headers, respond::JSON, bytes);
    if query.get("hash") == openapi::hash() {
        // The URL names this very content: it may be kept for ever.
        let immutable = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(header::CACHE_CONTROL, immutable);
    }
    Some(response)
}

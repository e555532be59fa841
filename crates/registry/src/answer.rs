//! Answers: JSON, compressed if the client can read that, and not sent again to one who has it.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use portolan_registrar::http::{Body, Request, full};
use serde_json::Value;

use crate::Error;

/// Carries the catalog's index, for a long poll that follows.
const INDEX: &str = "x-portolan-index";
/// Below that, compression costs more than it saves.
const LEAST_TO_COMPRESS: usize = 1024;
/// Marks the entity tag of a compressed answer: strong tags differ if the bytes differ.
const GZIP_SUFFIX: &str = "-gzip";

/// What a request is answered with.
pub(crate) enum Answer {
    /// A JSON text; of the catalog at an index, with an entity tag.
    Text { status: StatusCode, text: Bytes, index: Option<u64>, tag: Option<String> },
    /// The client has it; its own entity tag.
    Unchanged { index: u64, tag: String },
    /// Something that goes on.
    Stream(Response<Body>),
}

impl Answer {
    pub(crate) fn of(status: StatusCode, value: Value) -> Self {
        Self::Text { status, text: value.to_string().into(), index: None, tag: None }
    }

    pub(crate) fn at(index: u64, value: Value) -> Self {
        Self::Text { status: StatusCode::OK, text: value.to_string().into(), index: Some(index), tag: None }
    }

    /// The answer to a client that sent these headers.
    pub(crate) fn into_response(self, headers: &HeaderMap) -> Response<Body> {
        match self {
            Self::Stream(response) => response,
            Self::Unchanged { index, tag } => {
                let mut response = Response::new(full(Bytes::new()));
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                describe(&mut response, Some(index), Some(tag));
                response
            }
            Self::Text { status, text, index, mut tag } => {
                let compressed =
                    if text.len() > LEAST_TO_COMPRESS && accepts_gzip(headers) { gzip(&text) } else { None };
                let mut response = match compressed {
                    Some(bytes) => {
                        tag = tag.map(|tag| tag + GZIP_SUFFIX);
                        let mut response = Response::new(full(bytes));
                        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        response
                    }
                    None => Response::new(full(text)),
                };
                *response.status_mut() = status;
                describe(&mut response, index, tag);
                json(response)
            }
        }
    }
}

impl Error {
    /// The answer that says so.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = json(Response::new(full(self.body().to_string())));
        *response.status_mut() = self.status();
        if let Self::Unauthorized(_) = self {
            let schemes = HeaderValue::from_static("Bearer, Basic realm=\"portolan\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
        }
        if let Self::TooMany(excess) = self {
            let wait = excess.wait();
            // Whole seconds, and never at once.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

fn json(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn describe(response: &mut Response<Body>, index: Option<u64>, tag: Option<String>) {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(index) = index {
        headers.insert(INDEX, index.into());
    }
    if let Some(Ok(tag)) = tag.map(|tag| HeaderValue::try_from(format!("\"{tag}\""))) {
        headers.insert(header::ETAG, tag);
    }
}

/// Names states of what can be asked for. Two processes may give different states the same index, for a
/// while, so the names hold for one process.
#[derive(Debug, Default)]
pub(crate) struct Tags(RandomState);

impl Tags {
    /// The answer to a question about a state of the catalog; `text` is asked only if the client does not
    /// have it already.
    pub(crate) fn answer<T: Into<Bytes>>(
        &self,
        request: &Request,
        index: u64,
        state: u64,
        text: impl FnOnce() -> T,
    ) -> Answer {
        let tag = format!("{state}-{:016x}", self.0.hash_one((request.path(), request.query(), state)));
        match had(&request.headers, &tag) {
            Some(tag) => Answer::Unchanged { index, tag },
            None => Answer::Text { status: StatusCode::OK, text: text().into(), index: Some(index), tag: Some(tag) },
        }
    }
}

/// The tag under which a client has a state, compressed or not (RFC 9110, section 13.1.2: the comparison
/// is the weak one).
fn had(headers: &HeaderMap, tag: &str) -> Option<String> {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    for candidate in lists.flat_map(|list| list.split(',')).map(str::trim) {
        if candidate == "*" {
            return Some(tag.to_owned());
        }
        let candidate = candidate.strip_prefix("W/").unwrap_or(candidate).trim_matches('"');
        if candidate.strip_suffix(GZIP_SUFFIX).unwrap_or(candidate) == tag {
            return Some(candidate.to_owned());
        }
    }
    None
}

/// RFC 9110, section 12.5.3; what is named counts more than `*`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut any = false;
    for coding in lists.flat_map(|list| list.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let wanted = quality.is_none_or(|quality| quality.parse::<f32>().is_ok_and(|quality| quality > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return wanted;
        }
        any |= name == "*" && wanted;
    }
    any
}

/// None if it cannot be compressed; it is then sent as it is.
fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8 + 64), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        let cases = [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("*, gzip;q=0", false),
            ("gzip;q=x", false),
            ("*;q=0", false),
            ("br", false),
            ("", false),
        ];
        for (accepted, expected) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(accepts_gzip(&headers), expected, "{accepted:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_tag_is_known_in_whatever_form_it_comes_back() {
        let cases = [
            ("\"7-a\"", Some("7-a")),
            ("W/\"7-a\"", Some("7-a")),
            ("\"6-b\", \"7-a-gzip\"", Some("7-a-gzip")),
            ("*", Some("7-a")),
            ("\"7-b\"", None),
        ];
        for (sent, expected) in cases {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(sent))]);
            assert_eq!(had(&headers, "7-a").as_deref(), expected, "{sent}");
        }
    }
}

//! Responses.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::body::{Body, full};
use crate::status::Status;

/// The only media type of objects.
pub(crate) const JSON: &str = "application/json";

/// What keeps answers about objects out of caches.
pub(crate) const NOT_CACHED: &str = "no-cache, private";

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
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NOT_CACHED));
    response
}

/// What Go's library answers for a path that nobody knows.
pub(crate) fn not_found() -> Response<Body> {
    plainly(crate::server::text(404, "404 page not found\n"))
}

/// An answer whose type is not to be guessed from what it says, as upstream marks what its filters refuse.
pub(crate) fn plainly(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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

/// What a response warns of, to be compared and counted with what is added later.
#[derive(Clone, Default)]
struct Warnings(Vec<String>);

/// Adds texts that `kubectl` prints as `Warning: ...` (RFC 7234, section 5.5).
pub(crate) fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    if !warnings.is_empty() {
        change_warnings(response, |all| all.extend_from_slice(warnings));
    }
}

/// Warns of something that was known before the request was looked at.
pub(crate) fn warn_first(response: &mut Response<Body>, warning: &str) {
    change_warnings(response, |all| all.insert(0, warning.to_owned()));
}

fn change_warnings(response: &mut Response<Body>, change: impl FnOnce(&mut Vec<String>)) {
    let mut all: Warnings = response.extensions_mut().remove().unwrap_or_default();
    change(&mut all.0);
    response.headers_mut().remove(header::WARNING);
    for warning in shown(&all.0) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response.extensions_mut().insert(all);
}

/// How many characters all warnings of a response have. More are cut, each to [`OF_ONE`].
const OF_ALL: usize = 4 << 10;
const OF_ONE: usize = 256;

/// More warnings that differ are never shown.
pub(crate) const MOST_SHOWN: usize = OF_ALL;

/// Each warning once, and as many as clients take in headers. Control characters cannot stand there: who writes them
/// is not heard.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/filters/warning.go`.
fn shown(warnings: &[String]) -> Vec<&str> {
    let mut told = HashSet::new();
    let distinct = warnings.iter().map(String::as_str).filter(|text| !text.is_empty() && told.insert(*text));
    let (mut texts, mut whole, mut cut) = (Vec::new(), 0, 0);
    for text in distinct.filter(|text| !text.contains(char::is_control)) {
        if whole > OF_ALL && cut >= OF_ALL {
            break;
        }
        let length = text.chars().count();
        (whole, cut) = (whole + length, cut + length.min(OF_ONE));
        texts.push(text);
    }
    if whole > OF_ALL {
        for text in &mut texts {
            let end = text.char_indices().nth(OF_ONE).map_or(text.len(), |(end, _)| end);
            *text = &text[..end];
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_into_headers() {
        let long = |letter: &str, length: usize| letter.repeat(length);
        let numbers = |letters: usize| (0..5000).map(|it| format!("{it:0letters$}")).collect::<Vec<_>>();
        // What is written, how many are shown, and how long the first and the last of them are.
        for (warnings, count, first, last) in [
            (vec![], 0, 0, 0),
            (vec!["a".into(), String::new(), "b".into(), "a".into(), "c\n".into()], 2, 1, 1),
            (vec![long("é", 4096)], 1, 4096, 4096),
            (vec![long("é", 4097)], 1, 256, 256),
            (vec![long("a", 4000), "b".into(), long("c", 300)], 3, 256, 256),
            (numbers(4), 1025, 4, 4),
            (numbers(300), 16, 256, 256),
        ] {
            let shown = shown(&warnings);
            let length = |text: Option<&&str>| text.map_or(0, |text| text.chars().count());
            assert_eq!((shown.len(), length(shown.first()), length(shown.last())), (count, first, last));
        }
        let mut response = Response::new(full(Bytes::new()));
        add_warnings(&mut response, &["a \"b\" \\c".to_owned()]);
        assert_eq!(response.headers()[header::WARNING], "299 - \"a \\\"b\\\" \\\\c\"");
    }

    #[test]
    fn all_warnings_of_a_response_are_compared_and_counted() {
        for (told, first, expected) in [
            (vec![vec!["a", "b"], vec!["b", "c"]], Some("b"), vec!["b", "a", "c"]),
            (vec![vec![]], Some("a"), vec!["a"]),
            (vec![vec!["a"], vec![]], None, vec!["a"]),
        ] {
            let mut response = Response::new(full(Bytes::new()));
            for warnings in told {
                add_warnings(&mut response, &warnings.into_iter().map(str::to_owned).collect::<Vec<_>>());
            }
            first.into_iter().for_each(|warning| warn_first(&mut response, warning));
            let shown = response.headers().get_all(header::WARNING).iter();
            let shown: Vec<_> = shown.map(|value| value.to_str().expect("a text")).collect();
            assert_eq!(shown, expected.iter().map(|text| format!("299 - \"{text}\"")).collect::<Vec<_>>());
        }
        let mut response = Response::new(full(Bytes::new()));
        add_warnings(&mut response, &["a".repeat(4000)]);
        warn_first(&mut response, &"b".repeat(300));
        let lengths = response.headers().get_all(header::WARNING).iter().map(HeaderValue::len);
        assert_eq!(lengths.collect::<Vec<_>>(), [OF_ONE + 8; 2]);
    }
}

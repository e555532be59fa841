//! What an answer of a webhook comes to: its body, or why it is none.
//!
//! Source of the behaviour and of the texts: `k8s.io/client-go/rest` and `NewGenericServerResponse` of `apimachinery`.

use std::io::Read as _;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use portolan_base::go;
use serde_json::Value;

use super::media_type;
use super::review;

/// Longest answer that is read. Upstream reads all of any.
pub(super) const LIMIT: usize = 64 << 20;

/// How much of a refusal is told.
const REFUSAL_LIMIT: usize = 2048;

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The text of a header.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Undoes what the webhook was allowed to do to the body.
    pub(super) fn unpacked(mut self) -> Result<Self, String> {
        if self.header(header::CONTENT_ENCODING).is_some_and(|it| it.eq_ignore_ascii_case("gzip")) {
            let mut body = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&*self.body).take(LIMIT as u64 + 1);
            reader.read_to_end(&mut body).map_err(|_| unreadable("gzip: invalid header"))?;
            if body.len() > LIMIT {
                return Err(unreadable("it is too long"));
            }
            self.body = body.into();
        }
        Ok(self)
    }

    /// For how many seconds the webhook asks to be left alone before it is asked again.
    pub(super) fn retry_after(&self) -> Option<u64> {
        let is_late = self.status == StatusCode::TOO_MANY_REQUESTS || self.status.as_u16() >= 500;
        self.header(header::RETRY_AFTER)?.parse().ok().filter(|_| is_late)
    }

    /// The body, if it is one of an answer that tells of success.
    pub(super) fn into_body(self) -> Result<Bytes, String> {
        let given = self.header(header::CONTENT_TYPE).filter(|given| !given.is_empty());
        // Whatever it is said to be, it is read as what it looks like; but what it is said to be must be readable.
        if let Some(problem) = given.and_then(media_type::problem) {
            return Err(format!("Internal error occurred: mime: {problem}"));
        }
        let code = self.status.as_u16();
        if !(200..=206).contains(&code) {
            return Err(failure(&self.body).unwrap_or_else(|| self.refusal(given)));
        }
        if self.body.is_empty() {
            let given = given.unwrap_or("application/json");
            return Err(format!("0-length response with status code: {code} and content type: {given}"));
        }
        Ok(self.body)
    }

    fn refusal(&self, content_type: Option<&str>) -> String {
        let is_text = content_type.is_none_or(|given| given.to_ascii_lowercase().starts_with("text/"));
        let text = if is_text {
            String::from_utf8_lossy(&self.body[..self.body.len().min(REFUSAL_LIMIT)]).trim().to_owned()
        } else {
            "unknown".to_owned()
        };
        let words = match self.status.as_u16() {
            400 => "the server rejected our request for an unknown reason",
            401 => "the server has asked for the client to provide credentials",
            403 | 415 => &text,
            404 => "the server could not find the requested resource",
            405 => "the server does not allow this method on the requested resource",
            406 if text.is_empty() || text == "unknown" => {
                "the server was unable to respond with a content type that the client supports"
            }
            406 => &text,
            409 => "the server reported a conflict",
            422 => "the server rejected our request due to an error in our request",
            429 => "the server has received too many requests and has asked us to try again later",
            503 => "the server is currently unable to handle the request",
            504 => {
                "the server was unable to return a response in the time allotted, but may still be processing the request"
            }
            500.. => {
                return format!(
                    "an error on the server ({}) has prevented the request from succeeding",
                    go::quote(&text)
                );
            }
            code => {
                return format!("the server responded with the status code {code} but did not return more information");
            }
        };
        words.to_owned()
    }
}

/// What is said of a body that ends too early or is not what it is said to be.
pub(super) fn unreadable(why: &str) -> String {
    format!("unexpected error when reading response body. Please retry. Original error: {why}")
}

/// What a refusal says if it is a Status.
fn failure(body: &[u8]) -> Option<String> {
    let status: Value = review::document(body).ok()?;
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_failure = text("kind") == "Status" && matches!(text("apiVersion"), "" | "v1") && text("status") == "Failure";
    is_failure.then(|| text("message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, content_type: &str, body: &'static str) -> String {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, content_type.parse().expect("a header"));
        }
        let status = StatusCode::from_u16(code).expect("a code");
        let answer = Answer { status, headers, body: Bytes::from_static(body.as_bytes()) };
        answer.into_body().map_or_else(|why| why, |body| String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn refusals_are_told_as_clients_in_go_tell_them() {
        const STATUS: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no"}"#;
        let cases = [
            (200, "", "{}", "{}"),
            (206, "text/html; charset=utf-8", "{}", "{}"),
            (200, "", "", "0-length response with status code: 200 and content type: application/json"),
            (204, "text/plain", "", "0-length response with status code: 204 and content type: text/plain"),
            (207, "", "{}", "the server responded with the status code 207 but did not return more information"),
            (200, "a/b/c", "{}", "Internal error occurred: mime: unexpected content after media subtype"),
            (302, "", "", "the server responded with the status code 302 but did not return more information"),
            (400, "", "", "the server rejected our request for an unknown reason"),
            (403, "text/plain", " mine ", "mine"),
            (403, "application/json", "{}", "unknown"),
            (406, "", "", "the server was unable to respond with a content type that the client supports"),
            (406, "text/plain", "such", "such"),
            (415, "text/plain", "such", "such"),
            (500, "", "", r#"an error on the server ("") has prevented the request from succeeding"#),
            (
                500,
                "text/plain",
                "a \"b\"",
                r#"an error on the server ("a \"b\"") has prevented the request from succeeding"#,
            ),
            (
                600,
                "application/json",
                "{}",
                r#"an error on the server ("unknown") has prevented the request from succeeding"#,
            ),
            (500, "application/json", STATUS, "no"),
            (503, "application/json", "[]", "the server is currently unable to handle the request"),
        ];
        for (code, content_type, body, expected) in cases {
            assert_eq!(told(code, content_type, body), expected, "{code} {content_type} {body}");
        }
    }
}

//! Where a webhook says that it should be asked, followed as Go's clients do.

use bytes::Bytes;
use http::{Method, Uri, header};

use super::Question;
use super::answer::Answer;

/// How often a question is sent on.
pub(super) const MOST_REDIRECTS: usize = 10;

/// The question as it is to be sent next, and where as the webhook said it; `None` if this is the answer.
pub(super) fn redirected(asked: &Uri, question: &Question, answer: &Answer) -> Option<(Question, String)> {
    let keeps_body = match answer.status.as_u16() {
        301..=303 => false,
        307 | 308 => true,
        _ => return None,
    };
    let location = answer.header(header::LOCATION).filter(|location| !location.is_empty())?;
    let url = resolved(asked, location);
    let next = if keeps_body {
        Question { url, method: question.method.clone(), body: question.body.clone() }
    } else {
        Question { url, method: Method::GET, body: Bytes::new() }
    };
    Some((next, location.to_owned()))
}

/// A reference as it is meant at a place (RFC 3986, section 5.2), but for dots in paths.
fn resolved(base: &Uri, reference: &str) -> String {
    let authority = base.authority().map_or("", |it| it.as_str());
    let path = base.path();
    match reference {
        reference if reference.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) => {
            reference.to_owned()
        }
        reference if reference.starts_with("//") => format!("https:{reference}"),
        reference if reference.starts_with('/') => format!("https://{authority}{reference}"),
        reference if reference.starts_with('?') => format!("https://{authority}{path}{reference}"),
        reference => {
            let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
            format!("https://{authority}{folder}{reference}")
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn places_are_told_relative_to_where_one_is() {
        let base = Uri::from_static("https://hook:8443/a/b?timeout=5s");
        let cases = [
            ("/c?d", "https://hook:8443/c?d"),
            ("c", "https://hook:8443/a/c"),
            ("?e", "https://hook:8443/a/b?e"),
            ("//other/c", "https://other/c"),
            ("https://other:1/c", "https://other:1/c"),
            ("http://other/c", "http://other/c"),
        ];
        for (reference, expected) in cases {
            assert_eq!(resolved(&base, reference), expected);
        }
    }

    #[test]
    fn only_some_redirects_send_the_question_on() {
        let cases =
            [(302, Some(("GET", 0))), (303, Some(("GET", 0))), (307, Some(("POST", 1))), (304, None), (200, None)];
        for (code, expected) in cases {
            let headers = HeaderMap::from_iter([(header::LOCATION, header::HeaderValue::from_static("/c"))]);
            let status = StatusCode::from_u16(code).expect("a code");
            let answer = Answer { status, headers, body: Bytes::new() };
            let question = Question { url: String::new(), method: Method::POST, body: Bytes::from_static(b"x") };
            let next = redirected(&Uri::from_static("https://hook/"), &question, &answer);
            let next = next.as_ref().map(|(next, _)| (next.method.as_str(), next.body.len()));
            assert_eq!(next, expected, "{code}");
        }
    }
}

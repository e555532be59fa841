//! Links of pages that come through the proxy: they must lead through it again.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Response, Uri, header};
use http_body::Frame;
use http_body_util::BodyExt;

use crate::body::{Body, BoxError};

/// Attributes that hold a URL, as `k8s.io/apimachinery/pkg/util/proxy` knows them.
const ATTRIBUTES: [(&str, &[&str]); 28] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("td", &["background"]),
    ("th", &["background"]),
    ("track", &["src"]),
    ("video", &["poster", "src"]),
];

/// Who may use the API from pages of other sites is not for the proxied server to say.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// A tag that is longer is passed on as it is: it must not be held in memory for ever.
const LONGEST_TAG: usize = 64 << 10;

/// Where a page is, seen from the client.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The path up to and with `/proxy`.
    pub(super) prefix: String,
    /// The host that the client asked.
    pub(super) host: Option<Authority>,
    /// The address behind the proxy, which the page's server may know itself by.
    pub(super) backend: SocketAddr,
}

impl Place {
    /// The link as the client must have it; `None` if it is right already.
    fn rewrite(&self, link: &str) -> Option<String> {
        let prefix = &self.prefix;
        let (origin, path) = if link.starts_with('/') && !link.starts_with("//") {
            ("", link)
        } else {
            // An absolute one is followed through the proxy only if it means this server, by one of its names.
            let (_, rest) = link.split_once("//")?;
            let of = |host: &str| rest.strip_prefix(host).filter(|path| path.starts_with('/'));
            match self.host.as_ref().and_then(|host| of(host.as_str())) {
                Some(path) => (link.strip_suffix(path)?, path),
                None => ("", of(&self.backend.to_string())?),
            }
        };
        let inside = path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (!inside).then(|| format!("{origin}{prefix}{path}"))
    }
}

/// Makes the links of an answer lead through the proxy.
pub(super) fn rewrite(response: Response<Body>, place: Place) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    for name in CORS {
        parts.headers.remove(name);
    }
    if let Some(location) = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
        && let Some(there) = place.rewrite(location)
        && let Ok(there) = HeaderValue::from_str(&there)
    {
        parts.headers.insert(header::LOCATION, there);
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = text(header::CONTENT_TYPE).split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    if !is_page || !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
        return Response::from_parts(parts, body);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let page = Page { body, rewriter: Some(Rewriter { place, held: Vec::new(), raw: None }) };
    Response::from_parts(parts, page.boxed_unsync())
}

/// The path of the client's request up to and with `/proxy`, and what follows.
pub(super) fn split(uri: &Uri, is_namespaced: bool) -> (&str, &str) {
    // `/api/v1/namespaces/n/services/name/proxy`: names may hold the word, so segments are counted.
    let segments = if is_namespaced { 7 } else { 5 };
    let path = uri.path();
    let end = path.match_indices('/').nth(segments).map_or(path.len(), |(index, _)| index);
    path.split_at(end)
}

struct Page {
    body: Body,
    /// `None` after the end.
    rewriter: Option<Rewriter>,
}

impl http_body::Body for Page {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let rewritten = match frame {
                Some(Ok(frame)) => match (frame.into_data(), &mut self.rewriter) {
                    (Ok(data), Some(rewriter)) => rewriter.push(&data),
                    (Ok(data), None) => data.to_vec(),
                    (Err(other), _) => return Poll::Ready(Some(Ok(other))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => match self.rewriter.take() {
                    Some(rewriter) if !rewriter.held.is_empty() => rewriter.held,
                    _ => return Poll::Ready(None),
                },
            };
            if !rewritten.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(rewritten.into()))));
            }
        }
    }
}

/// Reads a page piece by piece, without taking it for more than tags and what is between them.
struct Rewriter {
    place: Place,
    /// The start of a tag whose end has not come yet.
    held: Vec<u8>,
    /// The element whose content is no markup, with its closing tag.
    raw: Option<&'static str>,
}

impl Rewriter {
    fn push(&mut self, data: &[u8]) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(data);
        let mut output = Vec::with_capacity(input.len() + 64);
        let mut rest = input.as_slice();
        loop {
            if let Some(raw) = self.raw {
                let Some(end) = closing_tag(rest, raw) else {
                    // The closing tag may have begun.
                    let (text, begun) = rest.split_at(rest.len().saturating_sub(raw.len() + 1));
                    output.extend_from_slice(text);
                    self.held = begun.to_vec();
                    return output;
                };
                output.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
                self.raw = None;
            }
            let Some(start) = rest.iter().position(|byte| *byte == b'<') else { break };
            output.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            let Some(end) = end_of_tag(rest) else {
                if rest.len() < LONGEST_TAG {
                    self.held = rest.to_vec();
                } else {
                    output.extend_from_slice(rest);
                }
                return output;
            };
            let (tag, after) = rest.split_at(end);
            self.tag(tag, &mut output);
            rest = after;
        }
        output.extend_from_slice(rest);
        output
    }

    fn tag(&mut self, tag: &[u8], output: &mut Vec<u8>) {
        let Ok(text) = std::str::from_utf8(tag) else { return output.extend_from_slice(tag) };
        let name = name_of(text);
        self.raw = ["script", "style", "textarea", "title"].into_iter().find(|raw| name.eq_ignore_ascii_case(raw));
        let known = ATTRIBUTES.iter().find(|(element, _)| name.eq_ignore_ascii_case(element));
        match known {
            Some((_, attributes)) => {
                output.extend_from_slice(self.attributes(text, name.len() + 1, attributes).as_bytes())
            }
            None => output.extend_from_slice(tag),
        }
    }

    /// A tag with its links rewritten; its attributes begin at `from`.
    fn attributes(&self, tag: &str, from: usize, wanted: &[&str]) -> String {
        let mut output = tag[..from].to_owned();
        let mut rest = &tag[from..];
        while let Some(equals) = rest.find('=') {
            let (before, value) = rest.split_at(equals + 1);
            output.push_str(before);
            let name = before[..equals].trim_end();
            let name = name.rsplit(|c: char| c.is_ascii_whitespace() || c == '/').next().unwrap_or_default();
            let spaces = value.len() - value.trim_start().len();
            output.push_str(&value[..spaces]);
            let value = &value[spaces..];
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (open, end) = match quote {
                Some(quote) => (1, value[1..].find(quote).map_or(value.len(), |end| end + 1)),
                None => (0, value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
            };
            output.push_str(&value[..open]);
            let link = &value[open..end];
            let is_wanted = wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
            let there = if is_wanted { self.place.rewrite(link) } else { None };
            output.push_str(there.as_deref().unwrap_or(link));
            rest = &value[end..];
        }
        output.push_str(rest);
        output
    }
}

/// The name of the element that a tag opens.
fn name_of(tag: &str) -> &str {
    let rest = tag.get(1..).unwrap_or_default();
    &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())]
}

/// Where the closing tag of an element begins.
fn closing_tag(text: &[u8], name: &str) -> Option<usize> {
    let is_it = |end: &[u8]| end.starts_with(b"</") && end[2..].eq_ignore_ascii_case(name.as_bytes());
    text.windows(name.len() + 2).position(is_it)
}

/// Where a tag or comment that begins here is over.
fn end_of_tag(text: &[u8]) -> Option<usize> {
    const COMMENT: &[u8] = b"<!--";
    if text.starts_with(COMMENT) {
        return text.windows(3).position(|end| end == b"-->").map(|start| start + 3);
    }
    match text.get(1) {
        None => return None,
        // Not everything that is less than something is a tag.
        Some(byte) if !byte.is_ascii_alphabetic() && !matches!(byte, b'/' | b'!' | b'?') => return Some(1),
        // More is needed to tell a comment from a declaration.
        Some(b'!') if COMMENT.starts_with(text) => return None,
        Some(_) => {}
    }
    let mut quote = None;
    let mut after_equals = false;
    for (index, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if after_equals => quote = Some(byte),
            (None, b'>') => return Some(index + 1),
            (None, _) => {}
        }
        after_equals = *byte == b'=' || after_equals && byte.is_ascii_whitespace();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/api/v1/namespaces/n/pods/p/proxy";

    fn place() -> Place {
        Place {
            prefix: PREFIX.to_owned(),
            host: Some(Authority::from_static("portolan:6443")),
            backend: ([10, 42, 0, 7], 80).into(),
        }
    }

    /// The page rewritten in pieces of every size; `@` stands for the prefix.
    fn check(page: &str, expected: &str) {
        for size in 1..=page.len() {
            let mut rewriter = Rewriter { place: place(), held: Vec::new(), raw: None };
            let mut out = Vec::new();
            for piece in page.as_bytes().chunks(size) {
                out.extend(rewriter.push(piece));
            }
            out.extend(rewriter.held);
            let out = String::from_utf8(out).expect("tags are cut at characters");
            assert_eq!(out.replace(PREFIX, "@"), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn links_lead_through_the_proxy() {
        check(r#"<a href="/x">t</a>"#, r#"<a href="@/x">t</a>"#);
        check("<IMG alt=a>b class='/no' SRC = '/i?a=b&amp;c' >", "<IMG alt=a>b class='/no' SRC = '/i?a=b&amp;c' >");
        check("<IMG class='/no>' SRC = '/i?a=b&amp;c' >", "<IMG class='/no>' SRC = '@/i?a=b&amp;c' >");
        check("<link href=/s.css><form action=/f/>", "<link href=@/s.css><form action=@/f/>");
        check(r#"<a href="https://portolan:6443/x">"#, r#"<a href="https://portolan:6443@/x">"#);
        check(r#"<a href="http://10.42.0.7:80/x">"#, r#"<a href="@/x">"#);
    }

    #[test]
    fn what_is_no_link_of_the_page_stays() {
        for page in [
            r#"<a href="x">"#,
            r#"<a href="//other/x">"#,
            r#"<a href="https://other/portolan:6443/x">"#,
            r#"<p href="/x">"#,
            r#"1 < 2 <!-- <a href="/x"> --> é <"#,
            r#"<script>let a = '<a href="/x">'; a <b=" </SCRIPT><b>"#,
            r#"<a href="/unfinished"#,
        ] {
            check(page, page);
        }
        let again = format!(r#"<a href="{PREFIX}/x">"#);
        check(&again, r#"<a href="@/x">"#);
    }

    #[test]
    fn the_path_is_cut_by_segments_as_names_may_hold_the_word() {
        for (path, is_namespaced, expected) in [
            (
                "/api/v1/namespaces/proxy-1/services/proxy/proxy",
                true,
                ("/api/v1/namespaces/proxy-1/services/proxy/proxy", ""),
            ),
            (
                "/api/v1/namespaces/n/pods/proxy-p:80/proxy/a//b%2F",
                true,
                ("/api/v1/namespaces/n/pods/proxy-p:80/proxy", "/a//b%2F"),
            ),
            ("/api/v1/nodes/proxy/proxy/logs/", false, ("/api/v1/nodes/proxy/proxy", "/logs/")),
        ] {
            assert_eq!(split(&path.parse().expect("it is a path"), is_namespaced), expected);
        }
    }
}

//! Addresses of resources on the web.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_base::go;

use super::{fail, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::{Entries, Key, Map, Value};

const URL: &str = "kubernetes.URL";

/// The parts of an absolute URL or of an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// With the port.
    host: String,
    path: String,
    query: String,
}

pub(super) const ROWS: &[Row] = &[
    Row("url", Global, &["string"], URL, |values| match values {
        [Value::String(text)] => match parse(text) {
            Ok(url) => Ok(Value::Url(Arc::new(url))),
            Err(why) => fail(format!("URL parse error during conversion from string: {why}")),
        },
        _ => no_overload(),
    }),
    Row("isURL", Global, &["string"], "bool", |values| match values {
        [Value::String(text)] => Ok(parse(text).is_ok().into()),
        _ => no_overload(),
    }),
    Row("getScheme", Member, &[URL], "string", |values| part(values, |url| url.scheme.clone())),
    Row("getHost", Member, &[URL], "string", |values| part(values, |url| url.host.clone())),
    Row("getHostname", Member, &[URL], "string", |values| part(values, |url| url.split_host().0.to_owned())),
    Row("getPort", Member, &[URL], "string", |values| part(values, |url| url.split_host().1.to_owned())),
    Row("getEscapedPath", Member, &[URL], "string", |values| part(values, |url| escaped(&url.path))),
    Row("getQuery", Member, &[URL], "map(string, list(string))", |values| match values {
        [Value::Url(url)] => Ok(query(&url.query)),
        _ => no_overload(),
    }),
];

fn part<'a>(values: &[Value<'a>], read: fn(&Url) -> String) -> Outcome<'a> {
    match values {
        [Value::Url(url)] => Ok(read(url).into()),
        _ => no_overload(),
    }
}

impl Url {
    fn split_host(&self) -> (&str, &str) {
        if let Some(rest) = self.host.strip_prefix('[') {
            let (name, after) = rest.split_once(']').unwrap_or((rest, ""));
            return (name, after.strip_prefix(':').unwrap_or_default());
        }
        self.host.rsplit_once(':').unwrap_or((&self.host, ""))
    }
}

/// Reads an absolute URL or an absolute path.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let refuse = |why: &str| format!("parse {}: {why}", go::quote(text));
    if text.is_empty() {
        return Err(refuse("empty url"));
    }
    if text.chars().any(|character| character.is_ascii_control()) {
        return Err(refuse("net/url: invalid control character in URL"));
    }
    let without_fragment = text.split('#').next().unwrap_or(text);
    let (scheme, rest) = match scheme_of(without_fragment) {
        Some((_, "")) if !without_fragment.ends_with(':') => return Err(refuse("missing protocol scheme")),
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None if without_fragment.starts_with(':') => return Err(refuse("missing protocol scheme")),
        None => (String::new(), without_fragment),
    };
    if scheme.is_empty() && !rest.starts_with('/') {
        return Err(refuse("invalid URI for request"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() => match after.find('/') {
            Some(slash) => after.split_at(slash),
            None => (after, ""),
        },
        _ => ("", rest),
    };
    if !scheme.is_empty() && host.is_empty() && !rest.starts_with('/') && rest.is_empty() {
        return Err(refuse("empty url"));
    }
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    check_host(host).map_err(|why| refuse(&why))?;
    if let Some(broken) = broken_escape(path) {
        return Err(refuse(&format!("invalid URL escape {}", go::quote(&broken))));
    }
    Ok(Url { scheme, host: host.to_owned(), path: path.to_owned(), query: query.to_owned() })
}

fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    is_scheme.then_some((scheme, rest))
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or("missing ']' in host")?;
            if name.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("invalid host: ParseAddr({}): unable to parse IP", go::quote(name)));
            }
            ("", after)
        }
        None => match host.rfind(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        },
    };
    if let Some(bad) = name.chars().find(|character| " <>\"{}|\\^`[]".contains(*character)) {
        return Err(format!("invalid character {} in host name", go::quote(&bad.to_string())));
    }
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (!port.is_empty() && !port.starts_with(':')) {
        return Err(format!("invalid port {} after host", go::quote(port)));
    }
    Ok(())
}

fn broken_escape(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let broken = |at: &usize| {
        bytes[*at] == b'%'
            && !(bytes.len() > at + 2 && bytes[at + 1].is_ascii_hexdigit() && bytes[at + 2].is_ascii_hexdigit())
    };
    (0..bytes.len()).find(broken).map(|at| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned())
}

/// A path with everything escaped that has to be, and what was escaped already left alone.
fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn query<'a>(text: &str) -> Value<'a> {
    let mut parameters: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (unescaped(name), unescaped(value)) else { continue };
        parameters.entry(name).or_default().push(value.into());
    }
    let entry = |(name, values): (String, Vec<Value<'a>>)| {
        (Key::String(name.as_str().into()), (Value::from(name), Value::list(values)))
    };
    let entries: Entries<'a> = parameters.into_iter().map(entry).collect();
    Value::Map(Map::Made(Arc::new(entries)))
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

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
        [Value::String(text)] => Ok(checked(text).is_ok().into()),
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
///
/// Source: `net/url` of Go, which upstream reads it with twice: as what a request asks for, and as a reference.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    checked(text)?;
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let refuse = |why: String| format!("parse {}: {why}", go::quote(text));
    unescaped(fragment, Part::Path).map_err(refuse)?;
    read(text).map_err(refuse)
}

/// Says what keeps a text from being what a request asks for, where a fragment is nothing special.
pub(super) fn checked(text: &str) -> Result<(), String> {
    read(text).map(drop).map_err(|why| format!("parse {}: {why}", go::quote(text)))
}

fn read(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() {
        return Err("empty url".into());
    }
    let mut url = Url { scheme: String::new(), host: String::new(), path: String::new(), query: String::new() };
    if text == "*" {
        url.path = text.to_owned();
        return Ok(url);
    }
    let (scheme, rest) = scheme_of(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        // What stands behind a scheme alone is left as it is.
        return if scheme.is_empty() { Err("invalid URI for request".into()) } else { Ok(url) };
    }
    let path = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(after) => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            url.host = host_of(&url.scheme, authority)?;
            path
        }
        None => rest,
    };
    unescaped(path, Part::Path)?;
    url.path = path.to_owned();
    Ok(url)
}

fn scheme_of(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The host of what stands between `//` and the path; who asks is left out.
fn host_of(scheme: &str, authority: &str) -> Result<String, String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let host = read_host(scheme, host)?;
    let is_of_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    match user {
        Some(user) if !user.bytes().all(is_of_user) => Err("net/url: invalid userinfo".into()),
        Some(user) => unescaped(user, Part::Path).map(|_| host),
        None => Ok(host),
    }
}

fn read_host(scheme: &str, host: &str) -> Result<String, String> {
    let bad_port = |port: &str| format!("invalid port {} after host", go::quote(port));
    let is_port = |port: &str| {
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match host.rfind('[') {
        Some(0) => {}
        Some(_) => return Err("invalid IP-literal".into()),
        None => {
            let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
            return match colon.map(|colon| &host[colon..]) {
                Some(port) if !is_port(port) => Err(bad_port(port)),
                _ => unescaped(host, Part::Host),
            };
        }
    }
    let close = host.rfind(']').ok_or("missing ']' in host")?;
    let (name, port) = (&host[1..close], &host[close + 1..]);
    if !is_port(port) {
        return Err(bad_port(port));
    }
    let name = match name.find("%25") {
        Some(zone) => unescaped(&name[..zone], Part::Host)? + &unescaped(&name[zone..], Part::Zone)?,
        None => unescaped(name, Part::Host)?,
    };
    match go::netip::parse_address(&name) {
        Err(why) => Err(format!("invalid host: {why}")),
        Ok((address, _)) if address.is_ipv4() => Err("invalid IP-literal".into()),
        Ok(_) => Ok(format!("[{name}]{port}")),
    }
}

/// Where something escaped stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Path,
    Query,
}

fn is_in_host(byte: u8) -> bool {
    !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

/// A text with what is escaped in it put in.
fn unescaped(text: &str, part: Part) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let wrong = |end: usize| {
            let escape = String::from_utf8_lossy(&bytes[at..end.min(bytes.len())]);
            format!("invalid URL escape {}", go::quote(&escape))
        };
        match byte {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                let value = match (digit(at + 1), digit(at + 2)) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                    _ => return Err(wrong(at + 3)),
                };
                let is_fine = match part {
                    // Only what is not ASCII is escaped in hosts.
                    Part::Host => value >= 0x80 || value == b'%',
                    Part::Zone => value == b'%' || value == b' ' || is_in_host(value),
                    Part::Path | Part::Query => true,
                };
                if !is_fine {
                    return Err(wrong(at + 3));
                }
                plain.push(value);
                at += 3;
                continue;
            }
            b'+' if part == Part::Query => plain.push(b' '),
            other if matches!(part, Part::Host | Part::Zone) && !is_in_host(*other) => {
                return Err(format!("invalid character {} in host name", go::quote(&char::from(*other).to_string())));
            }
            other => plain.push(*other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

/// A path as it came if it is one, else with everything escaped that has to be.
fn escaped(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    if path == "*" || path.bytes().all(|byte| is_plain(byte) || b"%!'()*[]".contains(&byte)) {
        return path.to_owned();
    }
    let mut escaped = String::with_capacity(path.len());
    for byte in unescaped(path, Part::Path).unwrap_or_default().bytes() {
        if is_plain(byte) {
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
        let (Ok(name), Ok(value)) = (unescaped(name, Part::Query), unescaped(value, Part::Query)) else { continue };
        parameters.entry(name).or_default().push(value.into());
    }
    let entry = |(name, values): (String, Vec<Value<'a>>)| {
        (Key::String(name.as_str().into()), (Value::from(name), Value::list(values)))
    };
    let entries: Entries<'a> = parameters.into_iter().map(entry).collect();
    Value::Map(Map::Made(Arc::new(entries)))
}

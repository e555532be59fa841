//! URLs as Go reads them, which decides what is refused, and in which words.
//!
//! Source: `net/url`.

use portolan_base::go;

/// What is known of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Url {
    /// In small letters; may be empty.
    pub(crate) scheme: String,
    /// With the port, if there is one.
    pub(crate) host: String,
    /// What stands before an `@`.
    pub(crate) user: Option<String>,
    pub(crate) query: String,
    pub(crate) fragment: String,
}

/// Where a text stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
    Fragment,
}

/// Reads a URL.
///
/// # Errors
/// It is none.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
    let wrong = |text: &str, problem: String| format!("parse {}: {problem}", go::quote(text));
    let url = without_fragment(whole).map_err(|problem| wrong(whole, problem))?;
    let fragment = unescaped(fragment, Part::Fragment).map_err(|problem| wrong(text, problem))?;
    Ok(Url { fragment, ..url })
}

fn without_fragment(text: &str) -> Result<Url, String> {
    if text.chars().any(|letter| letter.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    let has_authority = !scheme.is_empty() || !rest.starts_with("///");
    if let Some(behind) = rest.strip_prefix("//").filter(|_| has_authority) {
        let authority = behind.split('/').next().unwrap_or_default();
        path = &behind[authority.len()..];
        (url.user, url.host) = self::authority(authority)?;
    }
    unescaped(path, Part::Path)?;
    Ok(url)
}

/// A scheme, which may be missing, and what comes behind it.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (place, letter) in text.char_indices() {
        match letter {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if place > 0 => {}
            ':' if place == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..place], &text[place + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// User and host.
fn authority(text: &str) -> Result<(Option<String>, String), String> {
    let Some((user, host)) = text.rsplit_once('@') else { return Ok((None, host(text)?)) };
    let host = self::host(host)?;
    let is_user = |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
    if !user.chars().all(is_user) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    for part in user.splitn(2, ':') {
        unescaped(part, Part::User)?;
    }
    Ok((Some(user.to_owned()), host))
}

fn host(text: &str) -> Result<String, String> {
    let is_port = |text: &str| text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if text.starts_with('[') {
        let Some((_, behind)) = text.rsplit_once(']') else { return Err("missing ']' in host".to_owned()) };
        behind
    } else {
        text.rfind(':').map_or("", |colon| &text[colon..])
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return Err(format!("invalid port {} after host", go::quote(port)));
    }
    unescaped(text, Part::Host)
}

/// A text with what `%` stands for.
fn unescaped(text: &str, part: Part) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut unescaped = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(&byte) = bytes.get(place) {
        if byte == b'%' {
            let escape = bytes.get(place + 1..place + 3);
            // A number may have a sign, which is no digit.
            let digits = escape.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            let is_wrong = |value: u8| part == Part::Host && value < 0x80 && !text[place..].starts_with("%25");
            let Some(value) = value.filter(|value| !is_wrong(*value)) else {
                let end = (place + 3).min(bytes.len());
                let shown = String::from_utf8_lossy(&bytes[place..end]);
                return Err(format!("invalid URL escape {}", go::quote(&shown)));
            };
            unescaped.push(value);
            place += 3;
            continue;
        }
        let is_of_host = byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte);
        if part == Part::Host && byte < 0x80 && !is_of_host {
            return Err(format!("invalid character {} in host name", go::quote(&char::from(byte).to_string())));
        }
        unescaped.push(byte);
        place += 1;
    }
    Ok(String::from_utf8_lossy(&unescaped).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_what_go_takes_for_one() {
        let of = |scheme: &str, host: &str| Ok(Url { scheme: scheme.into(), host: host.into(), ..Url::default() });
        let cases = [
            ("https://a.example.com/x", of("https", "a.example.com")),
            ("HTTPS://a:443", of("https", "a:443")),
            ("https://[::1]:8443/a", of("https", "[::1]:8443")),
            ("https:///a", of("https", "")),
            ("//a/b", of("", "a")),
            ("", of("", "")),
            ("a b", of("", "")),
            ("1.2.3.4", of("", "")),
            ("mailto:a", of("mailto", "")),
            ("https://a?", of("https", "a")),
            (
                "https://u:p@a/?q=1#f",
                Ok(Url {
                    scheme: "https".into(),
                    host: "a".into(),
                    user: Some("u:p".into()),
                    query: "q=1".into(),
                    fragment: "f".into(),
                }),
            ),
            ("10%", Err(r#"parse "10%": invalid URL escape "%""#)),
            ("https://a/%zz1", Err(r#"parse "https://a/%zz1": invalid URL escape "%zz""#)),
            ("https://a/%+1", Err(r#"parse "https://a/%+1": invalid URL escape "%+1""#)),
            (":a", Err(r#"parse ":a": missing protocol scheme"#)),
            ("1:2", Err(r#"parse "1:2": first path segment in URL cannot contain colon"#)),
            ("https://a:b/", Err(r#"parse "https://a:b/": invalid port ":b" after host"#)),
            ("https://[::1", Err(r#"parse "https://[::1": missing ']' in host"#)),
            ("https://a b/", Err(r#"parse "https://a b/": invalid character " " in host name"#)),
            ("https://a%41/", Err(r#"parse "https://a%41/": invalid URL escape "%41""#)),
            ("https://u v@a/", Err(r#"parse "https://u v@a/": net/url: invalid userinfo"#)),
            ("https://a\n", Err(r#"parse "https://a\n": net/url: invalid control character in URL"#)),
            ("https://a#%", Err(r#"parse "https://a#%": invalid URL escape "%""#)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected.map_err(str::to_owned), "{text}");
        }
    }
}

//! Texts as Go's standard library writes them: `strconv.Quote`, and JSON that may stand in HTML.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// What Go shows as it is: letters, marks, numbers, punctuation and symbols. Of what is space only that of ASCII is.
static PRINTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\pL\pM\pN\pP\pS]$").expect("written by hand, and tested"));

/// Whether a letter is shown as it is: `unicode.IsPrint`.
pub fn is_printed(letter: char) -> bool {
    match letter {
        ' '..='~' => true,
        '\0'..'\u{80}' => false,
        _ => PRINTED.is_match(letter.encode_utf8(&mut [0; 4])),
    }
}

/// Quotes a text as `%q` of Go does: nothing that cannot be seen is left as it is.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        // Writing to a `String` cannot fail.
        let _ = match letter {
            '"' | '\\' => write!(quoted, "\\{letter}"),
            '\u{7}' => write!(quoted, "\\a"),
            '\u{8}' => write!(quoted, "\\b"),
            '\u{c}' => write!(quoted, "\\f"),
            '\n' => write!(quoted, "\\n"),
            '\r' => write!(quoted, "\\r"),
            '\t' => write!(quoted, "\\t"),
            '\u{b}' => write!(quoted, "\\v"),
            _ if is_printed(letter) => write!(quoted, "{letter}"),
            '\0'..'\u{80}' => write!(quoted, "\\x{:02x}", u32::from(letter)),
            ..='\u{ffff}' => write!(quoted, "\\u{:04x}", u32::from(letter)),
            _ => write!(quoted, "\\U{:08x}", u32::from(letter)),
        };
    }
    quoted.push('"');
    quoted
}

/// Quotes a text as Go's package `time` does, which shows nothing but ASCII.
pub(super) fn quote_ascii(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        // Writing to a `String` cannot fail.
        let _ = match byte {
            b'"' | b'\\' => write!(quoted, "\\{}", char::from(byte)),
            b' '..=0x7f => write!(quoted, "{}", char::from(byte)),
            _ => write!(quoted, "\\x{byte:02x}"),
        };
    }
    quoted.push('"');
    quoted
}

/// Quotes texts as `%q` of Go does a list of them: `["a" "b"]`.
pub fn quote_all(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    format!("[{}]", texts.join(" "))
}

/// A text in which nothing is markup to a browser.
pub fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// JSON as Go's package writes it by default: fit to stand in HTML.
pub fn html_safe(json: &str) -> Cow<'_, str> {
    // None of them stands outside of texts.
    let is_escaped = |letter: char| matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_escaped(letter) {
            // Writing to a `String` cannot fail.
            let _ = write!(safe, "\\u{:04x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Go's own `strconv.Quote` and `json.Marshal` gave them.
    #[test]
    fn what_cannot_be_seen_is_escaped() {
        for (text, quoted) in [
            ("plain 'text' <&>", r#""plain 'text' <&>""#),
            ("\"a\\b\"", r#""\"a\\b\"""#),
            ("\0\u{1}\u{1b}\u{7f}", r#""\x00\x01\x1b\x7f""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("a\u{200b}b\u{feff}\u{202e}", r#""a\u200bb\ufeff\u202e""#),
            ("\u{a0}\u{3000}\u{2028}\u{ad}\u{85}", r#""\u00a0\u3000\u2028\u00ad\u0085""#),
            ("é\u{301}٣名€\u{fffd}🙂", "\"é\u{301}٣名€\u{fffd}🙂\""),
            ("\u{e000}\u{e0001}\u{10ffff}", r#""\ue000\U000e0001\U0010ffff""#),
        ] {
            assert_eq!(quote(text), quoted, "{text:?}");
        }
    }

    /// As Go's own packages gave them.
    #[test]
    fn durations_lists_and_pages_have_ways_of_their_own() {
        assert_eq!(quote_ascii("\"a\\\n\u{7f}é"), "\"\\\"a\\\\\\x0a\u{7f}\\xc3\\xa9\"");
        assert_eq!(quote_all(&["a b".to_owned(), "\n".to_owned()]), r#"["a b" "\n"]"#);
        assert_eq!(quote_all(&[]), "[]");
        assert_eq!(without_markup("a<b>&amp;"), "a&lt;b&gt;&amp;amp;");
    }

    #[test]
    fn json_may_stand_in_html() {
        for (json, safe) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            ("[\"<a>&\u{2028}\u{2029}\u{200b}\"]", "[\"\\u003ca\\u003e\\u0026\\u2028\\u2029\u{200b}\"]"),
        ] {
            assert_eq!(html_safe(json), safe);
        }
    }
}

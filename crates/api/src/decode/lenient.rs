//! JSON that upstream reads although it is not quite JSON: text that is not Unicode, and numbers beyond all range.

use std::borrow::Cow;
use std::ops::Range;

/// How a half of a surrogate pair that stands alone is escaped instead.
const REPLACEMENT: &str = "\\ufffd";

/// A body with a replacement character for each byte that is part of no text, and for each escape that is half of a
/// pair without its other half.
///
/// The body should be well-formed but for those.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    let text = unicode(body);
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(start) = rest.find('\\') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let (kept, length) = match (code_unit(rest), rest.get(6..).and_then(code_unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (&rest[..12], 12),
            (Some(0xd800..0xe000), _) => (REPLACEMENT, 6),
            _ => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (&rest[..length], length)
            }
        };
        out.push_str(kept);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out.into()
}

/// The number of an escape `\uNNNN` at the beginning of a text.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

fn unicode(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(body) {
        return text.into();
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        // One for each byte, as Go does: not one for what could have been a character.
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text.into()
}

/// A body in which numbers that are too large for any type are as large as they may be; `None` if there are none.
pub(super) fn in_range(body: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    while let Some(found) = next_out_of_range(body, copied) {
        out.push_str(&body[copied..found.start]);
        out.push_str(if body[found.clone()].starts_with('-') { "-1e308" } else { "1e308" });
        copied = found.end;
    }
    (copied > 0).then(|| out + &body[copied..])
}

/// The first of those numbers.
pub(super) fn out_of_range(body: &str) -> Option<String> {
    next_out_of_range(body, 0).map(|found| body[found].to_owned())
}

fn next_out_of_range(body: &str, mut position: usize) -> Option<Range<usize>> {
    let bytes = body.as_bytes();
    loop {
        match bytes.get(position)? {
            b'"' => position = end_of_string(bytes, position),
            b'-' | b'0'..=b'9' => {
                let start = position;
                while bytes.get(position).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
                    position += 1;
                }
                if body[start..position].parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Some(start..position);
                }
            }
            _ => position += 1,
        }
    }
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(byte) = bytes.get(position) {
        match byte {
            b'"' => return position + 1,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_replaced() {
        let cases: [(&[u8], &str); 6] = [
            (b"{\"a\":\"\\\\ud800\"}", "{\"a\":\"\\\\ud800\"}"),
            (b"\"\xff\xfe\xe2\x82x\xed\xa0\x80\"", "\"\u{fffd}\u{fffd}\u{fffd}\u{fffd}x\u{fffd}\u{fffd}\u{fffd}\""),
            (b"\"\\ud800x\\udc00\"", "\"\\ufffdx\\ufffd\""),
            (b"\"\\ud83d\\ud83d\\ude00\"", "\"\\ufffd\\ud83d\\ude00\""),
            (b"\"\\ud800\\u0041\\uD800\"", "\"\\ufffd\\u0041\\ufffd\""),
            (b"\"\\n\\u00e4\"", "\"\\n\\u00e4\""),
        ];
        for (body, expected) in cases {
            assert_eq!(text(body), expected);
        }
    }

    #[test]
    fn numbers_beyond_all_range_are_clipped() {
        assert_eq!(in_range("[1e400,\"1e400\",-1e999,5]").as_deref(), Some("[1e308,\"1e400\",-1e308,5]"));
        assert_eq!(in_range("{\"a\\\"1e400\":1e300}"), None);
        assert_eq!(out_of_range("[1,{\"1e400\":-2e500}]").as_deref(), Some("-2e500"));
    }
}

//! Segments of paths as clients escape them. Pure.

use std::borrow::Cow;

/// Why a segment of a path cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// No two hexadecimal digits follow a percent sign.
    #[error("two hexadecimal digits must follow a %")]
    Escape,
    /// What the escapes say is no text.
    #[error("it is not UTF-8")]
    Encoding,
}

/// Reads one segment of a path.
///
/// # Errors
/// An escape is incomplete, or the bytes are not UTF-8.
pub fn decode_segment(segment: &str) -> Result<Cow<'_, str>, SegmentError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let (mut rest, mut decoded) = (segment.as_bytes(), Vec::with_capacity(segment.len()));
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(SegmentError::Escape) };
        // Two hexadecimal digits fit into a byte.
        decoded.push((high * 16 + low) as u8);
        rest = &after[2..];
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| SegmentError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_or_refused() {
        let cases = [
            ("plain", Ok("plain")),
            ("a%2Fb%20c", Ok("a/b c")),
            ("%c3%a4", Ok("ä")),
            ("%", Err(SegmentError::Escape)),
            ("a%2", Err(SegmentError::Escape)),
            ("%+1", Err(SegmentError::Escape)),
            ("%zz", Err(SegmentError::Escape)),
            ("%ä", Err(SegmentError::Escape)),
            ("%ff", Err(SegmentError::Encoding)),
        ];
        for (segment, expected) in cases {
            assert_eq!(decode_segment(segment).as_deref(), expected.as_deref(), "{segment}");
        }
    }
}

//! One line of a container's log, in the runtime interface's format. Pure.
//!
//! `2016-10-06T00:17:09.669794202Z stdout F the text`; `P` instead of `F` marks a part of a long line.

use portolan_base::Timestamp;

/// Which output a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A line, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) time: Timestamp,
    /// The time as it stands in the log.
    pub(crate) time_text: &'a str,
    pub(crate) stream: Stream,
    /// More of the same line follows.
    pub(crate) partial: bool,
    /// The text, with its line break if it is the end of a line.
    pub(crate) text: &'a [u8],
}

/// Reads a line of the log file, with or without its line break; `None` if it is not one.
pub(crate) fn parse(raw: &[u8]) -> Option<Line<'_>> {
    let (time_text, rest) = split(raw)?;
    let (stream, rest) = split(rest)?;
    let (tags, text) = split(rest)?;
    let time_text = std::str::from_utf8(time_text).ok()?;
    let partial = tags.split(|byte| *byte == b':').next()? == b"P";
    let text = match text.strip_suffix(b"\n") {
        // The break belongs to the file, not to the text that goes on.
        Some(without) if partial => without,
        _ => text,
    };
    Some(Line {
        time: time_text.parse().ok()?,
        time_text,
        stream: match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        },
        partial,
        text,
    })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_whole_and_partial_lines() {
        let whole = parse(b"2016-10-06T00:17:09.669794202Z stderr F a b\n").expect("a line");
        assert_eq!((whole.stream, whole.partial, whole.text), (Stream::Stderr, false, &b"a b\n"[..]));
        assert_eq!(whole.time.subsec_nanosecond(), 669_794_202);
        let part = parse(b"2016-10-06T00:17:09+02:00 stdout P a\n").expect("a line");
        assert_eq!((part.partial, part.text), (true, &b"a"[..]));
        for bad in [&b""[..], b"x stdout F a", b"2016-10-06T00:17:09Z stdxxx F a", b"2016-10-06T00:17:09Z stdout"] {
            assert_eq!(parse(bad), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn gives_back_what_was_written(
            seconds in 0_i64..4_000_000_000, nanos in 0_i32..1_000_000_000,
            text in proptest::collection::vec(any::<u8>().prop_filter("no break", |byte| *byte != b'\n'), 0..100),
            partial: bool,
        ) {
            let time = Timestamp::new(seconds, nanos).expect("in range");
            let mut raw = format!("{time} stdout {} ", if partial { "P" } else { "F" }).into_bytes();
            raw.extend(&text);
            raw.push(b'\n');
            let line = parse(&raw).expect("a line");
            prop_assert_eq!(line.time, time);
            prop_assert_eq!(line.partial, partial);
            prop_assert_eq!(line.text.strip_suffix(b"\n").unwrap_or(line.text), &text[..]);
        }
    }
}

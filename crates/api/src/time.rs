//! Times as the API writes them (RFC 3339, UTC).

use portolan_base::Timestamp;

/// `2026-01-02T03:04:05Z`, the form of almost every time in an object.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02T03:04:05.678901Z`, the form of lease and event times.
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads either form, in any zone.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Whether `text` is already in the form that [`format()`] writes.
pub(crate) fn is_canonical(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 20
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_both_forms() {
        let time: Timestamp = "2026-01-02T05:04:05.678901234+02:00".parse().expect("valid");
        assert_eq!(format(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro(time), "2026-01-02T03:04:05.678901Z");
        assert!(is_canonical(&format(time)) && !is_canonical(&format_micro(time)));
        assert_eq!(parse(&format_micro(time)).map(format_micro), Some(format_micro(time)));
    }
}

//! Times as the API writes them (RFC 3339, UTC).

pub mod layout;

use portolan_base::Timestamp;

/// `2026-01-02T03:04:05Z`, the form of almost every time in an object.
pub fn format(time: Timestamp) -> String {
    whole_seconds(time).to_string()
}

/// The same time as [`format()`] leaves it: without the part of its second.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `2026-01-02T03:04:05.678901Z`, the form of lease and event times.
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads either form, in any zone.
pub fn parse(text: &str) -> Option<Timestamp> {
    // What clients write is as Go's library reads it, which is a little more.
    text.parse().ok().or_else(|| layout::SECONDS.read(text).ok()?.parse().ok())
}

/// The seconds since 1970 of a text in the form that [`format()`] writes. `None` if it has another form, or is no
/// time that every clock shows.
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const DAYS_BEFORE_1970: i64 = 719_162;
    if !has_form(text) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year == 0 || !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years = year - 1;
    let days = years * 365 + years / 4 - years / 100
        + years / 400
        + DAYS_BEFORE_MONTH.get(usize::try_from(month).ok()?.checked_sub(1)?)?
        + i64::from(is_leap && month > 2)
        + day
        - 1
        - DAYS_BEFORE_1970;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Whether `text` is already in the form that [`format()`] writes.
pub(crate) fn is_canonical(text: &str) -> bool {
    has_form(text.as_bytes())
}

fn has_form(bytes: &[u8]) -> bool {
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
    fn seconds_are_those_of_the_parser() {
        let days = (-719_162_i64..2_900_000).step_by(97);
        for text in days.filter_map(|day| Timestamp::new(day * 86_400 + day.rem_euclid(86_399), 0).ok()).map(format) {
            assert_eq!(seconds(text.as_bytes()), parse(&text).map(Timestamp::as_second), "{text}");
        }
        let edges = ["2000-02-29T23:59:59Z", "2100-02-28T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-30T22:00:00Z"];
        for text in edges {
            assert_eq!(seconds(text.as_bytes()), parse(text).map(Timestamp::as_second), "{text}");
        }
        let none = [
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.1Z",
            "",
            "0000-01-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
        ];
        for text in none {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn writes_and_reads_both_forms() {
        let time: Timestamp = "2026-01-02T05:04:05.678901234+02:00".parse().expect("valid");
        assert_eq!(format(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro(time), "2026-01-02T03:04:05.678901Z");
        assert!(is_canonical(&format(time)) && !is_canonical(&format_micro(time)));
        assert_eq!(parse(&format_micro(time)).map(format_micro), Some(format_micro(time)));
    }
}

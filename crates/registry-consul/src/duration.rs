//! Durations as Go writes and reads them: `1h2m3.5s`, `100ms`.

use std::time::Duration;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration that is not negative; the error is worded as Go words it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if number.is_empty() || number == "." {
            return Err(invalid());
        }
        let end = tail.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        nanoseconds = nanoseconds.checked_add(scaled(number, *scale).ok_or_else(invalid)?).ok_or_else(invalid)?;
        rest = tail;
    }
    // Go's durations are 64-bit counts of nanoseconds.
    i64::try_from(nanoseconds)
        .ok()
        .and_then(|count| u64::try_from(count).ok())
        .map(Duration::from_nanos)
        .ok_or_else(invalid)
}

fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        total = total.checked_add(u128::from(digit.to_digit(10)?) * unit)?;
    }
    Some(total)
}

/// Writes a duration as Go does.
pub(crate) fn format(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let decimal = |value: u128, scale: u128| {
        let (whole, part) = (value / scale, value % scale);
        if part == 0 {
            return whole.to_string();
        }
        let width = scale.ilog10() as usize;
        format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
    };
    match nanoseconds {
        0 => "0s".into(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanoseconds, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanoseconds, 1_000_000)),
        _ => {
            let (minutes, rest) = (nanoseconds / 60_000_000_000, nanoseconds % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        let cases = [
            ("10s", 10_000, "10s"),
            ("100ms", 100, "100ms"),
            ("1h2m3.5s", 3_723_500, "1h2m3.5s"),
            ("90s", 90_000, "1m30s"),
            ("1.5h", 5_400_000, "1h30m0s"),
            ("0", 0, "0s"),
            ("+5m", 300_000, "5m0s"),
            (".5s", 500, "500ms"),
        ];
        for (text, milliseconds, written) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(format(Duration::from_millis(milliseconds)), written);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        let cases = [
            ("", "invalid duration"),
            ("10", "missing unit"),
            ("10x", "unknown unit \"x\""),
            ("s", "invalid duration"),
            ("-1s", "invalid duration"),
            ("99999999999h", "invalid duration"),
            ("1.2.3s", "invalid duration"),
        ];
        for (text, words) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

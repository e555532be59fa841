//! Durations, truth values and quoted texts as Go's standard library reads and writes them: clients, flags and
//! configuration files of programs written in Go have them in these forms. Its regular expressions are in [`regexp`], its
//! addresses in [`netip`].

use std::num::IntErrorKind;
use std::time::Duration;

pub mod netip;
mod quote;
pub mod regexp;

use quote::quote_ascii;
pub use quote::{html_safe, is_printed, quote, quote_all, without_markup};

/// Units of durations in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration as `time.ParseDuration` does, in nanoseconds: `1h2m3.5s`, `100ms`, `-1.5h`.
///
/// # Errors
/// It is none, or more than 64 bits hold; in Go's words without the `time: ` before them.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid duration {}", quote_ascii(text));
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut nanoseconds: i128 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|letter| !is_number(letter)).unwrap_or(rest.len()));
        if number.is_empty() || number == "." {
            return Err(invalid());
        }
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        if unit.is_empty() {
            return Err(format!("missing unit in duration {}", quote_ascii(text)));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {} in duration {}", quote_ascii(unit), quote_ascii(text)));
        };
        nanoseconds = nanoseconds.checked_add(scaled(number, *scale).ok_or_else(invalid)?).ok_or_else(invalid)?;
        rest = tail;
    }
    i64::try_from(if is_negative { -nanoseconds } else { nanoseconds }).map_err(|_| invalid())
}

/// A decimal number of units; what is below a nanosecond is cut off.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let total = whole.checked_mul(scale)?;
    // The exact rest of a unit, as units of minutes and hours are no powers of ten.
    let (mut digits, mut places) = (0_i128, 1_i128);
    for digit in fraction.chars() {
        let digit = i128::from(digit.to_digit(10)?);
        if places < 1_000_000_000_000_000_000 {
            (digits, places) = (digits * 10 + digit, places * 10);
        }
    }
    total.checked_add(digits * scale / places)
}

/// Writes a duration as Go's `Duration.String` does: `1h2m3.5s`, `5m0s`, `100ms`.
pub fn format_duration(duration: Duration) -> String {
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

/// Reads a number of 16 bits as `strconv.ParseUint` does; the error is in its words.
///
/// # Errors
/// It is none, or too large.
pub fn parse_u16(text: &str) -> Result<u16, String> {
    let why = match text.parse::<u16>() {
        // Rust takes a sign.
        _ if text.starts_with('+') => "invalid syntax",
        Ok(number) => return Ok(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => "value out of range",
        Err(_) => "invalid syntax",
    };
    Err(format!("strconv.ParseUint: parsing {}: {why}", quote(text)))
}

/// Reads a floating point number, as `strconv.ParseFloat`.
pub fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return (unsigned.len() == text.len()).then_some(f64::NAN),
        _ => {}
    }
    let digits = without_underscores(unsigned)?;
    let lower = digits.to_ascii_lowercase();
    let number = match lower.strip_prefix("0x") {
        Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
        None if lower.starts_with(|first: char| first.is_ascii_digit() || first == '.') => lower.parse().ok()?,
        None => return None,
    };
    number.is_finite().then_some(sign * number)
}

/// Underscores may stand between digits, and behind what says of which base they are.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let is_hexadecimal = text.len() > 1 && matches!(&bytes[..2], b"0x" | b"0X");
    let fits = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let behind_digit = at > 0 && (is_digit(bytes.get(at - 1)) || (is_hexadecimal && at == 2));
        behind_digit && is_digit(bytes.get(at + 1))
    });
    fits.then(|| text.replace('_', ""))
}

/// What stands behind `0x`: digits, and a power of two.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = text.split_once('p')?;
    let power: i32 = power.parse().ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let places = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(power.checked_sub(places)?))
}

/// Reads a truth value as `strconv.ParseBool` does; `None` if it is none.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_point_numbers_are_read_as_by_go() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            (".5e1", Some(5.0)),
            ("+1.", Some(1.0)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("infinity", Some(f64::INFINITY)),
            ("1_000.5", Some(1000.5)),
            ("0x1p-2", Some(0.25)),
            ("-0X_1.8P1", Some(-3.0)),
            ("1e400", None),
            ("_1", None),
            ("1__0", None),
            ("0x1", None),
            ("-nan", None),
            ("infinit", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(parse_float(text), expected, "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn small_numbers_are_read_as_go_does() {
        assert_eq!(parse_u16("0"), Ok(0));
        assert_eq!(parse_u16("65535"), Ok(65535));
        for (text, why) in [
            ("", "invalid syntax"),
            ("+1", "invalid syntax"),
            ("-1", "invalid syntax"),
            ("65536", "value out of range"),
        ] {
            assert_eq!(parse_u16(text), Err(format!("strconv.ParseUint: parsing \"{text}\": {why}")));
        }
    }

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        let cases = [
            ("10s", 10_000, "10s"),
            ("100ms", 100, "100ms"),
            ("1h2m3.5s", 3_723_500, "1h2m3.5s"),
            ("90s", 90_000, "1m30s"),
            ("1.5h", 5_400_000, "1h30m0s"),
            ("0.1m", 6_000, "6s"),
            ("0", 0, "0s"),
            ("+5m", 300_000, "5m0s"),
            (".5s", 500, "500ms"),
        ];
        for (text, milliseconds, written) in cases {
            assert_eq!(parse_duration(text), Ok(milliseconds * 1_000_000), "{text}");
            assert_eq!(format_duration(Duration::from_millis(milliseconds.unsigned_abs())), written);
        }
        assert_eq!(parse_duration("-1.5s"), Ok(-1_500_000_000));
        assert_eq!(parse_duration("0.0000000015s"), Ok(1), "less than a nanosecond is cut off");
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        let cases = [
            ("", "invalid duration \"\""),
            ("-", "invalid duration \"-\""),
            ("10", "missing unit in duration \"10\""),
            ("10x", "unknown unit \"x\" in duration \"10x\""),
            ("s", "invalid duration \"s\""),
            ("--1s", "invalid duration \"--1s\""),
            ("99999999999h", "invalid duration \"99999999999h\""),
            ("1.2.3s", "invalid duration \"1.2.3s\""),
            (
                "170141183460469231731687303715884105.9us",
                "invalid duration \"170141183460469231731687303715884105.9us\"",
            ),
        ];
        for (text, words) in cases {
            assert_eq!(parse_duration(text), Err(words.to_owned()));
        }
    }
}

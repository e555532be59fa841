//! What a text without quotes would be read as.
//!
//! Source: `go.yaml.in/yaml/v2`, `resolve`.

const WORDS: &[&str] = &[
    "", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false",
    "False", "FALSE", "off", "Off", "OFF", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF",
    "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// Whether it would be read as the same text.
pub(super) fn is_text(text: &str) -> bool {
    if WORDS.contains(&text) {
        return false;
    }
    match text.bytes().next() {
        Some(b'.') => !(has_lone_underscores(text) && is_float(&text.replace('_', ""))),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            !(is_timestamp(text) || is_sexagesimal(text) || is_integer(&plain) || is_float(&plain))
        }
        _ => true,
    }
}

/// Whether digits are all that underscores separate.
fn has_lone_underscores(text: &str) -> bool {
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    text.match_indices('_')
        .all(|(at, _)| is_digit(text[..at].chars().next_back()) && is_digit(text[at + 1..].chars().next()))
}

/// Numbers like `190:20:30` are not read by upstream's library, but by others.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let is_sixtieth = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|letter: char| letter.is_ascii_digit())
        && is_digits(first)
        && is_digits(fraction)
        && whole.contains(':')
        && parts.all(is_sixtieth)
}

/// Whole numbers as `strconv.ParseInt` and `ParseUint` read them, base by prefix.
fn is_integer(text: &str) -> bool {
    let (is_signed, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        // `0b` may be followed by a sign.
        return !is_signed && text.starts_with("0b") && i64::from_str_radix(digits, 2).is_ok();
    }
    match u64::from_str_radix(digits, radix) {
        Ok(_) if !is_signed => true,
        Ok(number) => number <= i64::MAX as u64 || text.starts_with('-') && number == 1 << 63,
        Err(_) => false,
    }
}

/// Decimal numbers that are not too large.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_well_formed = is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent));
    is_well_formed && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Times in the forms that the library knows: a date, or that with a time of day.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-').filter(|(year, _)| year.len() == 4) else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, rest) = rest.split_at(digits);
    let (Ok(year), Some(month), Some(day)) = (year.parse::<u16>(), two_digits(month), two_digits(day)) else {
        return false;
    };
    let days = match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if !(1..=days).contains(&day) {
        return false;
    }
    match rest.as_bytes().first() {
        None => true,
        Some(b' ') => time_of_day(&rest[1..]) == Some(""),
        Some(b'T' | b't') => time_of_day(&rest[1..]).is_some_and(is_zone),
        Some(_) => false,
    }
}

fn two_digits(text: &str) -> Option<i8> {
    text.parse().ok().filter(|_| matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What follows a time of day.
fn time_of_day(text: &str) -> Option<&str> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, mut rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let is_valid = two_digits(hour)? < 24 && two_digits(minute)? < 60 && two_digits(second)? < 60;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        rest = if digits > 0 { &fraction[digits..] } else { rest };
    }
    is_valid.then_some(rest)
}

fn is_zone(text: &str) -> bool {
    let Some((hour, minute)) = text.strip_prefix(['+', '-']).and_then(|zone| zone.split_once(':')) else {
        return text == "Z";
    };
    let within = |text: &str, most: i8| text.len() == 2 && two_digits(text).is_some_and(|number| number <= most);
    within(hour, 24) && within(minute, 60)
}

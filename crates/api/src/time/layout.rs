//! Times as Go's library reads them, and what it says of those that it does not.
//!
//! Source: `time.Parse` of Go.

use portolan_base::go;

/// The layout of [`super::format()`].
pub const SECONDS: Layout = Layout { text: "2006-01-02T15:04:05Z07:00", fraction: "" };

/// The layout of [`super::format_micro()`].
pub const MICROSECONDS: Layout = Layout { text: "2006-01-02T15:04:05.000000Z07:00", fraction: ".000000" };

/// A form of times.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// In Go's way of saying it.
    text: &'static str,
    /// The part for fractions of a second, which must have as many digits; without it any may be there.
    fraction: &'static str,
}

impl Layout {
    /// Why a text is no time of this form.
    pub fn problem(&self, text: &str) -> Option<String> {
        self.read(text).err()
    }

    /// The time in the usual form.
    ///
    /// # Errors
    /// What Go's library says.
    pub fn read(&self, text: &str) -> Result<String, String> {
        let mut rest = Rest(text);
        let read = read(&mut rest, self.fraction);
        read.map_err(|problem| match problem {
            Problem::Mismatch { at, element } => format!(
                "parsing time {} as {}: cannot parse {} as {}",
                go::quote(text),
                go::quote(self.text),
                go::quote(at),
                go::quote(element)
            ),
            Problem::OutOfRange(what) => format!("parsing time {}: {what} out of range", go::quote(text)),
            Problem::Extra(extra) => format!("parsing time {}: extra text: {}", go::quote(text), go::quote(extra)),
        })
    }
}

enum Problem<'t> {
    Mismatch { at: &'t str, element: &'static str },
    OutOfRange(&'static str),
    Extra(&'t str),
}

fn read<'t>(rest: &mut Rest<'t>, fraction: &'static str) -> Result<String, Problem<'t>> {
    let year = rest.digits(4, 4, "2006")?;
    rest.literal("-")?;
    let month = rest.number("01", 1..=12, "month")?;
    rest.literal("-")?;
    let day = rest.digits(2, 2, "02")?;
    rest.literal("T")?;
    let hour = rest.digits(1, 2, "15")?;
    if hour > 23 {
        return Err(Problem::OutOfRange("hour"));
    }
    rest.literal(":")?;
    let minute = rest.number("04", 0..=59, "minute")?;
    rest.literal(":")?;
    let second = rest.number("05", 0..=59, "second")?;
    let nanoseconds = rest.fraction(fraction)?;
    let zone = rest.zone()?;
    if !rest.0.is_empty() {
        return Err(Problem::Extra(rest.0));
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=days).contains(&day) {
        return Err(Problem::OutOfRange("day"));
    }
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{nanoseconds}{zone}"))
}

/// What is still to be read.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn literal(&mut self, wanted: &'static str) -> Result<(), Problem<'t>> {
        self.0 = self.0.strip_prefix(wanted).ok_or(Problem::Mismatch { at: self.0, element: wanted })?;
        Ok(())
    }

    /// A number of so many digits, or at most so many.
    fn digits(&mut self, least: usize, most: usize, element: &'static str) -> Result<u32, Problem<'t>> {
        let length = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let mismatch = Problem::Mismatch { at: self.0, element };
        if length < least {
            return Err(mismatch);
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        digits.parse().map_err(|_| mismatch)
    }

    /// A number of two digits.
    fn number(
        &mut self,
        element: &'static str,
        range: std::ops::RangeInclusive<u32>,
        name: &'static str,
    ) -> Result<u32, Problem<'t>> {
        let number = self.digits(2, 2, element)?;
        if range.contains(&number) { Ok(number) } else { Err(Problem::OutOfRange(name)) }
    }

    fn fraction(&mut self, element: &'static str) -> Result<String, Problem<'t>> {
        let mismatch = Problem::Mismatch { at: self.0, element };
        let digits = self.0.strip_prefix(['.', ',']);
        let length = digits.map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count());
        let length = match element.len().checked_sub(1) {
            None if length == 0 => return Ok(String::new()),
            None => length,
            Some(exactly) if length >= exactly => exactly,
            Some(_) => return Err(mismatch),
        };
        let (fraction, rest) = self.0.split_at(1 + length);
        self.0 = rest;
        Ok(format!(".{}", &fraction[1..=length.min(9)]))
    }

    fn zone(&mut self) -> Result<String, Problem<'t>> {
        if let Some(rest) = self.0.strip_prefix('Z') {
            self.0 = rest;
            return Ok("Z".to_owned());
        }
        let mismatch = || Problem::Mismatch { at: self.0, element: "Z07:00" };
        let zone = self.0.get(..6).ok_or_else(mismatch)?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
        let (sign, hours, minutes) = (zone.get(..1), zone.get(1..3).and_then(number), zone.get(4..).and_then(number));
        let (Some(sign), Some(hours), Some(minutes), Some(":")) = (sign, hours, minutes, zone.get(3..4)) else {
            return Err(mismatch());
        };
        if hours > 24 {
            return Err(Problem::OutOfRange("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(Problem::OutOfRange("time zone offset minute"));
        }
        if !matches!(sign, "+" | "-") {
            return Err(mismatch());
        }
        self.0 = &self.0[6..];
        Ok(zone.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        let (seconds, micro) = ("2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z07:00");
        for (layout, text, expected) in [
            (SECONDS, "2026-01-01T00:00:00Z", None),
            (SECONDS, "2026-01-01T1:00:00.5+01:00", None),
            (SECONDS, "2024-02-29T23:59:59,123456789012-23:59", None),
            (MICROSECONDS, "2026-01-01T00:00:00.123456Z", None),
            (SECONDS, "x", Some(format!("as \"{seconds}\": cannot parse \"x\" as \"2006\""))),
            (SECONDS, "", Some(format!("as \"{seconds}\": cannot parse \"\" as \"2006\""))),
            (SECONDS, "2026", Some(format!("as \"{seconds}\": cannot parse \"\" as \"-\""))),
            (SECONDS, "2026-1-01", Some(format!("as \"{seconds}\": cannot parse \"1-01\" as \"01\""))),
            (SECONDS, "2026-01-01", Some(format!("as \"{seconds}\": cannot parse \"\" as \"T\""))),
            (SECONDS, "2026-01-01 00:00:00Z", Some(format!("as \"{seconds}\": cannot parse \" 00:00:00Z\" as \"T\""))),
            (SECONDS, "2026-01-01T00:00:00", Some(format!("as \"{seconds}\": cannot parse \"\" as \"Z07:00\""))),
            (
                SECONDS,
                "2026-01-01T00:00:00+0100",
                Some(format!("as \"{seconds}\": cannot parse \"+0100\" as \"Z07:00\"")),
            ),
            (MICROSECONDS, "2026-01-01T00:00:00Z", Some(format!("as \"{micro}\": cannot parse \"Z\" as \".000000\""))),
            (
                MICROSECONDS,
                "2026-01-01T00:00:00.1234567Z",
                Some(format!("as \"{micro}\": cannot parse \"7Z\" as \"Z07:00\"")),
            ),
            (SECONDS, "2026-13-01T00:00:00Z", Some("month out of range".to_owned())),
            (SECONDS, "2026-02-29T00:00:00Z", Some("day out of range".to_owned())),
            (SECONDS, "2026-01-01T24:00:00Z", Some("hour out of range".to_owned())),
            (SECONDS, "2026-01-01T00:00:60Z", Some("second out of range".to_owned())),
            (SECONDS, "2026-01-01T00:00:00Zx", Some("extra text: \"x\"".to_owned())),
        ] {
            let separator = expected.as_ref().map_or("", |it| if it.starts_with("as ") { " " } else { ": " });
            let expected = expected.map(|it| format!("parsing time \"{text}\"{separator}{it}"));
            assert_eq!(layout.problem(text), expected, "{text}");
            assert!(expected.is_some() || crate::time::parse(text).is_some(), "{text}");
        }
    }
}

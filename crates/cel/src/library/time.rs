//! Lengths and points of time.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use portolan_base::go;

use super::{fail, no_overload};
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Member};
use crate::moment::Moment;
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;

pub(super) const ROWS: &[Row] = &[
    Row("getFullYear", Member, &["timestamp"], "int", |values| part(values, |time| time.year().into())),
    Row("getFullYear", Member, &["timestamp", "string"], "int", |values| part(values, |time| time.year().into())),
    Row("getMonth", Member, &["timestamp"], "int", |values| part(values, |time| i64::from(time.month()) - 1)),
    Row("getMonth", Member, &["timestamp", "string"], "int", |values| part(values, |time| i64::from(time.month()) - 1)),
    Row("getDate", Member, &["timestamp"], "int", |values| part(values, |time| time.day().into())),
    Row("getDate", Member, &["timestamp", "string"], "int", |values| part(values, |time| time.day().into())),
    Row("getDayOfMonth", Member, &["timestamp"], "int", |values| part(values, |time| i64::from(time.day()) - 1)),
    Row("getDayOfMonth", Member, &["timestamp", "string"], "int", |values| {
        part(values, |time| i64::from(time.day()) - 1)
    }),
    Row("getDayOfWeek", Member, &["timestamp"], "int", |values| part(values, week_day)),
    Row("getDayOfWeek", Member, &["timestamp", "string"], "int", |values| part(values, week_day)),
    Row("getDayOfYear", Member, &["timestamp"], "int", |values| {
        part(values, |time| i64::from(time.date().day_of_year()) - 1)
    }),
    Row("getDayOfYear", Member, &["timestamp", "string"], "int", |values| {
        part(values, |time| i64::from(time.date().day_of_year()) - 1)
    }),
    Row("getHours", Member, &["timestamp"], "int", |values| part(values, |time| time.hour().into())),
    Row("getHours", Member, &["timestamp", "string"], "int", |values| part(values, |time| time.hour().into())),
    Row("getMinutes", Member, &["timestamp"], "int", |values| part(values, |time| time.minute().into())),
    Row("getMinutes", Member, &["timestamp", "string"], "int", |values| part(values, |time| time.minute().into())),
    Row("getSeconds", Member, &["timestamp"], "int", |values| part(values, |time| time.second().into())),
    Row("getSeconds", Member, &["timestamp", "string"], "int", |values| part(values, |time| time.second().into())),
    Row("getMilliseconds", Member, &["timestamp"], "int", |values| part(values, |time| time.millisecond().into())),
    Row("getMilliseconds", Member, &["timestamp", "string"], "int", |values| {
        part(values, |time| time.millisecond().into())
    }),
    Row("getHours", Member, &["duration"], "int", |values| length(values, |nanos| nanos / (3600 * SECOND))),
    Row("getMinutes", Member, &["duration"], "int", |values| length(values, |nanos| nanos / (60 * SECOND))),
    Row("getSeconds", Member, &["duration"], "int", |values| length(values, |nanos| nanos / SECOND)),
    Row("getMilliseconds", Member, &["duration"], "int", |values| length(values, |nanos| nanos / 1_000_000)),
];

fn week_day(time: &DateTime) -> i64 {
    time.date().weekday().to_sunday_zero_offset().into()
}

fn part<'a>(values: &[Value<'a>], read: fn(&DateTime) -> i64) -> Outcome<'a> {
    let Value::Timestamp(time) = &values[0] else { return no_overload() };
    let ahead = match values.get(1) {
        None => 0,
        Some(Value::String(name)) => ahead(*time, name).map_err(EvaluationError::text)?,
        Some(_) => return no_overload(),
    };
    time.shown(ahead).map_or_else(|| fail("timestamp overflow"), |shown| Ok(Value::Int(read(&shown))))
}

fn length<'a>(values: &[Value<'a>], read: fn(i64) -> i64) -> Outcome<'a> {
    match values {
        [Value::Duration(nanos)] => Ok(Value::Int(read(*nanos))),
        _ => no_overload(),
    }
}

/// How many seconds a zone is ahead of UTC. It is named by its offset (`-05:30`) or by its name, which is looked up in
/// what the machine knows.
fn ahead(time: Moment, name: &str) -> Result<i64, String> {
    let Some((hours, minutes)) = name.split_once(':') else {
        let zone = zone(name).ok_or_else(|| format!("unknown time zone {name}"))?;
        return Ok(time.ahead_in(&zone));
    };
    let number = |text: &str| {
        text.parse::<i32>().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", go::quote(text)))
    };
    let minutes = (i64::from(number(hours)?), i64::from(number(minutes)?));
    Ok((minutes.0 * 60 + if name.starts_with('-') { -minutes.1 } else { minutes.1 }) * 60)
}

fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC" | "Local") {
        return Some(TimeZone::UTC);
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_+-/".contains(character);
    if name.starts_with('/') || !name.chars().all(is_name) {
        return None;
    }
    let data = std::fs::read(Path::new("/usr/share/zoneinfo").join(name)).ok()?;
    TimeZone::tzif(name, &data).ok()
}

/// A sum with a duration in it.
pub(super) fn add<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Timestamp(time), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(time)] => {
            shifted(*time, *nanos)
        }
        [Value::Duration(left), Value::Duration(right)] => duration(left.checked_add(*right)),
        _ => no_overload(),
    }
}

pub(super) fn subtract<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Timestamp(left), Value::Timestamp(right)] => duration(left.since(*right)),
        [Value::Timestamp(time), Value::Duration(nanos)] => match nanos.checked_neg() {
            Some(nanos) => shifted(*time, nanos),
            None => duration(None),
        },
        [Value::Duration(left), Value::Duration(right)] => duration(left.checked_sub(*right)),
        _ => no_overload(),
    }
}

fn duration<'a>(nanos: Option<i64>) -> Outcome<'a> {
    nanos.map(Value::Duration).ok_or(EvaluationError::text("integer overflow"))
}

fn shifted<'a>(time: Moment, nanos: i64) -> Outcome<'a> {
    time.shifted(nanos).map(Value::Timestamp).ok_or(EvaluationError::text("timestamp overflow"))
}

pub(super) fn of_seconds<'a>(seconds: i64) -> Outcome<'a> {
    match Moment::new(seconds, 0) {
        Some(time) => Ok(Value::Timestamp(time)),
        None => fail("timestamp overflow"),
    }
}

/// Reads RFC 3339 or a date.
pub(crate) fn parse_timestamp(text: &str) -> Option<Moment> {
    if text.len() == 10 {
        return Moment::parse(&format!("{text}T00:00:00Z")).ok();
    }
    Moment::parse(text).ok()
}

/// Seconds, with as many decimals as it takes.
pub(crate) fn duration_text(nanos: i64) -> String {
    let (whole, rest) = ((nanos / SECOND).unsigned_abs(), (nanos % SECOND).unsigned_abs());
    let sign = if nanos < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}s");
    }
    let decimals = format!("{rest:09}");
    format!("{sign}{whole}.{}s", decimals.trim_end_matches('0'))
}

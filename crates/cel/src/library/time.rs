//! Lengths and points of time.

use std::path::Path;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::{fail, no_overload};
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Member};
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
    Row("getDayOfYear", Member, &["timestamp"], "int", |values| part(values, |time| i64::from(time.day_of_year()) - 1)),
    Row("getDayOfYear", Member, &["timestamp", "string"], "int", |values| {
        part(values, |time| i64::from(time.day_of_year()) - 1)
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

fn week_day(time: &Zoned) -> i64 {
    time.weekday().to_sunday_zero_offset().into()
}

fn part<'a>(values: &[Value<'a>], read: fn(&Zoned) -> i64) -> Outcome<'a> {
    let Value::Timestamp(time) = &values[0] else { return no_overload() };
    let zone = match values.get(1) {
        None => TimeZone::UTC,
        Some(Value::String(name)) => {
            zone(name).ok_or_else(|| EvaluationError::text(format!("unknown time zone {}", &**name)))?
        }
        Some(_) => return no_overload(),
    };
    Ok(Value::Int(read(&time.to_zoned(zone))))
}

fn length<'a>(values: &[Value<'a>], read: fn(i64) -> i64) -> Outcome<'a> {
    match values {
        [Value::Duration(nanos)] => Ok(Value::Int(read(*nanos))),
        _ => no_overload(),
    }
}

/// A time zone by offset (`-05:30`) or name. Names are looked up in what the machine knows.
fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC") {
        return Some(TimeZone::UTC);
    }
    if let Some((hours, minutes)) = name.split_once(':') {
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let hours: i32 = hours.parse().ok()?;
        let minutes: i32 = minutes.parse().ok()?;
        let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(sign * 60)?)?;
        return Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?));
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
        [Value::Timestamp(left), Value::Timestamp(right)] => {
            duration(i64::try_from(left.as_nanosecond() - right.as_nanosecond()).ok())
        }
        [Value::Timestamp(time), Value::Duration(nanos)] => match nanos.checked_neg() {
            Some(nanos) => shifted(*time, nanos),
            None => duration(None),
        },
        [Value::Duration(left), Value::Duration(right)] => duration(left.checked_sub(*right)),
        _ => no_overload(),
    }
}

fn duration<'a>(nanos: Option<i64>) -> Outcome<'a> {
    nanos.map(Value::Duration).ok_or(EvaluationError::text("duration overflow"))
}

fn shifted<'a>(time: Timestamp, nanos: i64) -> Outcome<'a> {
    let moved = time.checked_add(SignedDuration::from_nanos(nanos)).ok().filter(is_in_range);
    moved.map(Value::Timestamp).ok_or(EvaluationError::text("timestamp overflow"))
}

/// Years 1 to 9999.
fn is_in_range(time: &Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&time.as_second())
}

pub(super) fn of_seconds<'a>(seconds: i64) -> Outcome<'a> {
    match Timestamp::from_second(seconds).ok().filter(is_in_range) {
        Some(time) => Ok(Value::Timestamp(time)),
        None => fail("range error converting 'int' to 'google.protobuf.Timestamp'"),
    }
}

/// Reads RFC 3339.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let separated = text.as_bytes().get(10).is_some_and(|byte| *byte == b'T');
    text.parse().ok().filter(|time| separated && is_in_range(time))
}

/// Reads RFC 3339 or a date.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    if text.len() == 10 {
        return parse_rfc3339(&format!("{text}T00:00:00Z"));
    }
    parse_rfc3339(text)
}

pub(crate) fn timestamp_text(time: Timestamp) -> String {
    time.to_string()
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

//! What a config entry may say, as tables, and reading a body by them. Pure.
//!
//! As in Consul, names of fields may be written in any letter case and with underscores, a number or a truth value may
//! come as text, and one thing may stand where a list of things is meant.

use portolan_base::go::{parse_bool, parse_duration};
use serde_json::{Map, Number, Value};

use crate::duration;

/// The shape of a field.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Integer,
    /// From zero up to this.
    Unsigned(u64),
    /// With digits behind the point.
    Fraction,
    Switch,
    /// As Go writes durations.
    Duration,
    /// The same duration where Consul's types leave it to Go's JSON, which writes a number of nanoseconds.
    Nanoseconds,
    /// Where Consul's types have a pointer: zero says something else than nothing.
    Given(&'static Shape),
    Texts,
    /// Whatever the client says.
    Free,
    /// By names of the client.
    Map(&'static Shape),
    List(&'static Shape),
    Object(Fields),
}

/// Names of fields, and their shapes.
pub(super) type Fields = &'static [(&'static str, &'static Shape)];

/// Fields of everything that can be in a tenancy: there is one, `default`.
const TENANCY: [&str; 2] = ["Namespace", "Partition"];
/// What answers say, so that it may come back.
const INDEXES: [&str; 2] = ["CreateIndex", "ModifyIndex"];

/// Reads an object: names as in the tables, and without what is empty. Fails in words.
pub(super) fn read(object: Map<String, Value>, fields: Fields) -> Result<Map<String, Value>, String> {
    read_at(object, fields, "", true)
}

fn read_at(object: Map<String, Value>, fields: Fields, path: &str, is_top: bool) -> Result<Map<String, Value>, String> {
    let mut read = Map::new();
    for (given, value) in object {
        let here = if path.is_empty() { given.clone() } else { format!("{path}.{given}") };
        if value.is_null() || is_top && INDEXES.iter().any(|name| is_named(&given, name)) {
            continue;
        }
        if TENANCY.iter().any(|name| is_named(&given, name)) && matches!(value.as_str(), Some("" | "default")) {
            continue;
        }
        let Some((name, shape)) = fields.iter().find(|(name, _)| is_named(&given, name)) else {
            return Err(format!("1 error occurred:\n\t* invalid config key {here:?}\n\n"));
        };
        let value = read_value(value, shape, &here)?;
        // Zero is as good as absent in most, so both are kept and shown alike; shares are shown always.
        let zero_counts = matches!(shape, Shape::Fraction | Shape::Given(_)) && !value.is_null();
        if zero_counts || !is_zero(&value) {
            read.insert((*name).to_owned(), value);
        }
    }
    Ok(read)
}

fn read_value(value: Value, shape: &Shape, path: &str) -> Result<Value, String> {
    let problem = |what: String| format!("1 error(s) decoding:\n\n* {what}");
    let failed = |wanted: &str| problem(format!("'{path}' expected {wanted}"));
    let parsed = |text: &str| text.parse::<f64>().ok();
    let integer = |value: &Value| match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    Ok(match (shape, value) {
        (Shape::Free, value) => value,
        (Shape::Text, Value::String(text)) => text.into(),
        (Shape::Text, Value::Number(number)) => number.to_string().into(),
        (Shape::Text, _) => return Err(failed("a text")),
        (Shape::Integer, value) => integer(&value).ok_or_else(|| failed("a number"))?.into(),
        (Shape::Unsigned(most), value) => match value.as_u64().or_else(|| integer(&value)?.try_into().ok()) {
            Some(number) if number <= *most => number.into(),
            _ => match integer(&value) {
                Some(number) => return Err(problem(format!("cannot parse '{path}', {number} overflows uint"))),
                None => return Err(failed("a number")),
            },
        },
        (Shape::Fraction, Value::Number(number)) => number.into(),
        (Shape::Fraction, Value::String(text)) => {
            let number = parsed(&text).and_then(Number::from_f64);
            number.ok_or_else(|| failed("a number"))?.into()
        }
        (Shape::Fraction, _) => return Err(failed("a number")),
        (Shape::Switch, Value::Bool(flag)) => flag.into(),
        (Shape::Switch, Value::String(text)) => parse_bool(&text).ok_or_else(|| failed("true or false"))?.into(),
        (Shape::Switch, _) => return Err(failed("true or false")),
        (Shape::Duration | Shape::Nanoseconds, Value::String(text)) if text.is_empty() => Value::Null,
        (Shape::Duration, Value::String(text)) => {
            let read = duration::parse(&text).map_err(|error| failed(&format!("a duration: {error}")))?;
            if read.is_zero() { Value::Null } else { duration::format(read).into() }
        }
        // A bare number counts nanoseconds.
        (Shape::Duration, value) => {
            let nanoseconds = integer(&value).and_then(|number| u64::try_from(number).ok());
            match nanoseconds.ok_or_else(|| failed("a duration"))? {
                0 => Value::Null,
                nanoseconds => duration::format(std::time::Duration::from_nanos(nanoseconds)).into(),
            }
        }
        (Shape::Nanoseconds, Value::String(text)) => {
            let read = parse_duration(&text).map_err(|error| failed(&format!("a duration: time: {error}")))?;
            read.into()
        }
        (Shape::Nanoseconds, value) => integer(&value).ok_or_else(|| failed("a duration"))?.into(),
        (Shape::Given(shape), value) => read_value(value, shape, path)?,
        (Shape::Texts, value) => each(value, &Shape::Text, path)?,
        (Shape::List(shape), value) => each(value, shape, path)?,
        (Shape::Map(shape), Value::Object(map)) => {
            let read = |(name, value)| {
                let value = read_value(value, shape, &format!("{path}[{name}]"))?;
                Ok::<_, String>((name, value))
            };
            Value::Object(map.into_iter().map(read).collect::<Result<_, _>>()?)
        }
        (Shape::Object(fields), Value::Object(object)) => Value::Object(read_at(object, fields, path, false)?),
        (Shape::Map(_) | Shape::Object(_), Value::Array(mut items)) if items.len() == 1 => {
            read_value(items.remove(0), shape, path)?
        }
        (Shape::Map(_) | Shape::Object(_), _) => return Err(failed("a map")),
    })
}

fn each(value: Value, shape: &Shape, path: &str) -> Result<Value, String> {
    let items = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    let read = |(at, value)| read_value(value, shape, &format!("{path}[{at}]"));
    items.into_iter().enumerate().map(read).collect()
}

/// Whether a name is meant: `ConnectTimeout`, `connecttimeout` and `connect_timeout` are one.
fn is_named(given: &str, name: &str) -> bool {
    given
        .bytes()
        .filter(|byte| *byte != b'_')
        .map(|byte| byte.to_ascii_lowercase())
        .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

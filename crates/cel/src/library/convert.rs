//! Conversions between types.

use std::sync::Arc;

use portolan_base::go;

use super::{fail, no_overload, time};
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Global};
use crate::moment::{Moment, NoMoment};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row("type", Global, &["A"], "type(A)", |values| Ok(Value::Type(Arc::from(values[0].type_name())))),
    Row("dyn", Global, &["A"], "dyn", |values| Ok(values[0].clone())),
    Row("bool", Global, &["bool"], "bool", |values| Ok(values[0].clone())),
    Row("bool", Global, &["string"], "bool", |values| match values[0].as_str().and_then(go::parse_bool) {
        Some(value) => Ok(value.into()),
        None => fail("type conversion error from 'string' to 'bool'"),
    }),
    Row("int", Global, &["int"], "int", int),
    Row("int", Global, &["uint"], "int", int),
    Row("int", Global, &["double"], "int", int),
    Row("int", Global, &["string"], "int", int),
    Row("int", Global, &["timestamp"], "int", int),
    Row("int", Global, &["duration"], "int", int),
    Row("uint", Global, &["uint"], "uint", uint),
    Row("uint", Global, &["int"], "uint", uint),
    Row("uint", Global, &["double"], "uint", uint),
    Row("uint", Global, &["string"], "uint", uint),
    Row("double", Global, &["double"], "double", double),
    Row("double", Global, &["int"], "double", double),
    Row("double", Global, &["uint"], "double", double),
    Row("double", Global, &["string"], "double", double),
    Row("string", Global, &["string"], "string", string),
    Row("string", Global, &["bool"], "string", string),
    Row("string", Global, &["bytes"], "string", string),
    Row("string", Global, &["double"], "string", string),
    Row("string", Global, &["duration"], "string", string),
    Row("string", Global, &["int"], "string", string),
    Row("string", Global, &["timestamp"], "string", string),
    Row("string", Global, &["uint"], "string", string),
    Row("bytes", Global, &["bytes"], "bytes", |values| Ok(values[0].clone())),
    Row("bytes", Global, &["string"], "bytes", |values| match &values[0] {
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        _ => no_overload(),
    }),
    Row("duration", Global, &["duration"], "duration", |values| Ok(values[0].clone())),
    // Declared, but never done.
    Row("duration", Global, &["int"], "duration", |_| {
        fail("type conversion error from 'int' to 'google.protobuf.Duration'")
    }),
    Row("duration", Global, &["string"], "duration", |values| {
        let parsed = values[0].as_str().and_then(|text| go::parse_duration(text).ok());
        parsed
            .map(Value::Duration)
            .ok_or(EvaluationError::text("type conversion error from 'string' to 'google.protobuf.Duration'"))
    }),
    Row("timestamp", Global, &["timestamp"], "timestamp", |values| Ok(values[0].clone())),
    Row("timestamp", Global, &["int"], "timestamp", |values| match values {
        [Value::Int(seconds)] => time::of_seconds(*seconds),
        _ => no_overload(),
    }),
    Row("timestamp", Global, &["string"], "timestamp", |values| match values[0].as_str().map(Moment::parse) {
        Some(Ok(moment)) => Ok(Value::Timestamp(moment)),
        Some(Err(NoMoment::Overflow)) => fail("timestamp overflow"),
        _ => fail("type conversion error from 'string' to 'google.protobuf.Timestamp'"),
    }),
];

fn int<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || EvaluationError::text("integer overflow");
    let value = match &values[0] {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| overflow())?,
        // The bounds themselves are not exact as floating point numbers.
        Value::Double(value) if *value > -(2f64.powi(63)) && *value < 2f64.powi(63) => *value as i64,
        Value::Double(_) => return Err(overflow()),
        Value::String(text) => {
            text.parse().map_err(|_| EvaluationError::text("type conversion error from 'string' to 'int'"))?
        }
        Value::Timestamp(time) => time.seconds(),
        Value::Duration(nanos) => *nanos,
        _ => return no_overload(),
    };
    Ok(Value::Int(value))
}

fn uint<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || EvaluationError::text("unsigned integer overflow");
    let value = match &values[0] {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).map_err(|_| overflow())?,
        Value::Double(value) if *value >= 0.0 && *value < 2f64.powi(64) => *value as u64,
        Value::Double(_) => return Err(overflow()),
        Value::String(text) => {
            let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
            parsed.ok_or(EvaluationError::text("type conversion error from 'string' to 'uint'"))?
        }
        _ => return no_overload(),
    };
    Ok(Value::Uint(value))
}

fn double<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let value = match &values[0] {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::String(text) => {
            go::parse_float(text).ok_or(EvaluationError::text("type conversion error from 'string' to 'double'"))?
        }
        _ => return no_overload(),
    };
    Ok(Value::Double(value))
}

fn string<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match &values[0] {
        Value::String(_) => Ok(values[0].clone()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned().into()),
            Err(_) => fail("invalid UTF-8 in bytes, cannot convert to string"),
        },
        other => Ok(plain(other).into()),
    }
}

/// A value as text, for messages and `string()`.
pub(crate) fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::String(text) => text.to_string(),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Timestamp(time) => time.to_string(),
        Value::Type(name) => name.to_string(),
        other => other.type_name().to_owned(),
    }
}

/// The shortest text, with an exponent for very large and very small numbers, as Go's `%g`.
pub(crate) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

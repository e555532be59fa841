//! Takes the values of a patched object over into upstream's types, without a decoder between them.
//!
//! Source: `k8s.io/apimachinery/pkg/runtime/converter.go`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

use super::check::own_problem;
use super::place::Place;
use crate::description::{Schema, Type};
use crate::go_text::go_type;

/// Brings numbers into the form of their types: a strategic merge patch may say 2.0 where there are integers, and what
/// is too large for one wraps around.
///
/// # Errors
/// A value is of a wrong type; the text is upstream's.
pub fn convert(value: &mut Value, schema: Schema<'_>) -> Result<(), String> {
    Converter { root: schema }.value(value, schema, &Place::Root)
}

struct Converter<'a> {
    root: Schema<'a>,
}

impl Converter<'_> {
    fn value(&self, value: &mut Value, schema: Schema<'_>, place: &Place<'_>) -> Result<(), String> {
        let r#type = schema.r#type();
        match (r#type, &mut *value) {
            (_, Value::Null) | (Type::Any | Type::Dynamic, _) => Ok(()),
            (Type::Struct(_), Value::Object(fields)) => fields.iter_mut().try_for_each(|(name, value)| {
                let Some(schema) = schema.field(name) else { return Ok(()) };
                self.value(value, schema, &Place::Field(place, name))
            }),
            (Type::Struct(_), other) => Err(format!("cannot restore struct from: {}", kind(other))),
            (Type::Map(_), Value::Object(fields)) => fields.iter_mut().try_for_each(|(name, value)| {
                let Some(schema) = schema.values() else { return Ok(()) };
                self.value(value, schema, &Place::Key(place, name))
            }),
            (Type::Map(_), other) => Err(format!("cannot restore map from {}", kind(other))),
            (Type::List(_), Value::Array(items)) => items.iter_mut().enumerate().try_for_each(|(index, value)| {
                let Some(schema) = schema.items() else { return Ok(()) };
                self.value(value, schema, &Place::Item(place, index))
            }),
            (Type::Bytes, Value::Array(items)) => {
                let bytes = items.iter().map(|item| Ok(integer(item, "uint8")? as u8));
                *value = STANDARD.encode(bytes.collect::<Result<Vec<u8>, String>>()?).into();
                Ok(())
            }
            (Type::Bytes, Value::String(_)) => match own_problem(r#type, value) {
                Some(problem) => Err(format!("error decoding from json: {problem}")),
                None => Ok(()),
            },
            (Type::List(_) | Type::Bytes, other) => Err(format!("cannot restore slice from {}", kind(other))),
            (Type::String, Value::String(_)) | (Type::Boolean, Value::Bool(_)) | (Type::Number, Value::Number(_)) => {
                Ok(())
            }
            (Type::String, Value::Number(number)) if number.is_i64() => {
                let wanted = place.declared(self.root).unwrap_or("string");
                Err(format!("cannot convert int64 to {wanted}"))
            }
            (Type::String, _) => Err("unrecognized type: string".into()),
            (Type::Boolean, _) => Err("unrecognized type: bool".into()),
            (Type::Number, _) => Err("unrecognized type: float64".into()),
            (Type::Int32, other) => {
                *value = Value::from(integer(other, "int32")? as i32);
                Ok(())
            }
            (Type::Int64, other) => {
                *value = Value::from(integer(other, "int64")?);
                Ok(())
            }
            (Type::Quantity | Type::Time | Type::MicroTime | Type::IntOrString | Type::Builtin(_), value) => {
                // They are written as JSON for their decoders, where a whole number has no fraction.
                if let Some(whole) = value.as_number().and_then(whole) {
                    *value = whole.into();
                }
                own_problem(r#type, value).map_or(Ok(()), Err)
            }
        }
    }
}

/// A number as an integer of 64 bits, whose lower part the smaller types take.
fn integer(value: &Value, wanted: &str) -> Result<i64, String> {
    let Value::Number(number) = value else { return Err(format!("unrecognized type: {wanted}")) };
    if let Some(number) = number.as_i64() {
        return Ok(number);
    }
    let float = number.as_f64().unwrap_or_default();
    if float.fract() != 0.0 {
        return Err(format!("cannot convert float64 to {wanted}"));
    }
    // What the processor makes of a number that is out of range.
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
    Ok(if in_range { float as i64 } else { i64::MIN })
}

fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64)
}

/// What reflection calls a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "map",
        Value::Array(_) => "slice",
        Value::Number(number) if !number.is_i64() => "float64",
        other => go_type(other),
    }
}

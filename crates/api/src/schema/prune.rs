//! Drops what the schema does not know, and gives values their one form.

use serde_json::{Map, Value};

use crate::description::{Schema, Type};
use crate::quantity::Quantity;
use crate::time;

use super::emptied::{Emptied, Step};

/// Drops unknown fields, nulls, and what upstream's types cannot tell from nothing, and writes quantities and
/// times in canonical form.
///
/// An empty list, an empty map, false, 0 and an empty text are nothing in fields that upstream neither points
/// to nor always shows: whoever writes an object back as he read it changes nothing then. The lists and maps
/// that were there are returned.
///
/// The object should have passed [`super::check()`]: values of a wrong type are left alone.
pub fn prune(value: &mut Value, schema: Schema<'_>) -> Emptied {
    let mut emptied = Emptied::default();
    prune_value(value, schema, &mut emptied);
    emptied
}

fn prune_value(value: &mut Value, schema: Schema<'_>, emptied: &mut Emptied) {
    match (schema.r#type(), value) {
        (Type::Struct(_), Value::Object(fields)) => fields.retain(|name, value| {
            let Some(schema) = schema.field(name) else { return false };
            if value.is_null() || schema.leaves_out(value) {
                emptied.note(name, value);
                return false;
            }
            emptied.within(|| Step::Field(name.clone()), |emptied| prune_value(value, schema, emptied));
            true
        }),
        (Type::Map(_), Value::Object(fields)) => prune_map(fields, schema, emptied),
        (Type::List(_), Value::Array(list)) => {
            let Some(items) = schema.items() else { return };
            for (index, item) in list.iter_mut().enumerate() {
                if item.is_null() {
                    *item = zero(items.r#type());
                }
                emptied.within(|| Step::Item(index), |emptied| prune_value(item, items, emptied));
            }
        }
        (Type::Quantity, value) => prune_quantity(value),
        (Type::Time, Value::String(text)) if !time::is_canonical(text) => {
            if let Some(time) = time::parse(text) {
                *text = time::format(time);
            }
        }
        (Type::MicroTime, Value::String(text)) => {
            if let Some(time) = time::parse(text) {
                *text = time::format_micro(time);
            }
        }
        _ => {}
    }
}

/// Whether a value that is no object or list is in its one form already.
pub(crate) fn is_canonical(r#type: &Type, value: &Value) -> bool {
    is_canonical_text(r#type, value.as_str())
}

/// The same of a text, or of what is none.
pub(crate) fn is_canonical_text(r#type: &Type, text: Option<&str>) -> bool {
    match (r#type, text) {
        (Type::Quantity, Some(text)) => is_plainly_canonical(text),
        (Type::Quantity, None) => false,
        (Type::Time, Some(text)) => time::is_canonical(text),
        (Type::MicroTime, Some(_)) => false,
        _ => true,
    }
}

fn prune_map(fields: &mut Map<String, Value>, schema: Schema<'_>, emptied: &mut Emptied) {
    let Some(values) = schema.values() else { return };
    for (key, value) in fields {
        if value.is_null() {
            *value = zero(values.r#type());
        }
        emptied.within(|| Step::Field(key.clone()), |emptied| prune_value(value, values, emptied));
    }
}

/// What upstream's decoder makes of a null where there must be a value.
fn zero(r#type: &Type) -> Value {
    match r#type {
        Type::String | Type::Bytes => Value::from(""),
        Type::Boolean => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::IntOrString | Type::Number => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Struct(_) | Type::Builtin(_) | Type::Map(_) => Value::Object(Map::new()),
        Type::Any | Type::Dynamic | Type::Time | Type::MicroTime | Type::List(_) => Value::Null,
    }
}

fn prune_quantity(value: &mut Value) {
    let parsed = match &*value {
        Value::String(text) if is_plainly_canonical(text) => return,
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => return,
    };
    if let Ok(quantity) = parsed {
        *value = Value::String(quantity.to_string());
    }
}

/// One to three digits without a leading zero, then a suffix that such a number keeps.
fn is_plainly_canonical(text: &str) -> bool {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    (1..=3).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(suffix, "" | "m" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti")
}

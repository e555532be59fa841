//! Fills in what upstream always shows.

use serde_json::{Map, Value};

use crate::description::{Schema, Type};

/// Fills in the fields that upstream's types always have: those that they neither point to nor leave out. An
/// absent text is an empty one there, an absent number 0, an absent structure one without anything.
///
/// The status of the object itself is left to [`fill_status`]: whoever writes an object does not write that.
pub fn fill(object: &mut Value, schema: Schema<'_>) {
    let had_status = object.get("status").is_some_and(|status| !status.is_null());
    fill_value(object, schema);
    if let (false, Some(fields)) = (had_status, object.as_object_mut()) {
        fields.remove("status");
    }
}

/// Fills in the status of an object, if objects of its kind always have one.
pub fn fill_status(object: &mut Value, schema: Schema<'_>) {
    let Some(definition) = schema.definition() else { return };
    let Some(inner) = definition.always().find(|field| &*field.name == "status").map(|field| schema.at(field)) else {
        return;
    };
    let Some(fields) = object.as_object_mut() else { return };
    let status = fields.entry("status").or_insert(Value::Null);
    if status.is_null() {
        *status = Value::Object(Map::new());
    }
    fill_value(status, inner);
}

fn fill_value(value: &mut Value, schema: Schema<'_>) {
    match (schema.r#type(), value) {
        (Type::Struct(_), Value::Object(fields)) => {
            let Some(definition) = schema.definition() else { return };
            for field in definition.always() {
                let is_there = fields.get(&*field.name).is_some_and(|value| !value.is_null());
                if let (false, Some(zero)) = (is_there, zero(schema.at(field).r#type())) {
                    fields.insert(field.name.to_string(), zero);
                }
            }
            for (name, value) in fields {
                if let (true, Some(schema)) = (is_container(value), schema.field(name)) {
                    fill_value(value, schema);
                }
            }
        }
        (Type::Map(_), Value::Object(fields)) => {
            let Some(values) = schema.values() else { return };
            fields.values_mut().filter(|value| is_container(value)).for_each(|value| fill_value(value, values));
        }
        (Type::List(_), Value::Array(list)) => {
            let Some(items) = schema.items() else { return };
            list.iter_mut().filter(|item| is_container(item)).for_each(|item| fill_value(item, items));
        }
        _ => {}
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// What is shown of nothing. Upstream shows lists, bytes and times that are not there as null, which says no more
/// than their absence.
pub(crate) fn zero(r#type: &Type) -> Option<Value> {
    Some(match r#type {
        Type::String => Value::from(""),
        Type::Boolean => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Struct(_) => Value::Object(Map::new()),
        _ => return None,
    })
}

//! Fills in what upstream always shows.

use serde_json::{Map, Value};

use crate::description::{Definition, Schema, Type};

/// Fills in the fields that upstream's types always have: those that they do not leave out. An absent text is an
/// empty one there, an absent number 0, an absent structure one without anything; all else is null.
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

/// Makes null what was as good as null once it was stored: the form in which upstream stores objects cannot tell
/// lists without anything from none. Those of fields that are not always there are dropped when they come.
pub fn drop_empty_lists(object: &mut Value, schema: Schema<'_>) {
    each_structure(object, schema, &|fields, _, definition| {
        for field in definition.always() {
            match fields.get_mut(&*field.name) {
                Some(value) if value.as_array().is_some_and(Vec::is_empty) => *value = Value::Null,
                _ => {}
            }
        }
    });
}

fn fill_value(value: &mut Value, schema: Schema<'_>) {
    each_structure(value, schema, &|fields, schema, definition| {
        for field in definition.always() {
            if fields.get(&*field.name).is_none_or(Value::is_null) {
                let zero = if field.is_never_null { zero(schema.at(field).r#type()) } else { None };
                fields.insert(field.name.to_string(), zero.unwrap_or(Value::Null));
            }
        }
    });
}

type Act<'a> = &'a dyn Fn(&mut Map<String, Value>, Schema<'_>, &Definition);

/// Does something with each structure in a value, the outer ones first.
fn each_structure(value: &mut Value, schema: Schema<'_>, act: Act<'_>) {
    match (schema.r#type(), value) {
        (Type::Struct(_), Value::Object(fields)) => {
            let Some(definition) = schema.definition() else { return };
            act(fields, schema, definition);
            for (name, value) in fields {
                if let (true, Some(schema)) = (is_container(value), schema.field(name)) {
                    each_structure(value, schema, act);
                }
            }
        }
        (Type::Map(_), Value::Object(fields)) => {
            let Some(values) = schema.values() else { return };
            fields
                .values_mut()
                .filter(|value| is_container(value))
                .for_each(|value| each_structure(value, values, act));
        }
        (Type::List(_), Value::Array(list)) => {
            let Some(items) = schema.items() else { return };
            list.iter_mut().filter(|item| is_container(item)).for_each(|item| each_structure(item, items, act));
        }
        _ => {}
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// What is shown of nothing, if it is not null as for lists, bytes and times.
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

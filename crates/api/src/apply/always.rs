//! Which fields are always there in upstream's eyes.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::description::{Schema, Type};

static TABLE: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("always.txt").lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let mut words = line.split(' ');
        Some((words.next()?, words.collect()))
    };
    lines.filter_map(entry).collect()
});

/// What an absent field of an object counts as: `None` if as absent.
pub(super) fn zero(object: Option<Schema<'_>>, field: &str, schema: Option<Schema<'_>>) -> Option<Value> {
    let definition = object?.definition()?;
    let fields = TABLE.get(&*definition.name)?;
    if !fields.contains(&field) {
        return None;
    }
    Some(match schema?.r#type() {
        Type::String | Type::Bytes => Value::from(""),
        Type::Boolean => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Struct(_) => Value::Object(Map::new()),
        _ => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::builtin;

    #[test]
    fn every_line_names_fields_of_a_definition() {
        for (name, fields) in TABLE.iter() {
            let schema = builtin().definition(name).unwrap_or_else(|| panic!("{name} is not defined"));
            for field in fields {
                let inner = schema.field(field);
                assert!(inner.is_some(), "{name} has no field {field}");
                assert!(zero(Some(schema), field, inner).is_some());
            }
        }
    }
}

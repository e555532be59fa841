//! Fills in what a definition's schema says stands where nothing was given.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/defaulting`.

use serde_json::Value;

use super::node::{Additional, Node};

/// Fills in defaults, and drops nulls where they are no value.
pub fn default(value: &mut Value, node: &Node) {
    fill(value, node);
    drop_nulls(value, node);
}

/// Gives whole numbers the form in which upstream writes them: without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
pub fn tidy_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(tidy_numbers),
        Value::Array(items) => items.iter_mut().for_each(tidy_numbers),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9.2e18);
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        _ => {}
    }
}

/// Whether a null stands where it is no value.
fn is_misplaced_null(value: &Value, node: &Node) -> bool {
    value.is_null() && !node.nullable
}

fn fill(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                if fields.get(name).is_none_or(|value| is_misplaced_null(value, property)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                if let Some(property) = node.properties.get(name) {
                    fill(value, property);
                } else if let Some(Additional::Schema(values)) = &node.additional {
                    fill_place(value, values);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = &node.items else { return };
            for item in items {
                fill_place(item, inner);
            }
        }
        _ => {}
    }
}

fn fill_place(value: &mut Value, node: &Node) {
    if is_misplaced_null(value, node)
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
    fill(value, node);
}

fn drop_nulls(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(inner) = node.field(name) else { return true };
            // A null where a default would have been is gone already.
            let goes = is_misplaced_null(value, inner);
            drop_nulls(value, inner);
            !goes
        }),
        Value::Array(items) => {
            let Some(inner) = &node.items else { return };
            items.iter_mut().for_each(|item| drop_nulls(item, inner));
        }
        _ => {}
    }
}

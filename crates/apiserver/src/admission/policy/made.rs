//! What expressions of mutations make.

use portolan_cel::{List, Map, Value};
use serde_json::{Value as Json, json};

/// Objects must be named after the fields that they stand in: `Object.spec.template` in `spec.template`.
pub(super) fn check_names(value: &Value<'_>, path: &str) -> Result<(), String> {
    match value {
        Value::Map(Map::Struct(name, entries)) => {
            if **name != *path {
                return Err(format!(
                    "type mismatch: unexpected type name \"{name}\", expected \"{path}\", which matches field name path from root Object type"
                ));
            }
            entries.values().try_for_each(|(field, value)| {
                let path = format!("{path}.{}", field.as_str().unwrap_or_default());
                check_names(value, &path)
            })
        }
        Value::Map(Map::Made(entries)) => entries.values().try_for_each(|(_, value)| check_names(value, path)),
        Value::List(list @ List::Made(..)) => list.iter().try_for_each(|item| check_names(&item, path)),
        _ => Ok(()),
    }
}

/// Applies the operations that an expression gave.
pub(super) fn patch(object: &Json, operations: &List<'_>) -> Result<Json, String> {
    let mut patched = object.clone();
    for operation in operations.iter() {
        let Value::Map(fields) = &operation else {
            let found = operation.type_name();
            return Err(format!(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {found}"
            ));
        };
        if let Some(value) = fields.field("value") {
            let name = value.type_name().to_owned();
            if name.starts_with("Object") {
                check_names(&value, &name)?;
            }
        }
        let mut operation = operation.to_json()?;
        for field in ["op", "path"] {
            if operation[field].is_null() {
                operation[field] = "".into();
            }
        }
        let outcome = portolan_api::patch::json::apply(&mut patched, &json!([operation]));
        match outcome {
            Ok(()) => {}
            // A test that fails means that the patch is not for this object.
            Err(_) if operation["op"] == "test" => return Ok(object.clone()),
            Err(error) => return Err(format!("JSON Patch: {error}")),
        }
    }
    Ok(patched)
}

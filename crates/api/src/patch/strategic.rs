//! Strategic merge patch: a merge patch that knows how lists are merged.
//!
//! Source: `k8s.io/apimachinery/pkg/util/strategicpatch`. The rules of a field stand in the schema:
//! its patch strategy (merge, replace, retainKeys) and the key that tells the items of a list
//! apart. A patch can say more by directives: `$patch: replace|delete|merge`, `$retainKeys`,
//! `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>`.

use serde_json::{Map, Value};

use super::Error;
use crate::description::{PatchStrategy, Schema};

mod list;
#[cfg(test)]
mod tests;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Applies `patch` to `document`, an object of the kind that `schema` describes.
///
/// # Errors
/// The patch is malformed, or an item of a list lacks its key. The document is then left as it was.
pub fn apply(document: &mut Value, patch: &Value, schema: Schema<'_>) -> Result<(), Error> {
    let (Value::Object(fields), Value::Object(changes)) = (&*document, patch) else {
        return Err(Error::Malformed("a strategic merge patch must be an object".into()));
    };
    let mut fields = fields.clone();
    merge_object(&mut fields, changes, Some(schema))?;
    *document = Value::Object(fields);
    Ok(())
}

/// What a patch says about one field, beside its value.
#[derive(Default, Clone, Copy)]
struct Rules<'a> {
    schema: Option<Schema<'a>>,
    strategy: PatchStrategy,
    key: Option<&'a str>,
}

impl<'a> Rules<'a> {
    fn of(schema: Option<Schema<'a>>, field: &str) -> Self {
        let Some(schema) = schema.and_then(|schema| schema.field(field)) else { return Self::default() };
        Self { schema: Some(schema), strategy: schema.patch_strategy(), key: schema.patch_merge_key() }
    }
}

fn merge_object(
    fields: &mut Map<String, Value>,
    changes: &Map<String, Value>,
    schema: Option<Schema<'_>>,
) -> Result<(), Error> {
    match changes.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => {
            *fields = changes.clone();
            fields.remove(PATCH);
            return Ok(());
        }
        Some(Some("delete")) => {
            fields.clear();
            return Ok(());
        }
        Some(other) => {
            let other = other.unwrap_or_default();
            return Err(Error::Malformed(format!("unknown patch type found: {other}")));
        }
    }
    retain_keys(fields, changes)?;
    for (name, values) in changes {
        let Some(field) = name.strip_prefix(DELETE_FROM) else { continue };
        let values = values.as_array().ok_or_else(|| expected_list(name))?;
        if let Some(Value::Array(items)) = fields.get_mut(field) {
            items.retain(|item| !values.contains(item));
        }
    }
    for (name, change) in changes {
        if name.starts_with('$') {
            if name.strip_prefix(DELETE_FROM).is_none()
                && name.strip_prefix(SET_ORDER).is_none()
                && name != PATCH
                && name != RETAIN_KEYS
            {
                return Err(Error::Malformed(format!("unknown directive {name}")));
            }
            continue;
        }
        let order = order_of(changes, name)?;
        let rules = Rules::of(schema, name);
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let merged = match (fields.remove(name), change) {
            (Some(Value::Object(mut inner)), Value::Object(changes)) if !rules.strategy.replace => {
                merge_object(&mut inner, changes, rules.schema)?;
                Some(Value::Object(inner))
            }
            (Some(Value::Array(items)), Value::Array(changes)) if rules.strategy.merge => {
                Some(Value::Array(list::merge(items, changes, order, rules)?))
            }
            (None, Value::Array(changes)) if rules.strategy.merge => {
                Some(Value::Array(list::merge(Vec::new(), changes, order, rules)?))
            }
            (_, change) => without_directives(change),
        };
        if let Some(merged) = merged {
            fields.insert(name.clone(), merged);
        }
    }
    // Lists whose order changes although no item does.
    for (name, order) in changes {
        let Some(field) = name.strip_prefix(SET_ORDER) else { continue };
        let order = order.as_array().ok_or_else(|| expected_list(name))?;
        if changes.contains_key(field) {
            continue;
        }
        if let Some(Value::Array(items)) = fields.get_mut(field) {
            let before = std::mem::take(items);
            *items = list::reorder(before.clone(), order, &before, Rules::of(schema, field).key);
        }
    }
    Ok(())
}

fn expected_list(directive: &str) -> Error {
    Error::Malformed(format!("{directive} must be a list"))
}

fn order_of<'a>(changes: &'a Map<String, Value>, field: &str) -> Result<Option<&'a Vec<Value>>, Error> {
    let name = format!("{SET_ORDER}{field}");
    changes.get(&name).map(|order| order.as_array().ok_or_else(|| expected_list(&name))).transpose()
}

/// Drops the fields that `$retainKeys` does not name.
fn retain_keys(fields: &mut Map<String, Value>, changes: &Map<String, Value>) -> Result<(), Error> {
    let Some(keys) = changes.get(RETAIN_KEYS) else { return Ok(()) };
    let keys: Vec<&str> =
        keys.as_array().ok_or_else(|| expected_list(RETAIN_KEYS))?.iter().filter_map(Value::as_str).collect();
    for (name, change) in changes {
        if !name.starts_with('$') && !change.is_null() && !keys.contains(&name.as_str()) {
            return Err(Error::Malformed(format!("{RETAIN_KEYS} does not name the field {name} of the patch")));
        }
    }
    fields.retain(|name, _| keys.contains(&name.as_str()));
    Ok(())
}

/// A part of a patch that meets nothing to merge with: without directives and nulls.
///
/// `None` if it is itself a deletion.
fn without_directives(change: &Value) -> Option<Value> {
    match change {
        Value::Object(fields) => {
            if fields.get(PATCH).and_then(Value::as_str) == Some("delete") {
                return None;
            }
            let kept = fields.iter().filter(|(name, value)| {
                let is_directive = *name == PATCH
                    || *name == RETAIN_KEYS
                    || name.starts_with(DELETE_FROM)
                    || name.starts_with(SET_ORDER);
                !is_directive && !value.is_null()
            });
            let kept = kept.filter_map(|(name, value)| Some((name.clone(), without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(without_directives).collect())),
        other => Some(other.clone()),
    }
}

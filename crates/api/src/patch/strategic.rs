//! Strategic merge patch: a merge patch that knows how lists are merged.
//!
//! Source: `k8s.io/apimachinery/pkg/util/strategicpatch`. The rules of a field stand in the schema:
//! its patch strategy (merge, replace, retainKeys) and the key that tells the items of a list
//! apart. A patch can say more by directives: `$patch: replace|delete`, `$retainKeys`,
//! `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>`.

use serde_json::{Map, Value};

use super::Error;
use crate::description::{PatchStrategy, Schema};
use crate::{go_text, go_type};

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
        return Err(Error::Malformed("strategic merge patch format is not supported".into()));
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
        None => {}
        Some(Some("replace")) => {
            *fields = changes.clone();
            fields.remove(PATCH);
            return Ok(());
        }
        Some(Some("delete")) => {
            fields.clear();
            return Ok(());
        }
        Some(_) => return Err(unknown_directive(changes)),
    }
    retain_keys(fields, changes)?;
    // Lists whose order is said come first, as upstream.
    for (name, order) in changes {
        let Some(field) = name.strip_prefix(SET_ORDER) else { continue };
        let order = order.as_array().ok_or_else(|| expected_list(order))?;
        merge_in_order(fields, field, changes.get(field), order, Rules::of(schema, field))?;
    }
    for (name, values) in changes {
        let Some(field) = name.strip_prefix(DELETE_FROM) else { continue };
        let Value::Array(values) = values else {
            return Err(Error::Malformed("invalid patch format of primitive list".into()));
        };
        if let Some(Value::Array(items)) = fields.get_mut(field) {
            items.retain(|item| !values.contains(item));
        }
    }
    for (name, change) in changes {
        let is_directive =
            name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER) || name == PATCH || name == RETAIN_KEYS;
        if is_directive || changes.contains_key(&format!("{SET_ORDER}{name}")) {
            continue;
        }
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let rules = Rules::of(schema, name);
        let merged = match (fields.remove(name), change) {
            (Some(Value::Object(mut inner)), Value::Object(changes)) if !rules.strategy.replace => {
                merge_object(&mut inner, changes, rules.schema)?;
                Some(Value::Object(inner))
            }
            (Some(Value::Array(items)), Value::Array(changes)) if rules.strategy.merge => {
                Some(Value::Array(list::merge(items, changes, rules)?))
            }
            // What replaces another of its kind is taken as it is, directives included.
            (Some(Value::Object(_)), Value::Object(_)) | (Some(Value::Array(_)), Value::Array(_)) => {
                Some(change.clone())
            }
            (_, change) => without_directives(change),
        };
        if let Some(merged) = merged {
            fields.insert(name.clone(), merged);
        }
    }
    Ok(())
}

/// Merges a list whose order the patch says. `change` is what it says of the items, if anything.
fn merge_in_order(
    fields: &mut Map<String, Value>,
    field: &str,
    change: Option<&Value>,
    order: &[Value],
    rules: Rules<'_>,
) -> Result<(), Error> {
    let as_list = |value: &Value| value.as_array().cloned().ok_or_else(|| expected_list(value));
    let found = fields.get(field).map(as_list).transpose()?;
    let changes = change.map(as_list).transpose()?;
    list::check_order(changes.as_deref().unwrap_or_default(), order, rules.key)?;
    let merged = match (found.clone(), &changes) {
        (None, None) => return Ok(()),
        (Some(items), None) => items,
        (None, Some(changes)) => changes.iter().filter_map(without_directives).collect(),
        (Some(items), Some(changes)) if rules.strategy.merge => list::merge(items, changes, rules)?,
        (Some(_), Some(changes)) => changes.clone(),
    };
    let before = found.unwrap_or_default();
    if before.is_empty() && changes.is_none_or(|changes| changes.is_empty()) {
        return Err(Error::Unexpected("no elements in any of the given slices".into()));
    }
    if let Some(key) = rules.key {
        list::expect_keys(&merged, key)?;
    }
    let ordered = list::reorder(merged, order, &before, rules.key);
    fields.insert(field.to_owned(), Value::Array(ordered));
    Ok(())
}

fn unknown_directive(changes: &Map<String, Value>) -> Error {
    let directive = match changes.get(PATCH) {
        Some(Value::String(text)) => text.clone(),
        // Upstream prints it as a text whatever it is.
        Some(Value::Object(_) | Value::Array(_)) | None => changes.get(PATCH).map(go_text).unwrap_or_default(),
        Some(Value::Null) => "%!s(<nil>)".into(),
        Some(other) => format!("%!s({}={})", go_type(other), go_text(other)),
    };
    Error::Unexpected(format!("unknown patch type: {directive} in map: {}", go_text(&Value::Object(changes.clone()))))
}

fn expected_list(found: &Value) -> Error {
    let found = match found {
        Value::Null | Value::Array(_) => "%!s(<nil>)",
        other => go_type(other),
    };
    Error::Unexpected(format!("expected a []interface {{}}, but received a {found}"))
}

/// Drops the fields that `$retainKeys` does not name.
fn retain_keys(fields: &mut Map<String, Value>, changes: &Map<String, Value>) -> Result<(), Error> {
    let Some(keys) = changes.get(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || Error::Malformed("invalid patch format of retainKeys".into());
    let keys: Vec<&str> = keys.as_array().ok_or_else(malformed)?.iter().filter_map(Value::as_str).collect();
    let is_directive = |name: &str| name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER);
    if changes.iter().any(|(name, change)| !is_directive(name) && !change.is_null() && !keys.contains(&name.as_str())) {
        return Err(malformed());
    }
    fields.retain(|name, _| keys.contains(&name.as_str()));
    Ok(())
}

/// A part of a patch that meets nothing to merge with: without nulls, and without what is to be deleted or replaced.
///
/// `None` if it is itself such a part. Other directives stay, as upstream: they are fields that no kind has, which the
/// check of fields reports as it would any other.
fn without_directives(change: &Value) -> Option<Value> {
    match change {
        Value::Object(fields) => {
            if fields.get(PATCH).is_some_and(|directive| !directive.is_null()) {
                return None;
            }
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.filter_map(|(name, value)| Some((name.clone(), without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(without_directives).collect())),
        other => Some(other.clone()),
    }
}

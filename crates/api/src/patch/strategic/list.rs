//! Merges lists.

use serde_json::Value;

use super::{Error, PATCH, Rules, merge_object};
use crate::{go_text, go_type};

/// Merges `changes` into `items`.
pub(super) fn merge(items: Vec<Value>, changes: &[Value], rules: Rules<'_>) -> Result<Vec<Value>, Error> {
    if items.is_empty() && changes.is_empty() {
        return Ok(items);
    }
    expect_one_type(&items, changes)?;
    let before = items.clone();
    let holds_objects = changes.iter().chain(&items).any(Value::is_object);
    let (merged, plain) = if holds_objects {
        let key = rules.key.ok_or_else(|| Error::Unexpected("cannot merge lists without merge key".into()))?;
        merge_objects(items, changes, key, rules)?
    } else {
        let mut merged = items;
        for change in changes {
            if !merged.contains(change) {
                merged.push(change.clone());
            }
        }
        (merged, changes.to_vec())
    };
    let key = if holds_objects { rules.key } else { None };
    Ok(reorder(merged, &plain, &before, key))
}

/// The merged items, and the changes that are not directives.
fn merge_objects(
    mut items: Vec<Value>,
    changes: &[Value],
    key: &str,
    rules: Rules<'_>,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let missing = |item: &Value| no_key(item, key);
    let directive = |item: &Value| item.get(PATCH).map(|it| it.as_str().unwrap_or_default().to_owned());
    let plain: Vec<Value> = changes.iter().filter(|change| directive(change).is_none()).cloned().collect();
    for change in changes {
        match directive(change).as_deref() {
            None => {}
            Some("delete") => {
                let value = change.get(key).ok_or_else(|| missing(change))?;
                items.retain(|item| item.get(key) != Some(value));
            }
            Some("merge") => {
                return Err(Error::Unexpected("merging lists cannot yet be specified in the patch".into()));
            }
            Some("replace") => {}
            Some(other) => {
                return Err(Error::Unexpected(format!("unknown patch type: {other} in map: {}", go_text(change))));
            }
        }
    }
    if changes.iter().any(|change| directive(change).as_deref() == Some("replace")) {
        expect_keys(&plain, key)?;
        return Ok((plain.iter().map(without_nulls).collect(), plain));
    }
    let item_schema = rules.schema.and_then(|schema| schema.items());
    for change in &plain {
        let value = change.get(key).ok_or_else(|| missing(change))?;
        match (items.iter_mut().find(|item| item.get(key) == Some(value)), change) {
            (Some(Value::Object(item)), Value::Object(change)) => merge_object(item, change, item_schema)?,
            _ => items.push(without_nulls(change)),
        }
    }
    Ok((items, plain))
}

/// Refuses items without their key.
pub(super) fn expect_keys(items: &[Value], key: &str) -> Result<(), Error> {
    items.iter().try_for_each(|item| item.get(key).map(drop).ok_or_else(|| no_key(item, key)))
}

fn no_key(item: &Value, key: &str) -> Error {
    Error::Unexpected(format!("map: {} does not contain declared merge key: {key}", go_text(item)))
}

/// Checks that the items of a patch come in the order that it demands, all of them named there.
pub(super) fn check_order(changes: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Error> {
    if order.is_empty() {
        return Ok(());
    }
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned().ok_or_else(|| no_key(item, key)),
        None => Ok(item.clone()),
    };
    let is_deletion =
        |change: &&Value| key.is_some() && change.get(PATCH).is_some_and(|directive| directive == "delete");
    let (mut changes_left, mut order_left) =
        (changes.iter().filter(|change| !is_deletion(change)).peekable(), order.iter().peekable());
    while let (Some(change), Some(next)) = (changes_left.peek(), order_left.peek()) {
        // Other directives stand anywhere but behind all that is named.
        if change.get(PATCH).is_some() {
            changes_left.next();
            continue;
        }
        if id(change)? == id(next)? {
            changes_left.next();
        }
        order_left.next();
    }
    if changes_left.peek().is_none() {
        return Ok(());
    }
    Err(Error::Unexpected(format!(
        "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
        go_text(&Value::Array(changes.to_vec())),
        go_text(&Value::Array(order.to_vec())),
    )))
}

/// An item that the list did not have: taken as it is, directives in it included, as upstream. The check of fields
/// reports those. What is null counts as not said.
fn without_nulls(change: &Value) -> Value {
    match change {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Refuses lists whose elements are of several types.
fn expect_one_type(items: &[Value], changes: &[Value]) -> Result<(), Error> {
    let mut types = items.iter().chain(changes).map(go_type);
    let Some(first) = types.next() else { return Ok(()) };
    if items.first().or(changes.first()).is_some_and(Value::is_array) {
        return Err(Error::Unexpected("lists of lists are not supported".into()));
    }
    if types.all(|other| other == first) {
        return Ok(());
    }
    let both = Value::Array(vec![Value::Array(items.to_vec()), Value::Array(changes.to_vec())]);
    Err(Error::Unexpected(format!("list element types are not identical: {}", go_text(&both))))
}

/// Puts the items that `order` names in its order, and between them the others where they were.
pub(super) fn reorder(items: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let place = |item: &Value, list: &[Value]| {
        list.iter().position(|other| match key {
            Some(key) => item.get(key).is_some() && item.get(key) == other.get(key),
            None => item == other,
        })
    };
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(item, order).is_some());
    named.sort_by_key(|item| place(item, order));
    others.sort_by_key(|item| place(item, before));
    // Each of the others goes before the first named item that stood behind it.
    let mut merged: Vec<Value> = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        if let Some(limit) = place(&item, before) {
            while let Some(other) = others.next_if(|other| place(other, before).is_some_and(|place| place < limit)) {
                merged.push(other);
            }
        }
        merged.push(item);
    }
    merged.extend(others);
    merged
}

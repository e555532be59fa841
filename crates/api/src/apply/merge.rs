//! The live object with everything that is applied, and without what is given up.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::fields::Children;
use super::shape::{self, Parts, Place};
use crate::description::Schema;

/// `live` with everything that `applied` says.
pub(super) fn merge(live: &Value, applied: &Value, place: Place<'_>) -> Value {
    match (shape::parts(live, place), shape::parts(applied, place)) {
        (Parts::Object(live), Parts::Object(applied)) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                match merged.get_mut(name) {
                    Some(live) => {
                        let value = merge(live, value, shape::field(place, name));
                        *live = value;
                    }
                    None => {
                        merged.insert(name.clone(), value.clone());
                    }
                }
            }
            Value::Object(merged)
        }
        (Parts::List(live), Parts::List(applied)) => Value::Array(merge_lists(live, applied, place)),
        _ => applied.clone(),
    }
}

/// The applied items in their order, and the others between them where they were.
fn merge_lists(live: &[Value], applied: &[Value], place: Place<'_>) -> Vec<Value> {
    // The applied ones were examined; an item of a stored object that has no key is left where it is.
    let element = |item: &Value| shape::element_of(item, place).ok();
    let old: Vec<Option<String>> = live.iter().map(element).collect();
    let new: Vec<(String, &Value)> = applied.iter().filter_map(|item| Some((element(item)?, item))).collect();
    let names: HashSet<&str> = new.iter().map(|(element, _)| element.as_str()).collect();
    let is_applied = |old: &Option<String>| old.as_deref().is_some_and(|element| names.contains(element));
    // `None` for duplicates, which are replaced and not merged.
    let mut known: HashMap<&str, Option<&Value>> = HashMap::new();
    for (element, item) in old.iter().zip(live) {
        if let Some(element) = element {
            known.entry(element).and_modify(|found| *found = None).or_insert(Some(item));
        }
    }
    let mut shared = new.iter().map(|(element, _)| element.as_str()).filter(|element| known.contains_key(element));
    let mut next_shared = shared.next();
    let mut done: HashSet<&str> = HashSet::new();
    let mut merged = Vec::with_capacity(live.len() + new.len());
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < new.len() {
        if left < live.len() && right < new.len() {
            if old[left].as_deref() == Some(new[right].0.as_str()) {
                let (element, item) = &new[right];
                done.insert(element);
                merged.push(merge_item(known.get(element.as_str()).copied().flatten(), item, place));
                left += 1;
                right += 1;
                next_shared = shared.next();
                continue;
            }
            if is_applied(&old[left]) && next_shared.is_some() && next_shared != old[left].as_deref() {
                // Shared, but another one's turn.
                left += 1;
                continue;
            }
        }
        if left < live.len() {
            if !is_applied(&old[left]) {
                merged.push(live[left].clone());
                left += 1;
                continue;
            }
            if old[left].as_deref().is_some_and(|element| done.contains(element)) {
                left += 1;
            }
        }
        if right < new.len() {
            let (element, item) = &new[right];
            done.insert(element);
            merged.push(merge_item(known.get(element.as_str()).copied().flatten(), item, place));
            right += 1;
            if next_shared == Some(element.as_str()) {
                next_shared = shared.next();
            }
        }
    }
    merged
}

fn merge_item(live: Option<&Value>, applied: &Value, place: Place<'_>) -> Value {
    live.map_or_else(|| applied.clone(), |live| merge(live, applied, shape::items(place)))
}

/// Removes what is in `before` and not in `owned`.
///
/// A field or item that goes takes everything in it with it. A named field that only leads to owned
/// paths counts as owned; an item of a list or the key of a map does not.
pub(super) fn prune(value: &mut Value, place: Place<'_>, before: Children<'_>, owned: Children<'_>) {
    let is_whole = matches!(shape::parts(value, place), Parts::Whole);
    if is_whole {
        return;
    }
    // Returns whether the element stays, and prunes in it.
    let keep = |element: &str, value: &mut Value, inner: Place<'_>, named: bool| {
        let Some(before) = before.node(element) else { return true };
        let owned = owned.node(element);
        let is_owned = owned.is_some_and(|node| node.is_member() || (named && node.has_children()));
        if (before.is_member() || (named && before.has_children())) && !is_owned {
            return false;
        }
        prune(value, inner, before.children(), owned.map_or(Children::NONE, |node| node.children()));
        true
    };
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            keep(&format!("f:{name}"), value, shape::field(place, name), shape::is_named(place, name))
        }),
        Value::Array(items) => items.retain_mut(|item| match shape::element_of(item, place) {
            Ok(element) => keep(&element, item, shape::items(place), false),
            Err(_) => true,
        }),
        _ => {}
    }
}

/// An object whose scalars have their one form, so that they compare as they will be stored.
pub(super) fn canonical(object: &Value, schema: Schema<'_>) -> Value {
    let mut object = object.clone();
    write_canonically(&mut object, schema);
    object
}

fn write_canonically(value: &mut Value, schema: Schema<'_>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if let Some(inner) = schema.field(name) {
                    write_canonically(value, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.items() {
                items.iter_mut().for_each(|item| write_canonically(item, inner));
            }
        }
        Value::Null => {}
        scalar => crate::schema::prune(scalar, schema),
    }
}

//! The live object with everything that is applied, and without what is given up.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::fields::{Element, FieldSet, NOTHING};
use super::shape::{self, Parts, Place};
use crate::description::Schema;

/// Adds to `live` everything that `applied` says.
pub(super) fn merge(live: &mut Value, applied: &Value, place: Place<'_>) {
    let is_whole = |value: &Value| matches!(shape::parts(value, place), Parts::Whole);
    if is_whole(live) || is_whole(applied) {
        live.clone_from(applied);
        return;
    }
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            for (name, value) in applied {
                match live.get_mut(name) {
                    Some(live) => merge(live, value, shape::field(place, name)),
                    None => {
                        live.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if shape::are_same_items(live, applied, place) => {
            let inner = shape::items(place);
            live.iter_mut().zip(applied).for_each(|(live, applied)| merge(live, applied, inner));
        }
        (Value::Array(live), Value::Array(applied)) => {
            let items = std::mem::take(live);
            *live = merge_lists(items, applied, place);
        }
        (live, applied) => live.clone_from(applied),
    }
}

/// The applied items in their order, and the others between them where they were.
fn merge_lists(live: Vec<Value>, applied: &[Value], place: Place<'_>) -> Vec<Value> {
    // The applied ones were examined; an item of a stored object that has no key is left where it is.
    let element = |item: &Value| shape::element_of(item, place).ok();
    let old: Vec<Option<String>> = live.iter().map(element).collect();
    let new: Vec<(String, &Value)> = applied.iter().filter_map(|item| Some((element(item)?, item))).collect();
    let names: HashSet<&str> = new.iter().map(|(element, _)| element.as_str()).collect();
    let is_applied = |old: &Option<String>| old.as_deref().is_some_and(|element| names.contains(element));
    // `None` for duplicates, which are replaced and not merged.
    let mut known: HashMap<&str, Option<usize>> = HashMap::new();
    for (index, element) in old.iter().enumerate() {
        if let Some(element) = element {
            known.entry(element).and_modify(|found| *found = None).or_insert(Some(index));
        }
    }
    let mut shared = new.iter().map(|(element, _)| element.as_str()).filter(|element| known.contains_key(element));
    let mut next_shared = shared.next();
    let mut done: HashSet<&str> = HashSet::new();
    let mut live: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(live.len() + new.len());
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < new.len() {
        if left < live.len() && right < new.len() {
            let is_next = old[left].as_deref() == Some(new[right].0.as_str());
            if !is_next && is_applied(&old[left]) && next_shared.is_some() && next_shared != old[left].as_deref() {
                // Shared, but another one's turn.
                left += 1;
                continue;
            }
        }
        let mut take_applied = right < new.len();
        if left < live.len() {
            if !is_applied(&old[left]) {
                merged.extend(live[left].take());
                left += 1;
                continue;
            }
            let element = old[left].as_deref();
            if take_applied && element == Some(new[right].0.as_str()) {
                left += 1;
            } else if element.is_some_and(|element| done.contains(element)) {
                left += 1;
                take_applied = right < new.len();
            }
        }
        if take_applied {
            let (element, item) = &new[right];
            done.insert(element);
            let before = known.get(element.as_str()).copied().flatten().and_then(|index| live[index].take());
            merged.push(match before {
                Some(mut before) => {
                    merge(&mut before, item, shape::items(place));
                    before
                }
                None => (*item).clone(),
            });
            right += 1;
            if next_shared == Some(element.as_str()) {
                next_shared = shared.next();
            }
        }
    }
    merged
}

/// Removes what is in `before` and not in `owned`.
///
/// A field or item that goes takes everything in it with it. A named field that only leads to owned
/// paths counts as owned; an item of a list or the key of a map does not.
pub(super) fn prune(value: &mut Value, place: Place<'_>, before: &FieldSet<'_>, owned: &FieldSet<'_>) {
    let is_whole = matches!(shape::parts(value, place), Parts::Whole);
    if is_whole {
        return;
    }
    // Returns whether the element stays, and prunes in it.
    let keep = |element: &Element<'_>, value: &mut Value, inner: Place<'_>, named: bool| {
        let Some(before) = before.node(element) else { return true };
        let owned = owned.node(element);
        let is_owned = owned.is_some_and(|node| node.is_member() || (named && node.has_children()));
        if (before.is_member() || (named && before.has_children())) && !is_owned {
            return false;
        }
        prune(value, inner, &before.children, owned.map_or(&NOTHING, |node| &node.children));
        true
    };
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            keep(&Element::field(name), value, shape::field(place, name), shape::is_named(place, name))
        }),
        Value::Array(items) => items.retain_mut(|item| match shape::element_of(item, place) {
            Ok(element) => keep(&Element::item(element), item, shape::items(place), false),
            Err(_) => true,
        }),
        _ => {}
    }
}

/// Gives back to a value what was taken out of the midst of parts that a schema has as wholes: they stay whole or go.
pub(super) fn restore(pruned: &mut Value, before: &Value, place: Place<'_>) {
    let is_whole = |value: &Value| matches!(shape::parts(value, place), Parts::Whole);
    if is_whole(pruned) || is_whole(before) {
        pruned.clone_from(before);
        return;
    }
    match (pruned, before) {
        (Value::Object(pruned), Value::Object(before)) => {
            for (name, value) in pruned {
                if let Some(before) = before.get(name) {
                    restore(value, before, shape::field(place, name));
                }
            }
        }
        (Value::Array(pruned), Value::Array(before)) => {
            let element = |item: &Value| shape::element_of(item, place).ok();
            let known: HashMap<String, &Value> =
                before.iter().filter_map(|item| Some((element(item)?, item))).collect();
            for item in pruned {
                if let Some(before) = element(item).and_then(|element| known.get(&element).copied()) {
                    restore(item, before, shape::items(place));
                }
            }
        }
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
        scalar => drop(crate::schema::prune(scalar, schema)),
    }
}

//! Walks of values along their schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::FieldSet;
use super::fields::{Children, readable};
use crate::description::{ListType, Schema, Type};

/// How a value is taken apart.
pub(super) enum Parts<'a> {
    /// As a whole.
    Whole,
    Object(&'a Map<String, Value>),
    List(&'a [Value]),
}

pub(super) fn parts<'a>(value: &'a Value, schema: Option<Schema<'_>>) -> Parts<'a> {
    match (schema, value) {
        (Some(schema), _) if schema.is_atomic() => Parts::Whole,
        (Some(_), Value::Object(fields)) => Parts::Object(fields),
        (Some(schema), Value::Array(items)) if *schema.list_type() != ListType::Atomic => Parts::List(items),
        _ => Parts::Whole,
    }
}

/// The element of an item of a list that is not atomic. `None` if the item has none of the keys.
fn element_of(item: &Value, schema: Option<Schema<'_>>) -> Option<String> {
    let ListType::Map(keys) = schema?.list_type() else { return Some(format!("v:{item}")) };
    // Most lists are told apart by the names of their items.
    if let ([key], Some(Value::String(name))) = (&keys[..], keys.first().and_then(|key| item.get(&**key)))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_'))
    {
        return Some(["k:{\"", key, "\":\"", name, "\"}"].concat());
    }
    let mut values = Map::new();
    for key in keys {
        match item.get(&**key).filter(|value| !value.is_null()) {
            Some(value) => values.insert(key.to_string(), value.clone()),
            None => default_key(key).and_then(|default| values.insert(key.to_string(), default)),
        };
    }
    (!values.is_empty()).then(|| format!("k:{}", Value::Object(values)))
}

/// The value of a key that an item may leave out. The published document lacks these defaults.
fn default_key(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::from("TCP"))
}

/// Items by their element; of duplicates, which stored objects may have, the first.
pub(super) fn index<'a>(items: &'a [Value], schema: Option<Schema<'_>>) -> BTreeMap<String, &'a Value> {
    let mut index = BTreeMap::new();
    for item in items {
        if let Some(element) = element_of(item, schema) {
            index.entry(element).or_insert(item);
        }
    }
    index
}

pub(super) fn is_map(schema: Option<Schema<'_>>) -> bool {
    schema.is_some_and(|schema| matches!(schema.r#type(), Type::Map(_)))
}

/// The paths that applying `value` claims.
///
/// # Errors
/// A field that the schema lacks, an item without keys, or two items with the same keys.
pub(super) fn field_set(value: &Value, schema: Schema<'_>) -> Result<FieldSet, String> {
    let mut set = FieldSet::default();
    claim(value, schema, &mut set, "")?;
    Ok(set)
}

fn claim(value: &Value, schema: Schema<'_>, set: &mut FieldSet, path: &str) -> Result<(), String> {
    match parts(value, Some(schema)) {
        Parts::Whole => {}
        Parts::Object(fields) => {
            for (name, value) in fields {
                let element = format!("f:{name}");
                let path = format!("{path}.{name}");
                let inner = schema.field(name).ok_or_else(|| format!("{path}: field not declared in schema"))?;
                claim_child(value, inner, set, &element, &path, is_map(Some(schema)))?;
            }
        }
        Parts::List(items) => {
            for (place, item) in items.iter().enumerate() {
                let element = element_of(item, Some(schema)).ok_or_else(|| {
                    format!("{path}: element {place}: associative list with keys has an element that omits key fields")
                })?;
                if set.contains(&element) {
                    return Err(format!("{path}: duplicate entries for key {}", readable(&element)));
                }
                let inner = schema.items().unwrap_or(schema);
                let path = format!("{path}{}", readable(&element));
                claim_child(item, inner, set, &element, &path, true)?;
            }
        }
    }
    Ok(())
}

fn claim_child(
    value: &Value,
    schema: Schema<'_>,
    set: &mut FieldSet,
    element: &str,
    path: &str,
    is_item: bool,
) -> Result<(), String> {
    let mut children = FieldSet::default();
    claim(value, schema, &mut children, path)?;
    let is_whole = matches!(parts(value, Some(schema)), Parts::Whole);
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    if is_item || is_whole || is_empty {
        set.insert(element);
    }
    set.insert_children(element, children);
    Ok(())
}

/// `live` with everything that `applied` says.
pub(super) fn merge(live: &Value, applied: &Value, schema: Schema<'_>) -> Value {
    match (parts(live, Some(schema)), parts(applied, Some(schema))) {
        (Parts::Object(live), Parts::Object(applied)) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let value = match (merged.get(name), schema.field(name)) {
                    (Some(live), Some(schema)) => merge(live, value, schema),
                    _ => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Parts::List(live), Parts::List(applied)) => Value::Array(merge_lists(live, applied, schema)),
        _ => applied.clone(),
    }
}

/// The applied items in their order, and the other ones between them where they were.
fn merge_lists(live: &[Value], applied: &[Value], schema: Schema<'_>) -> Vec<Value> {
    let schema_here = Some(schema);
    let places: BTreeMap<String, usize> = {
        let mut places = BTreeMap::new();
        for (place, item) in live.iter().enumerate() {
            if let Some(element) = element_of(item, schema_here) {
                places.entry(element).or_insert(place);
            }
        }
        places
    };
    let applied: Vec<(Option<usize>, String, &Value)> = applied
        .iter()
        .filter_map(|item| element_of(item, schema_here).map(|element| (places.get(&element).copied(), element, item)))
        .collect();
    let is_applied = |item: &Value| {
        element_of(item, schema_here).is_some_and(|element| applied.iter().any(|(_, applied, _)| *applied == element))
    };
    let mut others = live.iter().enumerate().filter(|(_, item)| !is_applied(item)).peekable();
    let mut merged = Vec::with_capacity(live.len() + applied.len());
    for (index, (_, _, item)) in applied.iter().enumerate() {
        // What stands before the next shared item stays before it, and before new ones.
        let limit = applied[index..].iter().find_map(|(place, ..)| *place).unwrap_or(live.len());
        while let Some((_, other)) = others.next_if(|(place, _)| *place < limit) {
            merged.push(other.clone());
        }
        merged.push(match (applied[index].0, schema.items()) {
            (Some(place), Some(items)) => merge(&live[place], item, items),
            _ => (*item).clone(),
        });
    }
    merged.extend(others.map(|(_, other)| other.clone()));
    merged
}

/// Removes what is in `before` and not in `owned`.
///
/// A field or item that goes takes everything in it with it. A field that only leads to owned
/// paths counts as owned; an item of a list does not.
pub(super) fn prune(value: &mut Value, schema: Schema<'_>, before: Children<'_>, owned: Children<'_>) {
    if schema.is_atomic() {
        return;
    }
    // Returns whether the element stays, and prunes in it.
    let keep = |element: &str, value: &mut Value, inner: Option<Schema<'_>>| {
        let Some(before) = before.node(element) else { return true };
        let owned = owned.node(element);
        let is_owned = owned.is_some_and(|node| node.is_member_or_way(element));
        if before.is_member_or_way(element) && !is_owned {
            return false;
        }
        if let Some(inner) = inner {
            prune(value, inner, before.children(), owned.map_or(Children::NONE, |node| node.children()));
        }
        true
    };
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| keep(&format!("f:{name}"), value, schema.field(name)));
        }
        Value::Array(items) => {
            items.retain_mut(|item| match element_of(item, Some(schema)) {
                Some(element) => keep(&element, item, schema.items()),
                None => true,
            });
        }
        _ => {}
    }
}

/// How two objects differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    /// What was added or got another value.
    pub(super) fn changed(&self) -> FieldSet {
        let mut changed = self.added.clone();
        changed.add(&self.modified);
        changed
    }

    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Drops the fields that nobody owns.
    pub(super) fn strip(&mut self) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.strip();
        }
    }

    fn insert_children(&mut self, element: &str, children: Self) {
        self.added.insert_children(element, children.added);
        self.modified.insert_children(element, children.modified);
        self.removed.insert_children(element, children.removed);
    }
}

/// The paths in which `new` differs from `old`.
pub(super) fn compare(old: &Value, new: &Value, schema: Schema<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    compare_parts(Some(old), Some(new), Some(schema), &mut comparison);
    comparison
}

fn compare_parts(old: Option<&Value>, new: Option<&Value>, schema: Option<Schema<'_>>, found: &mut Comparison) {
    if old == new {
        return;
    }
    let (old, new) = (elements(old, schema), elements(new, schema));
    for element in old.keys().chain(new.keys().filter(|element| !old.contains_key(*element))) {
        let inner = match element.strip_prefix("f:") {
            Some(name) => schema.and_then(|schema| schema.field(name)),
            None => schema.and_then(Schema::items),
        };
        let is_item = is_map(schema) || !element.starts_with("f:");
        compare_element(old.get(element).copied(), new.get(element).copied(), inner, element, is_item, found);
    }
}

/// What a value is made of, by element; nothing if it is a whole.
fn elements<'a>(value: Option<&'a Value>, schema: Option<Schema<'_>>) -> BTreeMap<String, &'a Value> {
    match value.map(|value| parts(value, schema)) {
        Some(Parts::Object(fields)) => fields.iter().map(|(name, value)| (format!("f:{name}"), value)).collect(),
        Some(Parts::List(items)) => index(items, schema),
        _ => BTreeMap::new(),
    }
}

fn compare_element(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Option<Schema<'_>>,
    element: &str,
    is_item: bool,
    found: &mut Comparison,
) {
    if old == new {
        return;
    }
    let is_whole = |value: Option<&Value>| value.is_none_or(|value| matches!(parts(value, schema), Parts::Whole));
    let is_empty = |value: Option<&Value>| {
        value.is_none_or(|value| {
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        })
    };
    let is_leaf = (is_whole(old) && is_whole(new)) || (is_empty(old) && is_empty(new));
    // A container of its own counts as added with its content; objects with known fields are
    // always there in upstream's eyes.
    let is_container = is_map(schema) || schema.is_some_and(|schema| matches!(schema.r#type(), Type::List(_)));
    match (old, new) {
        (None, Some(_)) if is_leaf || is_item || is_container => found.added.insert(element),
        (Some(_), None) if is_leaf || is_item || is_container => found.removed.insert(element),
        (Some(_), Some(_)) if is_leaf || is_whole(old) != is_whole(new) => found.modified.insert(element),
        _ => {}
    }
    if !is_leaf {
        let mut children = Comparison::default();
        compare_parts(old, new, schema, &mut children);
        found.insert_children(element, children);
    }
}

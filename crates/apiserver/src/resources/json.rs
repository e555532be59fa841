//! Reading and defaulting JSON objects by reference.

use std::collections::HashSet;

use portolan_api::quantity::Quantity;
use serde_json::{Map, Value, map::Entry};

/// Whether two objects have the same fields, apart from some; `is_same` compares their values.
pub(crate) fn are_same_but(
    new: &Value,
    old: &Value,
    but: &[&str],
    is_same: impl Fn(&str, &Value, &Value) -> bool,
) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else { return new == old };
    let matters = |name: &&String| !but.contains(&name.as_str());
    new.keys().filter(matters).count() == old.keys().filter(matters).count()
        && new
            .iter()
            .filter(|(name, _)| matters(name))
            .all(|(name, value)| old.get(name).is_some_and(|old| is_same(name, value, old)))
}

/// The items of a list; none if the value is absent.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts that the items of a list have in a field: to look for many of them in the list itself takes too long,
/// since a body has room for a hundred thousand.
pub(crate) fn texts<'a>(list: &'a [Value], field: &str) -> HashSet<&'a str> {
    list.iter().map(|item| text(&item[field])).collect()
}

/// The entries of a map; none if the value is absent.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// A string; empty if absent.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a field holds something else than its zero value.
pub(crate) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Whether two optional lists, maps or scalars mean the same.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    left == right || (!is_set(left) && !is_set(right))
}

/// Sets an optional field that is absent. A zero that was written stays.
pub(crate) fn set<V: Into<Value>>(fields: &mut Map<String, Value>, name: &str, value: V) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// Sets a field that is absent or zero, for fields where upstream cannot tell the two apart.
pub(crate) fn set_zero<V: Into<Value>>(fields: &mut Map<String, Value>, name: &str, value: V) {
    if !fields.get(name).is_some_and(is_set) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The object in a field, if there is one.
pub(crate) fn object<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    fields.get_mut(name)?.as_object_mut()
}

/// The object in a field, created empty if absent; `None` if something else is there.
pub(crate) fn object_or_new<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), Value::Object(Map::new()));
    }
    object(fields, name)
}

/// The `status` of an object, created if absent.
pub(crate) fn status(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object_or_new(object.as_object_mut()?, "status")
}

/// The objects of a list field.
pub(crate) fn objects<'a>(
    fields: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    fields.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The `spec` of an object, created if absent.
pub(crate) fn spec(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object_or_new(object.as_object_mut()?, "spec")
}

/// Writes the quantities of a map, for example of `resources.limits`, in their canonical form:
/// `1000m` is `1`, and a number becomes text. Malformed ones stay for validation to refuse.
pub(crate) fn canonical_quantities(fields: &mut Map<String, Value>, name: &str) {
    for value in object(fields, name).into_iter().flat_map(Map::values_mut) {
        canonical_quantity(value);
    }
}

/// Writes one quantity in its canonical form.
pub(crate) fn canonical_quantity(value: &mut Value) {
    let canonical = match value {
        Value::String(text) => Quantity::parse(text).map(|quantity| quantity.to_string()),
        Value::Number(number) => Quantity::parse(&number.to_string()).map(|quantity| quantity.to_string()),
        _ => return,
    };
    if let Ok(canonical) = canonical
        && value.as_str() != Some(&canonical)
    {
        *value = Value::String(canonical);
    }
}

/// Copies a field from another object, absence included.
pub(crate) fn copy(fields: &mut Map<String, Value>, name: &str, from: &Value) {
    match (fields.entry(name), &from[name]) {
        (Entry::Occupied(entry), Value::Null) => {
            entry.remove();
        }
        (Entry::Occupied(mut entry), value) => {
            entry.insert(value.clone());
        }
        (Entry::Vacant(_), Value::Null) => {}
        (Entry::Vacant(entry), value) => {
            entry.insert(value.clone());
        }
    }
}

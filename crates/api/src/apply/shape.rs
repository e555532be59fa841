//! How a value is taken apart along its schema.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::manifest::Scalar;
use crate::description::{ListType, Schema, Type};

/// How a value is taken apart.
pub(super) enum Parts<'a> {
    /// As a whole.
    Whole,
    Object(&'a Map<String, Value>),
    List(&'a [Value]),
}

/// What the schema says of a place: `None` where it says nothing, so that the value decides.
pub(super) type Place<'a> = Option<Schema<'a>>;

/// Takes a value apart. Without a schema objects have owners field by field, all else as a whole.
pub(super) fn parts<'a>(value: &'a Value, place: Place<'_>) -> Parts<'a> {
    match value {
        Value::Object(fields) if has_fields(place) => Parts::Object(fields),
        Value::Array(items) if has_items(place) => Parts::List(items),
        _ => Parts::Whole,
    }
}

/// Whether the fields of an object have owners of their own here.
pub(super) fn has_fields(place: Place<'_>) -> bool {
    match place.map(Schema::r#type) {
        Some(Type::Struct(_) | Type::Map(_)) => !place.is_some_and(Schema::is_atomic),
        Some(Type::List(_)) => false,
        _ => !place.is_some_and(Schema::is_raw),
    }
}

/// Whether the items of a list have owners of their own here.
pub(super) fn has_items(place: Place<'_>) -> bool {
    matches!(place.map(Schema::r#type), Some(Type::List(_))) && !place.is_some_and(Schema::is_atomic)
}

/// The place of a field of an object.
pub(super) fn field<'a>(place: Place<'a>, name: &str) -> Place<'a> {
    place?.field(name)
}

/// The place of the items of a list.
pub(super) fn items(place: Place<'_>) -> Place<'_> {
    place?.items()
}

/// Whether a field is one that the schema names, and not the key of a map.
pub(super) fn is_named(place: Place<'_>, name: &str) -> bool {
    let definition = place.and_then(Schema::definition);
    definition.is_some_and(|it| it.fields.get(name).is_some())
}

/// Whether nothing is in a value that could hold something.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        value => value.is_null(),
    }
}

/// The element of an item of a list that is not atomic.
///
/// # Errors
/// What keeps the item from being told apart.
pub(super) fn element_of(item: &Value, place: Place<'_>) -> Result<String, String> {
    let mut element = String::new();
    write_element(item, place, &mut element)?;
    Ok(element)
}

/// Appends the element of an item of a list that is not atomic.
///
/// # Errors
/// As [`element_of`].
pub(super) fn write_element(item: &Value, place: Place<'_>, element: &mut String) -> Result<(), String> {
    let keys = match place.map(Schema::list_type) {
        Some(ListType::Map(keys)) => keys,
        _ => {
            element.push_str(&set_element(item)?);
            return Ok(());
        }
    };
    let Value::Object(fields) = item else {
        let kind = if item.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {kind}"));
    };
    if write_keys(place, |key| fields.get(key).map(Scalar::from), element) {
        return Ok(());
    }
    let mut values = Map::new();
    for key in keys {
        let key: &str = key;
        if let Some(value) = fields.get(key).or_else(|| default_of(items(place), key)) {
            values.insert(key.to_owned(), value.clone());
        }
    }
    if values.is_empty() {
        let names: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    element.push_str(&format!("k:{}", Value::Object(values)));
    Ok(())
}

/// The same if items are told apart by plain texts and numbers, as those of most lists are; else `false`, and nothing
/// is appended.
pub(super) fn write_keys<'v>(
    place: Place<'v>,
    field: impl Fn(&str) -> Option<Scalar<'v>>,
    element: &mut String,
) -> bool {
    let start = element.len();
    let is_written = try_write_keys(place, field, element).is_some();
    if !is_written {
        element.truncate(start);
    }
    is_written
}

fn try_write_keys<'v>(
    place: Place<'v>,
    field: impl Fn(&str) -> Option<Scalar<'v>>,
    element: &mut String,
) -> Option<()> {
    let Some(ListType::Map(keys)) = place.map(Schema::list_type) else { return None };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_');
    // They are written in the order of their names.
    if !keys.is_sorted() {
        return None;
    }
    element.push_str("k:{");
    for (index, key) in keys.iter().enumerate() {
        let separator = if index > 0 { ",\"" } else { "\"" };
        [separator, &**key, "\":"].iter().for_each(|part| element.push_str(part));
        match key_value(place, key, &field)? {
            Scalar::Text(text) if text.bytes().all(is_plain) => {
                ["\"", text, "\""].iter().for_each(|part| element.push_str(part));
            }
            Scalar::Number(number) => write!(element, "{number}").ok()?,
            _ => return None,
        }
    }
    element.push('}');
    Some(())
}

/// What an item of a list is told apart by: the value of a key, which may be left out if there is a default.
pub(super) fn key_value<'v>(
    place: Place<'v>,
    key: &str,
    field: impl FnOnce(&str) -> Option<Scalar<'v>>,
) -> Option<Scalar<'v>> {
    field(key).or_else(|| default_of(items(place), key).map(Scalar::from))
}

/// Whether two lists have items of the same names in the same order, each once: that is what most lists look
/// like to those who apply them again. `false` may be said of such lists too.
pub(super) fn are_same_items(one: &[Value], other: &[Value], place: Place<'_>) -> bool {
    let Some(ListType::Map(keys)) = place.map(Schema::list_type) else { return false };
    let [key] = &keys[..] else { return false };
    fn name<'v>(item: &'v Value, key: &str) -> Option<&'v str> {
        item.get(key)?.as_str()
    }
    let mut known = HashSet::with_capacity(one.len());
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| name(one, key).is_some_and(|one| name(other, key) == Some(one) && known.insert(one)))
}

fn set_element(item: &Value) -> Result<String, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
        scalar => Ok(format!("v:{scalar}")),
    }
}

/// The value of a key that an item may leave out. The published document lacks these defaults of built-in kinds.
fn default_of<'a>(item: Place<'a>, key: &str) -> Option<&'a Value> {
    static PROTOCOL: LazyLock<Value> = LazyLock::new(|| Value::from("TCP"));
    static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::from(""));
    static ZERO: LazyLock<Value> = LazyLock::new(|| Value::from(0));
    let item = item?;
    if let Some(default) = item.field(key).and_then(Schema::default) {
        return Some(default);
    }
    let definition = item.definition()?;
    let has_protocol =
        matches!(&*definition.name, "io.k8s.api.core.v1.ContainerPort" | "io.k8s.api.core.v1.ServicePort");
    if has_protocol && key == "protocol" {
        return Some(&*PROTOCOL);
    }
    // What is always there is empty, or 0, where nobody says it.
    let field = definition.always().find(|field| &*field.name == key && field.is_never_null)?;
    match item.at(field).r#type() {
        Type::String => Some(&*EMPTY),
        Type::Int32 | Type::Int64 => Some(&*ZERO),
        _ => None,
    }
}

/// An item of a list that is not atomic.
pub(super) enum Item<'a> {
    Single(&'a Value),
    /// Items that cannot be told apart, which stored objects may have.
    Several(Vec<&'a Value>),
}

impl<'a> Item<'a> {
    pub(super) fn first(&self) -> &'a Value {
        match self {
            Self::Single(item) => item,
            Self::Several(items) => items[0],
        }
    }
}

/// Items by their element, without those that have none.
pub(super) fn index<'a>(list: &'a [Value], place: Place<'_>) -> BTreeMap<String, Item<'a>> {
    let mut index: BTreeMap<String, Item<'a>> = BTreeMap::new();
    for item in list {
        let Ok(element) = element_of(item, place) else { continue };
        match index.get_mut(&element) {
            None => {
                index.insert(element, Item::Single(item));
            }
            Some(Item::Several(items)) => items.push(item),
            Some(found) => *found = Item::Several(vec![found.first(), item]),
        }
    }
    index
}

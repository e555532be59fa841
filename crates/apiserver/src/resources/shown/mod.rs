//! Differences between two versions of a structure, as Kubernetes tells them: between its own structures, shown as
//! JSON under the names that their fields have in its code.
//!
//! `shapes.txt` is made by `interop/kubernetes/strategies/shapes`, which says how it reads.

mod unified;

use std::collections::HashMap;
use std::sync::LazyLock;

use portolan_base::go;
use serde_json::{Map, Value};

/// Kubernetes' own structures by their names.
static SHAPES: LazyLock<HashMap<&str, Vec<Field>>> = LazyLock::new(|| read(include_str!("shapes.txt")));

/// How one field is shown.
struct Field {
    name: &'static str,
    /// Whether clients know it in the structure around this one.
    is_outside: bool,
    /// Where clients know it.
    path: Vec<&'static str>,
    /// Whether it is left out if it is not there.
    is_optional: bool,
    shape: Shape,
}

enum Shape {
    /// As clients write it, or else this.
    Value(Value),
    /// Null if it is not there.
    Pointer(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
    Structure(&'static str),
}

impl Shape {
    fn read(text: &'static str) -> Self {
        if let Some(rest) = text.strip_prefix('*') {
            return Self::Pointer(Box::new(Self::read(rest)));
        }
        if let Some(rest) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::read(rest)));
        }
        if let Some(rest) = text.strip_prefix("map:") {
            return Self::Map(Box::new(Self::read(rest)));
        }
        match text.strip_prefix("value=") {
            Some(absent) => Self::Value(serde_json::from_str(absent).expect("the table has JSON there")),
            None => Self::Structure(text),
        }
    }
}

fn read(table: &'static str) -> HashMap<&'static str, Vec<Field>> {
    let mut shapes: HashMap<&str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in table.lines() {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            shapes.insert(current, Vec::new());
            continue;
        };
        let mut parts = field.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default();
        let (name, path, shape) = (part(), part(), part());
        let (is_optional, shape) = shape.strip_prefix('?').map_or((false, shape), |shape| (true, shape));
        let field = Field {
            name,
            is_outside: path.starts_with('^'),
            path: path.trim_start_matches('^').split('.').collect(),
            is_optional,
            shape: Shape::read(shape),
        };
        shapes.entry(current).or_default().push(field);
    }
    shapes
}

/// What differs between two versions of a structure, given as clients write it. Nothing if they mean the same.
pub(in crate::resources) fn difference(structure: &str, old: &Value, new: &Value) -> Option<String> {
    let text = |value| whole(structure, value, Empty::Present, Form::Lines);
    differ(structure, old, new).then(|| unified::difference(&text(old), &text(new)))
}

/// Whether two versions of a structure mean something else.
pub(in crate::resources) fn differ(structure: &str, old: &Value, new: &Value) -> bool {
    let text = |value| whole(structure, value, Empty::Absent, Form::OneLine);
    old != new && text(old) != text(new)
}

/// A structure in one line, as Kubernetes shows one that it refuses.
pub(crate) fn compact(structure: &str, value: &Value) -> String {
    whole(structure, value, Empty::Present, Form::OneLine)
}

/// The same of a structure that may not be there.
pub(in crate::resources) fn compact_or_null(structure: &str, value: &Value) -> String {
    if value.is_null() { "null".to_owned() } else { compact(structure, value) }
}

/// A list of structures that may not be there, likewise.
pub(in crate::resources) fn compact_list_or_null(structure: &str, list: &Value) -> String {
    let Value::Array(items) = list else { return "null".to_owned() };
    let items: Vec<String> = items.iter().map(|item| compact(structure, item)).collect();
    format!("[{}]", items.join(","))
}

/// What lists and maps are that hold nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// As if they were not there, for comparing.
    Absent,
    /// What they are.
    Present,
}

/// Where something is written.
#[derive(Debug, Clone, Copy)]
struct Place {
    depth: usize,
    empty: Empty,
    form: Form,
}

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A line for each value.
    Lines,
    OneLine,
}

impl Place {
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

fn whole(structure: &str, value: &Value, empty: Empty, form: Form) -> String {
    let mut text = String::new();
    write_structure(&mut text, structure, value, &Value::Null, Place { depth: 0, empty, form });
    text
}

fn write_structure(text: &mut String, structure: &str, value: &Value, around: &Value, place: Place) {
    let fields = SHAPES.get(structure).map(Vec::as_slice).unwrap_or_default();
    let shown = fields.iter().filter_map(|field| {
        let holder = if field.is_outside { around } else { value };
        let found = field.path.iter().fold(holder, |holder, name| &holder[*name]);
        (!field.is_optional || is_there(found)).then_some((field, found))
    });
    members(text, place, shown, |text, (field, found)| {
        write_name(text, field.name, place);
        write(text, &field.shape, found, value, place.inside());
    });
}

/// Whether something is more than nothing to Go.
fn is_there(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) => true,
    }
}

fn write(text: &mut String, shape: &Shape, value: &Value, around: &Value, place: Place) {
    match (shape, value) {
        (Shape::Value(absent), Value::Null) => write_value(text, absent, place),
        (Shape::Value(_), _) => write_value(text, value, place),
        (Shape::Pointer(_) | Shape::List(_) | Shape::Map(_), Value::Null) => text.push_str("null"),
        (Shape::List(_) | Shape::Map(_), value) if place.empty == Empty::Absent && !is_there(value) => {
            text.push_str("null");
        }
        (Shape::Pointer(inner), _) => write(text, inner, value, around, place),
        (Shape::List(inner), Value::Array(items)) => {
            list(text, place, items, |text, item| write(text, inner, item, around, place.inside()));
        }
        (Shape::Map(inner), Value::Object(fields)) => members(text, place, fields.iter(), |text, (name, value)| {
            write_name(text, name, place);
            write(text, inner, value, around, place.inside());
        }),
        (Shape::List(_) | Shape::Map(_), _) => write_value(text, value, place),
        (Shape::Structure(name), _) => write_structure(text, name, value, around, place),
    }
}

/// What is shown as clients write it.
fn write_value(text: &mut String, value: &Value, place: Place) {
    match value {
        Value::Array(items) => list(text, place, items, |text, item| write_value(text, item, place.inside())),
        Value::Object(fields) => write_fields(text, fields, place),
        Value::String(string) => quote(text, string),
        other => text.push_str(&other.to_string()),
    }
}

fn write_fields(text: &mut String, fields: &Map<String, Value>, place: Place) {
    members(text, place, fields.iter(), |text, (name, value)| {
        write_name(text, name, place);
        write_value(text, value, place.inside());
    });
}

fn write_name(text: &mut String, name: &str, place: Place) {
    quote(text, name);
    text.push_str(if place.form == Form::Lines { ": " } else { ":" });
}

/// As Go writes texts into JSON: fit to stand in HTML.
fn quote(text: &mut String, string: &str) {
    text.push_str(&go::html_safe(&Value::from(string).to_string()));
}

fn list<Item>(
    text: &mut String,
    place: Place,
    items: impl IntoIterator<Item = Item>,
    each: impl FnMut(&mut String, Item),
) {
    enclosed(text, "[]", place, items, each);
}

fn members<Item>(
    text: &mut String,
    place: Place,
    members: impl IntoIterator<Item = Item>,
    each: impl FnMut(&mut String, Item),
) {
    enclosed(text, "{}", place, members, each);
}

fn enclosed<Item>(
    text: &mut String,
    brackets: &str,
    place: Place,
    items: impl IntoIterator<Item = Item>,
    mut each: impl FnMut(&mut String, Item),
) {
    let (open, close) = brackets.split_at(1);
    text.push_str(open);
    let mut items = items.into_iter().peekable();
    let is_empty = items.peek().is_none();
    while let Some(item) = items.next() {
        new_line(text, place.inside());
        each(text, item);
        if items.peek().is_some() {
            text.push(',');
        }
    }
    if !is_empty {
        new_line(text, place);
    }
    text.push_str(close);
}

fn new_line(text: &mut String, place: Place) {
    if place.form == Form::Lines {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', place.depth));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_structure_of_the_table_is_in_it() {
        fn named(shape: &Shape) -> Option<&'static str> {
            match shape {
                Shape::Value(_) => None,
                Shape::Pointer(inner) | Shape::List(inner) | Shape::Map(inner) => named(inner),
                Shape::Structure(name) => Some(name),
            }
        }
        for name in SHAPES.values().flatten().filter_map(|field| named(&field.shape)) {
            assert!(SHAPES.contains_key(name), "{name}");
        }
    }

    #[test]
    fn differences_are_told_by_the_names_of_the_code() {
        let old = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "a<b"});
        let new =
            json!({"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}});
        expect![[r#"
            @@ -1,14 +1,17 @@
             {
              "AccessModes": [
            -  "ReadWriteOnce"
            +  "ReadWriteOnce",
            +  "ReadOnlyMany"
              ],
              "Selector": null,
              "Resources": {
               "Limits": null,
            -  "Requests": null
            +  "Requests": {
            +   "storage": "1Gi"
            +  }
              },
              "VolumeName": "",
            - "StorageClassName": "a\u003cb",
            + "StorageClassName": null,
              "VolumeMode": null,
              "DataSource": null,
              "DataSourceRef": null,
        "#]]
        .assert_eq(&difference("PersistentVolumeClaimSpec", &old, &new).expect("they differ"));
        let same = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "a<b", "resources": {"limits": {}}});
        assert_eq!(difference("PersistentVolumeClaimSpec", &old, &same), None);
    }

    #[test]
    fn what_stands_around_a_structure_may_be_shown_inside_it() {
        let old = json!({"securityContext": {}});
        let new = json!({"securityContext": {}, "hostNetwork": true});
        let told = difference("PodSpec", &old, &new).expect("they differ");
        assert!(told.contains("\n-  \"HostNetwork\": false,\n+  \"HostNetwork\": true,\n"), "{told}");
    }
}

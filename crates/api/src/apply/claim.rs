//! The paths that an apply claims.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::fields::{Element, FieldSet, readable};
use super::manifest::Scalar;
use super::shape::{self, Item, Parts, Place};
use crate::description::{Schema, Type};
use crate::go_text::{Keys, go_syntax, go_text, go_type};
use crate::schema::is_canonical;

/// The paths that applying `value` claims.
pub(super) fn field_set<'v>(value: &'v Value, place: Place<'_>) -> FieldSet<'v> {
    let mut set = FieldSet::default();
    claim(value, place, &mut set);
    set
}

fn claim<'v>(value: &'v Value, place: Place<'_>, set: &mut FieldSet<'v>) {
    match shape::parts(value, place) {
        Parts::Whole => {}
        Parts::Object(fields) => {
            for (name, value) in fields {
                let inner = shape::field(place, name);
                let ends_here = value.is_null()
                    || value.as_object().is_some_and(Map::is_empty)
                    || !shape::is_named(place, name)
                    || is_leaf(value, inner);
                claim_element(Element::field(name), value, inner, ends_here, set);
            }
        }
        Parts::List(list) => {
            for (element, item) in shape::index(list, place) {
                let element = Element::item(element);
                match item {
                    Item::Single(item) => claim_element(element, item, shape::items(place), true, set),
                    Item::Several(_) => set.put(element, true, FieldSet::default()),
                }
            }
        }
    }
}

fn claim_element<'v>(
    element: Element<'v>,
    value: &'v Value,
    place: Place<'_>,
    ends_here: bool,
    set: &mut FieldSet<'v>,
) {
    let mut children = FieldSet::default();
    claim(value, place, &mut children);
    set.put(element, ends_here, children);
}

/// Whether a value has one owner; an empty list of items that have owners has none.
fn is_leaf(value: &Value, place: Place<'_>) -> bool {
    matches!(shape::parts(value, place), Parts::Whole)
}

/// What is found of an object that is to be applied.
#[derive(Debug)]
pub(super) struct Examined {
    /// What keeps it from being applied, in upstream's words; empty if nothing does.
    pub(super) problems: Vec<String>,
    /// Whether all of its scalars have their one form.
    pub(super) is_canonical: bool,
}

/// Examines an object that is to be applied.
pub(super) fn examined(value: &Value, schema: Schema<'_>) -> Examined {
    let mut found = Examined { problems: Vec::new(), is_canonical: true };
    examine(value, Some(schema), At { parent: None, step: Step::Root }, &mut found);
    found
}

/// Where the examination is; written out only for a problem.
#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Element(&'a str),
    Place(usize),
}

impl At<'_> {
    fn path(&self) -> String {
        let mut path = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Field(name) => {
                path.push('.');
                path.push_str(name);
            }
            Step::Element(element) => path.push_str(&readable(element)),
            Step::Place(place) => path.push_str(&format!("[{place}]")),
        }
        path
    }

    fn problem(&self, text: &str) -> String {
        let path = self.path();
        if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") }
    }
}

fn examine(value: &Value, place: Place<'_>, at: At<'_>, found: &mut Examined) {
    let Some(schema) = place else { return };
    match (schema.r#type(), value) {
        (_, Value::Null) => {}
        (Type::Struct(_) | Type::Map(_), Value::Object(fields)) => {
            for (name, value) in fields {
                let at = At { parent: Some(&at), step: Step::Field(name) };
                match schema.field(name) {
                    Some(inner) => examine(value, Some(inner), at, found),
                    None => {
                        found.problems.push(at.problem("field not declared in schema"));
                        break;
                    }
                }
            }
        }
        (Type::List(_), Value::Array(list)) => examine_list(list, schema, at, found),
        (Type::Struct(_) | Type::Map(_), other) => {
            found.problems.push(at.problem(&format!("expected map, got {}", printed(other))));
        }
        (Type::List(_), other) => found.problems.push(at.problem(&format!("expected list, got {}", printed(other)))),
        (r#type, value) => {
            found.is_canonical &= is_canonical(r#type, value);
            found.problems.extend(scalar_problem(r#type, value).map(|problem| at.problem(&problem)));
        }
    }
}

fn examine_list(list: &[Value], schema: Schema<'_>, at: At<'_>, found: &mut Examined) {
    if schema.is_atomic() {
        for (place, item) in list.iter().enumerate() {
            examine(item, schema.items(), At { parent: Some(&at), step: Step::Place(place) }, found);
        }
        return;
    }
    let mut seen = HashSet::with_capacity(list.len());
    for (place, item) in list.iter().enumerate() {
        let element = match shape::element_of(item, Some(schema)) {
            Ok(element) => element,
            Err(problem) => {
                found.problems.push(at.problem(&format!("element {place}: {problem}")));
                return;
            }
        };
        if seen.contains(&element) {
            found.problems.push(at.problem(&format!("duplicate entries for key {}", readable(&element))));
        }
        examine(item, schema.items(), At { parent: Some(&at), step: Step::Element(&element) }, found);
        seen.insert(element);
    }
}

/// What is wrong with a scalar, in upstream's words.
fn scalar_problem(r#type: &Type, value: &Value) -> Option<String> {
    let wanted = wanted_instead(r#type, &value.into())?;
    let got = match (r#type, value) {
        (Type::Int32 | Type::Int64 | Type::Number, value) => go_type(value).to_owned(),
        (Type::String | Type::Bytes | Type::Time | Type::MicroTime, value) => {
            format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value, Keys::Texts))
        }
        (_, value) => printed(value),
    };
    Some(format!("expected {wanted}, got {got}"))
}

/// What there must be instead of a value; `None` if it fits.
pub(super) fn wanted_instead(r#type: &Type, value: &Scalar<'_>) -> Option<&'static str> {
    let (fits, wanted) = match r#type {
        Type::Int32 | Type::Int64 | Type::Number => (matches!(value, Scalar::Number(_)), "numeric (int or float)"),
        Type::Boolean => (matches!(value, Scalar::Bool(_)), "boolean"),
        Type::String | Type::Bytes | Type::Time | Type::MicroTime => (matches!(value, Scalar::Text(_)), "string"),
        Type::Quantity | Type::IntOrString => (matches!(value, Scalar::Text(_) | Scalar::Number(_)), "any scalar"),
        _ => return None,
    };
    (!fits).then_some(wanted)
}

/// A value as upstream's messages print it: in the structure that holds it.
fn printed(value: &Value) -> String {
    format!("&{{{}}}", go_text(value))
}

//! What is wrong with a schema, and where its rules can be looked at nevertheless.
//!
//! Source: `validateCustomResourceDefinitionValidation` of `apiextensions-apiserver/pkg/apis/apiextensions/validation`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::node::{JsonType, Node};
use super::validate::{type_name, validate_value};
use super::{default, prune, structural};
use crate::field::{Error, ErrorType, Path};

/// What looking at a schema brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// What is wrong.
    pub errors: Vec<Error>,
    /// Where expressions have something to be compiled against.
    pub compilable: Compilable,
}

/// Places of a schema whose rules can be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compilable {
    /// None: nobody knows the types of its values.
    Nowhere,
    /// All but these, which say something that no schema may say, or have such a place below them.
    Outside(BTreeSet<Path>),
}

impl Compilable {
    /// Whether the rules of this place can be compiled.
    pub fn contains(&self, path: &Path) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Outside(wrong) => !wrong.contains(path),
        }
    }
}

impl Structure {
    /// Looks at a schema; `path` is where it stands.
    pub fn of(schema: &Value, path: &Path) -> Self {
        let unreadable = unreadable(schema);
        let mut errors = if unreadable.is_none() { checked(schema, path) } else { Vec::new() };
        let is_structural = unreadable.is_none() && errors.is_empty();
        let (wrong_words, places) = structural::standard(schema, path);
        errors.extend(wrong_words);
        if let (Some(reason), true) = (unreadable, errors.is_empty()) {
            errors.push(Error::invalid(path, "", reason));
        }
        let compilable = if is_structural { Compilable::Outside(places) } else { Compilable::Nowhere };
        Self { errors, compilable }
    }
}

/// Why the schema, or a part of it, cannot be read as a structural one at all.
fn unreadable(schema: &Value) -> Option<String> {
    let fields = schema.as_object()?;
    for name in ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"] {
        let is_set = match fields.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Object(members)) => name == "additionalItems" || !members.is_empty(),
            Some(_) => true,
        };
        if is_set {
            let name = if name == "$schema" { "schema" } else { name };
            return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
        }
    }
    if fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    if fields.get("items").is_some_and(Value::is_array) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| fields.get(name)?.as_array()).flatten();
    let below = ["not", "items", "additionalProperties"].into_iter().filter_map(|name| fields.get(name));
    let properties = fields.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flat_map(|properties| properties.values());
    parts.chain(below).chain(properties).find_map(unreadable)
}

/// That the schema is structural and, if it is, that its defaults fit.
fn checked(schema: &Value, path: &Path) -> Vec<Error> {
    let mut errors = structural::structural(schema, path);
    if errors.is_empty() {
        defaults(schema, path, true, &mut errors);
    }
    errors
}

/// That defaults are themselves what the schema asks for.
fn defaults(schema: &Value, path: &Path, is_root: bool, errors: &mut Vec<Error>) {
    if !is_root && !schema["default"].is_null() {
        let given = &schema["default"];
        let node = Node::read(schema);
        let place = path.child("default");
        let mut whole = json!({ "value": given });
        let outer = Node { properties: [("value".to_owned(), node.clone())].into(), ..Node::default() };
        if !prune(&mut whole, &outer).unknown.is_empty() {
            errors.push(Error::invalid(&place, given.clone(), "must not have unknown fields"));
        } else {
            let named = schema["type"].as_str().unwrap_or_default();
            if !named.is_empty() && JsonType::of_name(named).is_none() && !node.int_or_string {
                errors.push(of_no_type(&place, given, named));
            }
            let mut filled = given.clone();
            default(&mut filled, &node);
            for error in validate_value(&filled, &node) {
                let inner = error.path.to_string();
                let path = if inner == "<nil>" { place.clone() } else { place.child(&inner) };
                errors.push(Error { path, ..error });
            }
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        defaults(property, &path.child("properties").key(name), false, errors);
    }
    for name in ["items", "additionalProperties"] {
        if schema[name].is_object() {
            defaults(&schema[name], &path.child(name), false, errors);
        }
    }
}

/// No value is of a type that there is not.
fn of_no_type(path: &Path, value: &Value, named: &str) -> Error {
    let found = type_name(value);
    let error = Error::invalid(path, found, format!(" in body must be of type {named}: {found:?}"));
    Error { error_type: ErrorType::TypeInvalid, ..error }
}

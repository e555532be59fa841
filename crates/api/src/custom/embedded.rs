//! Objects within custom resources.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/objectmeta`.

use serde_json::{Map, Value};

use super::node::{Additional, Node};
use super::prune::METADATA;
use crate::description::builtin;
use crate::field::{self, Path};
use crate::{schema, validation};

/// What is wrong with a name.
type Rule = fn(&str) -> Vec<String>;

/// What names of an object's metadata obey, if they are there.
const NAMES: [(&str, Rule); 3] = [
    ("generateName", validation::is_path_segment_prefix),
    ("name", validation::is_path_segment_name),
    ("namespace", validation::is_dns1123_label),
];

/// Objects inside an object must say what they are.
pub(super) fn embedded(path: &Path, value: &Value, node: &Node, is_root: bool, errors: &mut Vec<field::Error>) {
    match value {
        Value::Object(fields) => {
            if node.embedded && !is_root {
                embedded_object(path, fields, errors);
            }
            for (name, value) in fields {
                match (node.properties.get(name), &node.additional) {
                    (Some(property), _) => embedded(&path.child(name), value, property, false, errors),
                    (None, Some(Additional::Schema(values))) => {
                        embedded(&path.key(name), value, values, false, errors);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                embedded(&path.index(index), item, inner, false, errors);
            }
        }
        _ => {}
    }
}

fn embedded_object(path: &Path, fields: &Map<String, Value>, errors: &mut Vec<field::Error>) {
    for name in ["apiVersion", "kind"] {
        let place = path.child(name);
        match fields.get(name) {
            None => errors.push(field::Error::required(&place, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(field::Error::invalid(&place, "", "must not be empty"));
            }
            Some(Value::String(text)) if name == "kind" => {
                let problems = validation::is_dns1035_label(&text.to_lowercase());
                if !problems.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
                    errors.push(field::Error::invalid(&place, text.as_str(), detail));
                }
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                let detail = format!("unexpected GroupVersion string: {text}");
                errors.push(field::Error::invalid(&place, text.as_str(), detail));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(field::Error::invalid(&place, other.clone(), "must be a string")),
        }
    }
    if let Some(metadata) = fields.get("metadata") {
        embedded_metadata(&path.child("metadata"), metadata, errors);
    }
}

fn embedded_metadata(path: &Path, metadata: &Value, errors: &mut Vec<field::Error>) {
    if let Some(place) = builtin().definition(METADATA)
        && let Some(problem) = schema::check_at(metadata, place).wrong_type
    {
        errors.push(field::Error::invalid(path, metadata.clone(), problem));
        return;
    }
    // None has to be there.
    for (field, rule) in NAMES {
        let name = metadata[field].as_str().unwrap_or_default();
        let problems = if name.is_empty() { Vec::new() } else { rule(name) };
        let invalid = |problem| field::Error::invalid(&path.child(field), name, problem);
        errors.extend(problems.into_iter().map(invalid));
    }
    errors.extend(validation::metadata(metadata, path));
}

//! What is wrong with the schema of a version, and how Kubernetes shows schemas that it refuses.

use portolan_api::custom::{Compilable, Structure};
use portolan_api::field::{Error, Path, Shown};
use serde_json::{Map, Value, json};

use super::validation::text;
use super::versions::Shared;
use crate::extensions::rules;
use crate::resources::json::is_set;
use crate::resources::shown;

/// What a schema may not say at its root if the status is written on its own, in the order of upstream's structure;
/// the type, which stands among them, must be `object`.
const NOT_AT_ROOT: [&str; 23] = [
    "id",
    "$schema",
    "$ref",
    "type",
    "nullable",
    "default",
    "enum",
    "maxProperties",
    "minProperties",
    "allOf",
    "oneOf",
    "anyOf",
    "not",
    "additionalProperties",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];

const AT_ROOT: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
                       MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties \
                       ExternalDocs Example XPreserveUnknownFields XValidations]";

/// What is wrong with a schema; `path` is that of what holds it.
pub(super) fn problems(schema: &Value, has_status: bool, path: &Path) -> Vec<Error> {
    if schema.is_null() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if has_status {
        errors.extend(at_root(schema, path));
    }
    if schema["nullable"] == true {
        errors.push(Error::forbidden(&path.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root"));
    }
    let path = path.child("openAPIV3Schema");
    let Structure { errors: wrong, mut compilable } = Structure::of(schema, &path);
    if compilable != Compilable::Nowhere {
        let broken = rules::problems_of_defaults(schema, &path);
        if !broken.is_empty() {
            compilable = Compilable::Nowhere;
        }
        errors.extend(broken);
    }
    errors.extend(wrong);
    errors.extend(rules::problems(schema, &path, &compilable));
    errors
}

/// The first that may not be said at the root of a schema whose part for the status is used on its own.
fn at_root(schema: &Value, path: &Path) -> Option<Error> {
    for name in NOT_AT_ROOT {
        let given = &schema[name];
        if name == "type" {
            let given = text(schema, "type");
            if !matches!(given, "" | "object") {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status \
                              subresource is enabled";
                return Some(Error::invalid(&path.child("openAPIV3Schema.type"), given, detail));
            }
        } else if is_set(given) || given.is_object() || given.is_number() {
            let detail = format!(
                "only {AT_ROOT} fields are allowed at the root of the schema if the status subresource is enabled"
            );
            let shown = Shown::Text(shown::compact("JSONSchemaProps", &explicit(schema)));
            return Some(Error::invalid(&path.child("openAPIV3Schema"), shown, detail));
        }
    }
    None
}

/// A version in one line, without what it shares with all others.
pub(super) fn version_as_shown(version: &Value, shared: &Shared) -> String {
    let mut version = version.clone();
    if let Some(fields) = version.as_object_mut() {
        for field in shared.fields() {
            fields.remove(field);
        }
    }
    let schema = &mut version["schema"];
    if schema["openAPIV3Schema"].is_object() {
        schema["openAPIV3Schema"] = explicit(&schema["openAPIV3Schema"]);
    }
    shown::compact("CustomResourceDefinitionVersion", &version)
}

/// A schema in which it is said what is a schema, a list of them, or a yes or no, where any may stand.
fn explicit(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let list = |value: &Value| -> Value { value.as_array().into_iter().flatten().map(explicit).collect() };
    let map = |value: &Value| -> Value {
        let entries = value.as_object().into_iter().flatten();
        entries.map(|(name, value)| (name.clone(), explicit(value))).collect::<Map<_, _>>().into()
    };
    let mut explicit_fields = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("items", Value::Array(_)) => json!({"schema": null, "jSONSchemas": list(value)}),
            ("items", _) => json!({"schema": explicit(value), "jSONSchemas": null}),
            ("additionalProperties" | "additionalItems", Value::Bool(allows)) => {
                json!({"allows": allows, "schema": null})
            }
            ("additionalProperties" | "additionalItems", _) => json!({"allows": true, "schema": explicit(value)}),
            ("allOf" | "anyOf" | "oneOf", _) => list(value),
            ("not", _) => explicit(value),
            ("properties" | "patternProperties" | "definitions", _) => map(value),
            _ => value.clone(),
        };
        explicit_fields.insert(name.clone(), value);
    }
    Value::Object(explicit_fields)
}

/// Fields that are not kept if they hold nothing.
const OPTIONAL: [&str; 20] = [
    "id",
    "$schema",
    "description",
    "type",
    "format",
    "title",
    "pattern",
    "nullable",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "uniqueItems",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "required",
    "properties",
    "allOf",
    "anyOf",
    "oneOf",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
];

/// Leaves out what says nothing, also below places that may hold something else than a schema, whose fields the API
/// description does not know.
pub(super) fn tidy(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.retain(|name, value| is_set(value) || !OPTIONAL.contains(&name.as_str()));
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("items" | "additionalProperties" | "not", value @ Value::Object(_)) => tidy(value),
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(tidy),
            ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => parts.iter_mut().for_each(tidy),
            _ => {}
        }
    }
}

//! Whether the schema of a definition is one that everything can be derived from.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation` and `pkg/apiserver/schema/validation.go`.

mod standard;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::standard::Place;
use crate::field::{Error, Path, Shown};

/// That every place has one type of its own; sorted, as upstream does it.
pub(super) fn structural(schema: &Value, path: &Path) -> Vec<Error> {
    let mut checker = Checker::default();
    checker.invariants(schema, Level::Root, path);
    checker.complete(schema, schema, path, &["allOf", "anyOf", "oneOf"]);
    checker.errors.sort_by_cached_key(ToString::to_string);
    checker.errors
}

/// What no schema may say, and the places where it says that, or some place below does.
pub(super) fn standard(schema: &Value, path: &Path) -> (Vec<Error>, BTreeSet<Path>) {
    let mut checker = Checker::default();
    checker.standard(schema, path, Place { is_root: true, in_meta: false, no_default: None });
    (checker.errors, checker.wrong)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

#[derive(Default)]
struct Checker {
    errors: Vec<Error>,
    /// Places that say, or have below them, what no schema may say.
    wrong: BTreeSet<Path>,
}

fn members<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    schema[name].as_object().into_iter().flatten()
}

fn items<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    schema[name].as_array().into_iter().flatten().enumerate()
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema[name].as_str().unwrap_or_default()
}

fn is(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

impl Checker {
    fn forbidden(&mut self, path: &Path, detail: &str) {
        self.errors.push(Error::forbidden(path, detail));
    }

    fn required(&mut self, path: &Path, detail: &str) {
        self.errors.push(Error::required(path, detail));
    }

    fn invalid(&mut self, path: &Path, value: impl Into<Shown>, detail: &str) {
        self.errors.push(Error::invalid(path, value, detail));
    }

    /// That every place has a type of its own.
    fn invariants(&mut self, schema: &Value, level: Level, path: &Path) {
        let Some(fields) = schema.as_object() else { return };
        let kind = text(schema, "type");
        let is_embedded = is(schema, "x-kubernetes-embedded-resource");
        let keeps = is(schema, "x-kubernetes-preserve-unknown-fields");
        if kind == "array" && schema["items"].is_null() {
            self.required(&path.child("items"), "must be specified");
        }
        self.invariants(&schema["items"], Level::Item, &path.child("items"));
        for (name, property) in members(schema, "properties") {
            self.invariants(property, Level::Field, &path.child("properties").key(name));
        }
        let additional = path.child("additionalProperties");
        if !schema["additionalProperties"].is_null() {
            if level == Level::Root {
                self.forbidden(&additional, "must not be used at the root");
            }
            self.invariants(&schema["additionalProperties"], Level::Field, &additional);
            if is_embedded {
                self.forbidden(&additional, "must not be used if x-kubernetes-embedded-resource is set");
            }
        }
        if is(schema, "x-kubernetes-int-or-string") {
            for (name, given) in
                [("x-kubernetes-preserve-unknown-fields", keeps), ("x-kubernetes-embedded-resource", is_embedded)]
            {
                if given {
                    self.invalid(&path.child(name), true, "must be false if x-kubernetes-int-or-string is true");
                }
            }
        }
        self.value_checks(fields, schema, path);
        let type_path = path.child("type");
        if is_embedded && kind != "object" {
            let text = "must be object if x-kubernetes-embedded-resource is true";
            if kind.is_empty() { self.required(&type_path, text) } else { self.invalid(&type_path, kind, text) }
        } else if kind.is_empty() && !is(schema, "x-kubernetes-int-or-string") && !keeps {
            let text = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            self.required(&type_path, text);
        }
        if level == Level::Root && !matches!(kind, "" | "object") {
            self.invalid(&type_path, kind, "must be object at the root");
        }
        if level == Level::Root || is_embedded {
            self.object_meta(schema, level, path);
        }
        if is_embedded && !keeps && members(schema, "properties").next().is_none() {
            let text = "must not be empty if x-kubernetes-embedded-resource is true without \
                        x-kubernetes-preserve-unknown-fields";
            self.required(&path.child("properties"), text);
        }
    }

    /// `apiVersion`, `kind` and `metadata` are what they always are.
    fn object_meta(&mut self, schema: &Value, level: Level, path: &Path) {
        let place = |name: &str| path.child("properties").key(name);
        for name in ["kind", "apiVersion"] {
            let property = &schema["properties"][name];
            if !property.is_null() && text(property, "type") != "string" {
                self.invalid(&place(name).child("type"), text(property, "type"), "must be string");
            }
        }
        let metadata = &schema["properties"]["metadata"];
        if metadata.is_null() {
            return;
        }
        if text(metadata, "type") != "object" {
            self.invalid(&place("metadata").child("type"), text(metadata, "type"), "must be object");
        }
        let only_names =
            members(metadata, "properties").all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
        let known = ["type", "properties", "description"];
        let only_known = metadata.as_object().is_none_or(|it| it.keys().all(|name| known.contains(&name.as_str())));
        if level == Level::Root && !(only_names && only_known) {
            let text =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.forbidden(&place("metadata"), text);
        }
    }

    /// Checks of values in and out of junctors.
    fn value_checks(&mut self, fields: &Map<String, Value>, schema: &Value, path: &Path) {
        let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
        let is_pattern = |part: &Value| *part == int_or_string;
        for junctor in ["anyOf", "allOf", "oneOf"] {
            if junctor == "anyOf" && is_pattern(&schema["anyOf"]) {
                continue;
            }
            for (index, part) in items(schema, junctor) {
                let is_first = junctor == "allOf" && index == 0 && is_pattern(&part["anyOf"]);
                self.nested(part, &path.child(junctor).index(index), is_first);
            }
        }
        self.nested(&schema["not"], &path.child("not"), false);
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
            && let Err(error) = super::node::compiled(pattern)
        {
            let text = format!("must be a valid regular expression, but isn't: {error}");
            self.invalid(&path.child("pattern"), pattern, &text);
        }
    }

    fn nested(&mut self, schema: &Value, path: &Path, has_pattern: bool) {
        let Some(fields) = schema.as_object() else { return };
        if has_pattern {
            let mut others = schema.clone();
            if let Some(fields) = others.as_object_mut() {
                fields.remove("anyOf");
            }
            self.value_checks(fields, &others, path);
        } else {
            self.value_checks(fields, schema, path);
        }
        self.nested(&schema["items"], &path.child("items"), false);
        for (name, property) in members(schema, "properties") {
            self.nested(property, &path.child("properties").key(name), false);
        }
        for (name, how) in [
            ("type", "must be empty to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
            ("x-kubernetes-embedded-resource", "must be false to be structural"),
            ("x-kubernetes-int-or-string", "must be false to be structural"),
            ("x-kubernetes-list-map-keys", "must be empty to be structural"),
            ("x-kubernetes-list-type", "must be undefined to be structural"),
            ("x-kubernetes-map-type", "must be undefined to be structural"),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ] {
            let is_set = !matches!(&schema[name], Value::Null | Value::Bool(false)) && schema[name] != "";
            if is_set {
                self.forbidden(&path.child(name), how);
            }
        }
        if !schema["properties"]["metadata"].is_null() {
            self.forbidden(&path.child("properties").key("metadata"), "must not be specified in a nested context");
        }
    }

    /// That a junctor of the whole speaks only of places that the schema has outside of it. As upstream, junctors
    /// further down are not looked at.
    fn complete(&mut self, schema: &Value, part: &Value, path: &Path, junctors: &[&str]) {
        for junctor in junctors {
            for (index, inner) in items(part, junctor) {
                self.is_known(schema, inner, &path.child(junctor).index(index), path);
            }
        }
        if part["not"].is_object() {
            self.is_known(schema, &part["not"], &path.child("not"), path);
        }
    }

    fn is_known(&mut self, schema: &Value, part: &Value, path: &Path, outside: &Path) {
        for (name, inner) in members(part, "properties") {
            let known = &schema["properties"][name];
            if !known.is_object() {
                let place = outside.child("properties").key(name);
                self.required(&place, &format!("because it is defined in {}", path.child("properties").key(name)));
                continue;
            }
            let place = outside.child("properties").key(name);
            self.is_known(known, inner, &path.child("properties").key(name), &place);
        }
        if part["items"].is_object() {
            if schema["items"].is_object() {
                self.is_known(&schema["items"], &part["items"], &path.child("items"), &outside.child("items"));
            } else {
                self.required(&outside.child("items"), &format!("because it is defined in {}", path.child("items")));
            }
        }
        for junctor in ["allOf", "anyOf", "oneOf"] {
            for (index, inner) in items(part, junctor) {
                self.is_known(schema, inner, &path.child(junctor).index(index), outside);
            }
        }
        if part["not"].is_object() {
            self.is_known(schema, &part["not"], &path.child("not"), outside);
        }
    }
}

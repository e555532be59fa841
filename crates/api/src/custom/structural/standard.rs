//! What no schema may say.

use serde_json::{Value, json};

use super::{Checker, is, items, members, text};
use crate::custom::field_path::{Notation, field_path};
use crate::field::{Error, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Reasons that a rule may give.
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) is_root: bool,
    pub(super) in_meta: bool,
    /// Why there can be no default here.
    pub(super) no_default: Option<&'a str>,
}

impl Checker {
    /// What no schema may say.
    pub(super) fn standard(&mut self, schema: &Value, path: &Path, place: Place<'_>) {
        if !schema.is_object() {
            return;
        }
        let before = self.errors.len();
        self.place(schema, path, place);
        if self.errors.len() > before {
            self.wrong.insert(path.clone());
        }
    }

    fn place(&mut self, schema: &Value, path: &Path, place: Place<'_>) {
        self.unsupported(schema, path, place);
        if is(schema, "uniqueItems") {
            let text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbidden(&path.child("uniqueItems"), text);
        }
        let inner = Place { is_root: false, ..place };
        let additional = &schema["additionalProperties"];
        if !additional.is_null() {
            if members(schema, "properties").next().is_some() && *additional != Value::Bool(true) {
                let text = "additionalProperties and properties are mutual exclusive";
                self.forbidden(&path.child("additionalProperties"), text);
            }
            let reason = "inside additionalProperties applying to object metadata";
            let no_default = if place.in_meta { Some(reason) } else { place.no_default };
            self.standard(additional, &path.child("additionalProperties"), Place { no_default, ..inner });
        }
        for (name, property) in members(schema, "properties") {
            let is_meta = (place.is_root || is(schema, "x-kubernetes-embedded-resource"))
                && matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
            let reason = format!("in top-level {name}");
            let no_default = if is_meta && place.is_root { Some(reason.as_str()) } else { place.no_default };
            let place = Place { is_root: false, in_meta: place.in_meta || is_meta, no_default };
            self.standard(property, &path.child("properties").key(name), place);
        }
        self.standard(&schema["not"], &path.child("not"), inner);
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in items(schema, junctor) {
                self.standard(part, &path.child(junctor).index(index), inner);
            }
        }
        if schema["items"].is_object() {
            self.standard(&schema["items"], &path.child("items"), inner);
        }
        if schema["x-kubernetes-preserve-unknown-fields"] == false {
            self.invalid(&path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
        }
        self.merge_rules(schema, path);
        self.rules(schema, path);
    }

    fn unsupported(&mut self, schema: &Value, path: &Path, place: Place<'_>) {
        if let (Some(reason), false) = (place.no_default, schema["default"].is_null()) {
            let text = format!("must not be set {reason}");
            let text = if reason.is_empty() { "must not be set".to_owned() } else { text };
            self.forbidden(&path.child("default"), &text);
        }
        for (name, what) in [
            ("id", "id is not supported"),
            ("additionalItems", "additionalItems is not supported"),
            ("patternProperties", "patternProperties is not supported"),
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies is not supported"),
            ("$ref", "$ref is not supported"),
        ] {
            if !schema[name].is_null() {
                self.forbidden(&path.child(name), what);
            }
        }
        match text(schema, "type") {
            "" => {}
            "null" => {
                let text = "type cannot be set to null, use nullable as an alternative";
                self.forbidden(&path.child("type"), text);
            }
            known if TYPES.contains(&known) => {}
            other => self.errors.push(Error::not_supported(&path.child("type"), other, &TYPES)),
        }
        if schema["items"].is_array() {
            self.forbidden(&path.child("items"), "items must be a schema object and not an array");
        }
        if place.in_meta && is(schema, "x-kubernetes-embedded-resource") {
            self.forbidden(&path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
        }
    }

    /// How lists and maps are merged.
    fn merge_rules(&mut self, schema: &Value, path: &Path) {
        let kind = text(schema, "type");
        let must_be = |this: &mut Self, wanted: &str, what: &str| {
            let text = format!("must be {wanted} if {what} is specified");
            match kind {
                "" => this.required(&path.child("type"), &text),
                other if other != wanted => this.invalid(&path.child("type"), other, &text),
                _ => {}
            }
        };
        if let Some(map_type) = schema["x-kubernetes-map-type"].as_str() {
            must_be(self, "object", "x-kubernetes-map-type");
            if !matches!(map_type, "atomic" | "granular") {
                let place = path.child("x-kubernetes-map-type");
                self.errors.push(Error::not_supported(&place, map_type, &["atomic", "granular"]));
            }
        }
        let keys: Vec<&str> = items(schema, "x-kubernetes-list-map-keys").filter_map(|(_, key)| key.as_str()).collect();
        let list_type = schema["x-kubernetes-list-type"].as_str();
        let (type_path, keys_path) = (path.child("x-kubernetes-list-type"), path.child("x-kubernetes-list-map-keys"));
        let inner = &schema["items"];
        let inner_path = path.child("items");
        if let Some(list_type) = list_type {
            must_be(self, "array", "x-kubernetes-list-type");
            if !matches!(list_type, "atomic" | "set" | "map") {
                self.errors.push(Error::not_supported_as_listed(&type_path, list_type, &["atomic", "set", "map"]));
            }
            let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
            match text_of_set_item(list_type, inner) {
                Some(("array", given)) if !matches!(given, "" | "atomic") => {
                    self.invalid(&inner_path.child("x-kubernetes-list-type"), given, text);
                }
                Some(("object", given)) if given != "atomic" => {
                    self.invalid(&inner_path.child("x-kubernetes-map-type"), Value::Null, text);
                }
                _ => {}
            }
        }
        if !keys.is_empty() && list_type != Some("map") {
            let text = "must be map if x-kubernetes-list-map-keys is non-empty";
            match list_type {
                None => self.required(&type_path, text),
                Some(other) => self.invalid(&type_path, other, text),
            }
        }
        if list_type == Some("map") {
            self.map_list(schema, path, &keys, &keys_path);
        }
        if matches!(list_type, Some("map" | "set")) && is(inner, "nullable") {
            let which = list_type.unwrap_or_default();
            let text = format!("cannot be nullable when x-kubernetes-list-type is {which}");
            self.forbidden(&inner_path.child("nullable"), &text);
        }
    }

    fn map_list(&mut self, schema: &Value, path: &Path, keys: &[&str], keys_path: &Path) {
        let (inner, inner_path) = (&schema["items"], path.child("items"));
        if keys.is_empty() {
            self.required(keys_path, "must not be empty if x-kubernetes-list-type is map");
        }
        if inner.is_null() {
            self.required(&inner_path, "must have a schema if x-kubernetes-list-type is map");
            return;
        }
        if text(inner, "type") != "object" {
            let text_of = "must be object if parent array's x-kubernetes-list-type is map";
            self.invalid(&inner_path.child("type"), text(inner, "type"), text_of);
            return;
        }
        let required: Vec<&str> = items(inner, "required").filter_map(|(_, name)| name.as_str()).collect();
        for (index, key) in keys.iter().enumerate() {
            let property = &inner["properties"][*key];
            let place = inner_path.child("properties").key(key);
            if property.is_null() {
                self.invalid(keys_path, json!(keys), "entries must all be names of item properties");
            } else if matches!(text(property, "type"), "array" | "object") {
                let text_of = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                self.invalid(&place.child("type"), text(inner, "type"), text_of);
            } else {
                if is(property, "nullable") {
                    let text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                    self.forbidden(&place.child("nullable"), text);
                }
                if !required.contains(key) && property["default"].is_null() {
                    let text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                                required property";
                    self.required(&place.child("default"), text);
                }
            }
            if keys[..index].contains(key) {
                self.invalid(keys_path, json!(keys), "must not contain duplicate entries");
            }
        }
    }

    /// What rules look like; whether they compile is not decided here.
    fn rules(&mut self, schema: &Value, path: &Path) {
        for (index, rule) in items(schema, "x-kubernetes-validations") {
            let place = path.child("x-kubernetes-validations").index(index);
            let (expression, message) = (text(rule, "rule").trim(), text(rule, "message"));
            let has_breaks = |text: &str| text.contains(['\n', '\r']);
            if expression.is_empty() {
                self.required(&place.child("rule"), "rule is not specified");
            } else if !message.is_empty() && message.trim().is_empty() {
                self.invalid(&place.child("message"), message, "must be non-empty if specified");
            } else if has_breaks(message.trim()) {
                self.invalid(&place.child("message"), message, "must not contain line breaks");
            } else if has_breaks(expression) && message.trim().is_empty() {
                let text = "message must be specified if rule contains line breaks";
                self.required(&place.child("message"), text);
            }
            let given = text(rule, "messageExpression");
            if !given.is_empty() && given.trim().is_empty() {
                let text = "messageExpression must be non-empty if specified";
                self.required(&place.child("messageExpression"), text);
            }
            if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
                self.errors.push(Error::not_supported(&place.child("reason"), reason, &REASONS));
            }
            let (given, place) = (text(rule, "fieldPath"), place.child("fieldPath"));
            if !given.is_empty() && given.trim().is_empty() {
                self.invalid(&place, given, "must be non-empty if specified");
            }
            if has_breaks(given) {
                self.invalid(&place, given, "must not contain line breaks");
            }
            if !given.is_empty() && field_path(given, schema, Notation::DotsAndBrackets).is_err() {
                self.invalid(&place, given, "must be a valid path");
            }
        }
    }
}

/// Type of a set's items and how they are merged, if they are no scalars.
fn text_of_set_item<'a>(list_type: &str, inner: &'a Value) -> Option<(&'a str, &'a str)> {
    let rule = match text(inner, "type") {
        "array" => "x-kubernetes-list-type",
        "object" => "x-kubernetes-map-type",
        _ => return None,
    };
    (list_type == "set").then(|| (text(inner, "type"), text(inner, rule)))
}

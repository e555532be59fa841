//! Definitions of kinds that users bring.

use portolan_api::custom;
use portolan_api::field::{self, Path};
use serde_json::{Value, json};

use super::{schema, validation};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::set;
use crate::strategy::{Context, Generations, Strategy, keep_other_half};

/// The strategy of definitions.
pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let spec = &mut object["spec"];
        if !spec.is_object() {
            return;
        }
        let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
        if spec["names"].is_object() && !kind.is_empty() {
            for (name, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
                if spec["names"][name].as_str().is_none_or(str::is_empty) {
                    spec["names"][name] = value.into();
                }
            }
        }
        for version in spec["versions"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            for name in ["served", "storage"] {
                set(version, name, false);
            }
            if let Some(schema) = version.get_mut("schema").and_then(|it| it.get_mut("openAPIV3Schema")) {
                schema::tidy(schema);
            }
        }
        if spec["conversion"].is_null() {
            spec["conversion"] = json!({"strategy": "None"});
        }
        let service = spec.pointer_mut("/conversion/webhook/clientConfig/service").and_then(Value::as_object_mut);
        if let Some(service) = service {
            set(service, "port", 443);
        }
        if object["status"]["storedVersions"].as_array().is_none_or(Vec::is_empty) {
            mark_stored(object);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        // It is written afterwards which names it has got.
        object["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null});
        mark_stored(object);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        if context.subresource.is_empty() {
            mark_stored(new);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = validation::created(object);
        errors.extend(validation::stored_versions(object));
        errors
    }

    fn validate_changed(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        _warnings: &mut Vec<String>,
    ) -> Vec<field::Error> {
        // Who writes the status may write what is wrong with the spec: the next to write that is told.
        if !context.subresource.is_empty() {
            return Vec::new();
        }
        let mut errors = validation::changed(new, old);
        errors.extend(validation::stored_versions(new));
        errors.extend(self.validate_update(new, old, context));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let path = Path::new("spec");
        let mut fields = vec![("group", &["group"][..]), ("names.plural", &["names", "plural"])];
        if custom::is_established(old) {
            fields.extend([("scope", &["scope"][..]), ("names.kind", &["names", "kind"])]);
        }
        let at =
            |object: &Value, names: &[&str]| names.iter().fold(object["spec"].clone(), |it, name| it[*name].clone());
        let changed = fields.into_iter().filter(|(_, names)| at(new, names) != at(old, names));
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        changed.map(|(name, names)| field::Error::invalid(&path.child(name), text(at(new, names)), IMMUTABLE)).collect()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        validation::warnings(object)
    }
}

/// Remembers that objects may be stored in the version that is the storage version now.
fn mark_stored(object: &mut Value) {
    let versions = object["spec"]["versions"].as_array();
    let storage = versions.and_then(|versions| versions.iter().find(|version| version["storage"] == true));
    let Some(storage) = storage else { return };
    let name = Value::from(storage["name"].as_str().unwrap_or_default());
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    match object["status"]["storedVersions"].as_array_mut() {
        Some(stored) if stored.contains(&name) => {}
        Some(stored) => stored.push(name),
        None => object["status"]["storedVersions"] = json!([name]),
    }
}

//! Persistent volumes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::persistent_volume_claim::{MODES, access_modes, quantity};
use super::pod_template::validate_node_selector;
use crate::resources::at::{At, Errors};
use crate::resources::json::{self, entries, is_set, items, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of persistent volumes.
pub(crate) struct PersistentVolume;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Capacity"),
    Column::string("Access Modes"),
    Column::string("Reclaim Policy"),
    Column::string("Status"),
    Column::string("Claim"),
    Column::string("StorageClass"),
    Column::string("VolumeAttributesClass"),
    Column::string("Reason"),
    AGE,
    Column::string("VolumeMode").wide(),
];

/// Fields of the spec that are not a source of storage.
const OTHER: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
        set(spec, "volumeMode", "Filesystem");
        json::canonical_quantities(spec, "capacity");
        if let Some(source) = json::object(spec, "hostPath") {
            set(source, "type", "");
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({"phase": "Pending"}));
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        if !is_set(&spec["accessModes"]) {
            errors.required(&at.child("accessModes"), "");
        }
        for mode in items(&spec["accessModes"]) {
            errors.one_of(&at.child("accessModes"), mode, &MODES);
        }
        let capacity = at.child("capacity");
        if !is_set(&spec["capacity"]) {
            errors.required(&capacity, "");
        } else if spec["capacity"]["storage"].is_null() || entries(&spec["capacity"]).count() != 1 {
            let names: Vec<&str> = entries(&spec["capacity"]).map(|(name, _)| name).collect();
            errors.not_supported(&capacity, json!(names), &["storage"]);
        }
        for (name, amount) in entries(&spec["capacity"]) {
            if errors.quantity(&capacity.key(name), amount).is_some_and(|amount| amount.is_zero()) {
                errors.invalid(&capacity.key(name), amount.clone(), "must be greater than zero");
            }
        }
        errors.one_of(
            &at.child("persistentVolumeReclaimPolicy"),
            &spec["persistentVolumeReclaimPolicy"],
            &["Delete", "Recycle", "Retain"],
        );
        if !spec["nodeAffinity"].is_null() {
            let affinity = at.child("nodeAffinity");
            validate_node_selector(&spec["nodeAffinity"]["required"], &affinity.child("required"), &mut errors);
        }
        let sources: Vec<&str> = entries(spec)
            .filter(|(name, value)| !OTHER.contains(name) && !value.is_null())
            .map(|(name, _)| name)
            .collect();
        match sources.as_slice() {
            [] => errors.required(&at, "must specify a volume type"),
            [_] => {}
            [_, rest @ ..] => {
                for name in rest {
                    errors.forbidden(&at.child(name), "may not specify more than 1 volume type");
                }
            }
        }
        errors.one_of(&at.child("volumeMode"), &spec["volumeMode"], &["Block", "Filesystem"]);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            return errors.0;
        }
        let (new, old) = (&new["spec"], &old["spec"]);
        // Secrets for growing may be added later.
        let source = |spec: &Value| -> Value {
            let mut source = spec.clone();
            if let Some(fields) = source.as_object_mut() {
                fields.retain(|name, value| !OTHER.contains(&name.as_str()) && !value.is_null());
                for source in fields.values_mut().filter_map(Value::as_object_mut) {
                    source.retain(|name, _| !name.starts_with("controllerExpandSecretRef"));
                }
            }
            source
        };
        let (after, before) = (source(new), source(old));
        if !json::same(&after, &before) {
            let spec = At::root("spec");
            let detail = format!("spec.persistentvolumesource is immutable after creation\n-{before}\n+{after}");
            errors.forbidden(&spec.child("persistentvolumesource"), detail);
        }
        errors.immutable(&At::root("volumeMode"), &new["volumeMode"], &old["volumeMode"]);
        if !old["nodeAffinity"].is_null() {
            errors.immutable(&At::root("nodeAffinity"), &new["nodeAffinity"], &old["nodeAffinity"]);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let claim = match text(&spec["claimRef"]["name"]) {
            "" => String::new(),
            name => format!("{}/{name}", text(&spec["claimRef"]["namespace"])),
        };
        let phase =
            if is_set(&object["metadata"]["deletionTimestamp"]) { "Terminating" } else { text(&status["phase"]) };
        vec![
            print::name(object),
            quantity(&spec["capacity"]["storage"]).into(),
            access_modes(&spec["accessModes"]).into(),
            text(&spec["persistentVolumeReclaimPolicy"]).into(),
            phase.into(),
            claim.into(),
            text(&spec["storageClassName"]).into(),
            spec["volumeAttributesClassName"].as_str().unwrap_or("<unset>").into(),
            text(&status["reason"]).into(),
            print::age(object, now),
            spec["volumeMode"].as_str().unwrap_or("<unset>").into(),
        ]
    }
}

//! Claims of persistent volumes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Map, Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, is_set, items, object, same, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of persistent volume claims.
pub(crate) struct PersistentVolumeClaim;

/// Ways to mount a volume.
pub(crate) const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status"),
    Column::string("Volume"),
    Column::string("Capacity"),
    Column::string("Access Modes"),
    Column::string("StorageClass"),
    Column::string("VolumeAttributesClass"),
    AGE,
    Column::string("VolumeMode").wide(),
];

/// Fills in a claim's spec.
pub(crate) fn default_spec(spec: &mut Map<String, Value>) {
    set(spec, "volumeMode", "Filesystem");
    if let Some(resources) = object(spec, "resources") {
        canonical_quantities(resources, "requests");
        canonical_quantities(resources, "limits");
    }
}

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
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
            errors.required(&at.child("accessModes"), "at least 1 access mode is required");
        }
        for mode in items(&spec["accessModes"]) {
            errors.one_of(&at.child("accessModes"), mode, &MODES);
        }
        errors.label_selector(&at.child("selector"), &spec["selector"]);
        let resources = at.child("resources");
        let requests = resources.child("requests");
        let request = &spec["resources"]["requests"]["storage"];
        let key = requests.key("storage");
        if request.is_null() {
            errors.required(&key, "");
        } else if errors.quantity(&key, request).is_some_and(|amount| amount.is_zero()) {
            errors.invalid(&key, request.clone(), "must be greater than zero");
        }
        errors.one_of(&at.child("volumeMode"), &spec["volumeMode"], &["Block", "Filesystem"]);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            return errors.0;
        }
        let at = At::root("spec");
        let (new, old) = (&new["spec"], &old["spec"]);
        let fields = ["accessModes", "selector", "volumeMode", "dataSource", "dataSourceRef"];
        let bound = is_set(&old["volumeName"]) && !same(&new["volumeName"], &old["volumeName"]);
        let class = !old["storageClassName"].is_null() && !same(&new["storageClassName"], &old["storageClassName"]);
        if bound || class || fields.iter().any(|field| !same(&new[*field], &old[*field])) {
            errors.forbidden(
                &at,
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
            );
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let phase =
            if is_set(&object["metadata"]["deletionTimestamp"]) { "Terminating" } else { text(&status["phase"]) };
        let bound = is_set(&spec["volumeName"]);
        vec![
            print::name(object),
            phase.into(),
            text(&spec["volumeName"]).into(),
            if bound { quantity(&status["capacity"]["storage"]) } else { String::new() }.into(),
            if bound { access_modes(&status["accessModes"]) } else { String::new() }.into(),
            text(&spec["storageClassName"]).into(),
            spec["volumeAttributesClassName"].as_str().unwrap_or("<unset>").into(),
            print::age(object, now),
            spec["volumeMode"].as_str().unwrap_or("<unset>").into(),
        ]
    }
}

/// A quantity as it is written.
pub(crate) fn quantity(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Access modes by their short names, in upstream's order.
pub(crate) fn access_modes(modes: &Value) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |name: &str| items(modes).iter().any(|mode| mode == name);
    short.iter().filter(|(name, _)| has(name)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

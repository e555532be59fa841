//! Claims of persistent volumes.

use portolan_api::field::{self, Path};
use portolan_api::quantity::Quantity;
use portolan_api::validation;
use portolan_base::Timestamp;
use serde_json::{Map, Value, json};

use super::pod_template::claim_warnings;
use crate::resources::at::{At, Errors};
use crate::resources::json::{
    canonical_quantities, copy, entries, is_set, items, object, set, set_zero, spec, status, text,
};
use crate::resources::{print, shown};
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of persistent volume claims.
pub(crate) struct PersistentVolumeClaim;

/// Ways to mount a volume.
pub(crate) const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// What is said of a claim that grows.
const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status").of("core.PersistentVolumeClaimStatus", "phase"),
    Column::string("Volume").of("core.PersistentVolumeClaimSpec", "volumeName"),
    Column::string("Capacity").of("core.PersistentVolumeClaimStatus", "capacity"),
    Column::string("Access Modes").of("core.PersistentVolumeClaimStatus", "accessModes"),
    Column::string("StorageClass").about("StorageClass of the pvc"),
    Column::string("VolumeAttributesClass").about("VolumeAttributesClass of the pvc"),
    AGE,
    Column::string("VolumeMode").of("core.PersistentVolumeClaimSpec", "volumeMode").wide(),
];

/// Fills in a claim's spec.
pub(crate) fn default_spec(spec: &mut Map<String, Value>) {
    set(spec, "volumeMode", "Filesystem");
    if let Some(resources) = object(spec, "resources") {
        canonical_quantities(resources, "requests");
        canonical_quantities(resources, "limits");
    }
}

/// The former place of the name of a class, and what is said of it.
pub(crate) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
pub(crate) const CLASS_DEPRECATED: &str = "deprecated since v1.8; use \"storageClassName\" attribute instead";

/// What is wrong with a claim's spec, which has its defaults.
pub(crate) fn validate_spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if !is_set(&spec["accessModes"]) {
        errors.required(&at.child("accessModes"), "at least 1 access mode is required");
    }
    errors.label_selector(&at.child("selector"), &spec["selector"]);
    validate_modes(&spec["accessModes"], at, errors);
    let resources = at.child("resources");
    let key = resources.key("storage");
    let request = &spec["resources"]["requests"]["storage"];
    if request.is_null() {
        errors.required(&key, "");
    } else if Quantity::parse(&quantity(request)).is_ok_and(|amount| amount.is_zero() || amount.is_negative()) {
        errors.invalid(&key, request.clone(), "must be greater than zero");
    } else {
        errors.quantity(&key, request);
    }
    for field in ["storageClassName", "volumeAttributesClassName"] {
        errors.obeys_if_set(&at.child(field), &spec[field], validation::is_dns1123_subdomain);
    }
    errors.one_of_if_present(&at.child("volumeMode"), &spec["volumeMode"], &["Block", "Filesystem"]);
    let (older, newer) = (&spec["dataSource"], &spec["dataSourceRef"]);
    for (field, source) in [("dataSource", older), ("dataSourceRef", newer)] {
        if !source.is_null() {
            validate_data_source(source, &at.child(field), errors);
        }
    }
    let namespace = &newer["namespace"];
    let is_same = || ["apiGroup", "kind", "name"].iter().all(|field| older[*field] == newer[*field]);
    if is_set(namespace) {
        let dot = at.child("dataSourceRef");
        errors.obeys(&dot.child("namespace"), text(namespace), validation::is_dns1123_label);
        if !older.is_null() {
            errors.invalid(at, json!({}), "may not be specified when dataSourceRef.namespace is specified");
        }
    } else if !older.is_null() && !newer.is_null() && !is_same() {
        errors.invalid(at, json!({}), "must match dataSourceRef");
    }
}

/// An amount of storage; `None` if it is malformed.
pub(crate) fn basic_amount(amount: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Quantity> {
    let Ok(read) = Quantity::parse(&quantity(amount)) else { return errors.quantity(at, amount) };
    if read.is_negative() {
        errors.invalid(at, read.value(), "must be a valid resource quantity");
    }
    Some(read)
}

/// How a volume may be used at the same time.
pub(crate) fn validate_modes(modes: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("accessModes");
    for mode in items(modes) {
        errors.one_of_if_present(&at, mode, &MODES);
    }
    let alone = |mode: &Value| mode == "ReadWriteOncePod";
    let others = items(modes).iter().any(|mode| !alone(mode) && MODES.contains(&text(mode)));
    if items(modes).iter().any(alone) && others {
        errors.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

/// What a source is that may be named by the older of the two fields.
fn is_claim_or_snapshot(source: &Value) -> bool {
    let (group, kind) = (text(&source["apiGroup"]), text(&source["kind"]));
    matches!((group, kind), ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot"))
}

/// Leaves out sources that are not taken where there was none, and says in both fields what is left.
fn settle_sources(spec: &mut Map<String, Value>, old: &Value) {
    let is = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    if old["dataSourceRef"].is_null()
        && spec.get("dataSourceRef").is_some_and(|source| !text(&source["namespace"]).is_empty())
    {
        spec.remove("dataSourceRef");
    }
    let was_there = !old["dataSource"].is_null() || !old["dataSourceRef"].is_null();
    if !was_there
        && !is(spec.get("dataSourceRef"))
        && spec.get("dataSource").is_some_and(|source| !is_claim_or_snapshot(source))
    {
        spec.remove("dataSource");
    }
    same_sources(spec);
}

/// Says in both fields where the first contents come from, unless that is in another namespace.
fn same_sources(spec: &mut Map<String, Value>) {
    let of = |name: &str| spec.get(name).filter(|source| source.is_object()).cloned();
    match (of("dataSource"), of("dataSourceRef")) {
        (Some(mut source), None) => {
            if let Some(fields) = source.as_object_mut() {
                fields.entry("apiGroup").or_insert(Value::Null);
            }
            spec.insert("dataSourceRef".to_owned(), source);
        }
        (None, Some(mut source)) if !is_set(&source["namespace"]) => {
            if let Some(fields) = source.as_object_mut() {
                fields.retain(|name, _| name != "namespace");
                fields.entry("apiGroup").or_insert(Value::Null);
            }
            spec.insert("dataSource".to_owned(), source);
        }
        _ => {}
    }
}

/// Where the first contents of a volume come from.
fn validate_data_source(source: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.present(&at.child("name"), &source["name"]);
    errors.present(&at.child("kind"), &source["kind"]);
    let group = text(&source["apiGroup"]);
    if group.is_empty() && text(&source["kind"]) != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(at, text(&source["kind"]), detail);
    }
    if !group.is_empty() {
        errors.obeys(&at.child("apiGroup"), group, validation::is_dns1123_subdomain);
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
        if let Some(spec) = spec(object) {
            settle_sources(spec, &Value::Null);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        if context.subresource == "status"
            && let Some(status) = status(new)
        {
            set_zero(status, "phase", "Pending");
        }
        if context.subresource != "status"
            && let Some(spec) = spec(new)
        {
            settle_sources(spec, &old["spec"]);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        validate_spec(&object["spec"], &At::root("spec"), &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            validate_status(&new["status"], &mut errors);
            return errors.0;
        }
        let at = At::root("spec");
        errors.immutable(&At::root("volumeMode"), &new["spec"]["volumeMode"], &old["spec"]["volumeMode"]);
        let class = "volumeAttributesClassName";
        if !old["status"]["currentVolumeAttributesClassName"].is_null()
            && old["spec"][class] != new["spec"][class]
            && !is_set(&new["spec"][class])
        {
            let what = if new["spec"][class].is_null() { "nil" } else { "empty string" };
            let detail =
                format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
            errors.forbidden(&at.child(class), detail);
        }
        let is_bound = new["status"]["phase"] == "Bound";
        let size = new["spec"]["resources"]["requests"]["storage"].clone();
        let capacity = old["status"]["capacity"]["storage"].clone();
        let (mut new, mut old) = (new["spec"].clone(), old["spec"].clone());
        let before = old.clone();
        let keep = |into: &mut Value, from: &Value, name: &str| {
            if let Some(fields) = into.as_object_mut() {
                copy(fields, name, from);
            }
        };
        if !is_set(&before["volumeName"]) {
            keep(&mut old, &new, "volumeName");
        }
        // A class may be found for a claim that named none.
        if before["storageClassName"].is_null() {
            keep(&mut new, &before, "storageClassName");
        }
        if is_bound {
            if let Some(requests) = new.pointer_mut("/resources/requests") {
                keep(requests, &before["resources"]["requests"], "storage");
            }
            keep(&mut new, &before, "volumeAttributesClassName");
        }
        // What is not there is nothing.
        let amount = |value: &Value| Quantity::parse(&quantity(value)).map_or(0, Quantity::nanos);
        let size = amount(&size);
        if size < amount(&before["resources"]["requests"]["storage"]) && size <= amount(&capacity) {
            let resources = at.child("resources");
            let requests = resources.child("requests");
            errors.forbidden(&requests.child("storage"), "field can not be less than status.capacity");
        }
        if let Some(difference) = shown::difference("PersistentVolumeClaimSpec", &old, &new) {
            errors.forbidden(
                &at,
                format!(
                    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                     claims\n{difference}"
                ),
            );
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = claim_warnings(&object["spec"], &Path::new("spec"));
        if !object["metadata"]["annotations"][CLASS_ANNOTATION].is_null() {
            warnings.insert(0, format!("metadata.annotations[{CLASS_ANNOTATION}]: {CLASS_DEPRECATED}"));
        }
        warnings
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

/// What is wrong with what a volume is said to have and to get.
fn validate_status(status: &Value, errors: &mut Errors) {
    let at = At::root("status");
    let capacity = at.child("capacity");
    for (name, amount) in entries(&status["capacity"]) {
        basic_amount(amount, &capacity.key(name), errors);
    }
    let list = at.child("allocatedResourceStatuses");
    for (name, state) in entries(&status["allocatedResourceStatuses"]) {
        validate_resource_name(name, &list, errors);
        if !RESIZES.contains(&text(state)) {
            errors.not_supported(&list, name, &RESIZES);
        }
    }
    let list = at.child("allocatedResources");
    for (name, amount) in entries(&status["allocatedResources"]) {
        let before = errors.0.len();
        validate_resource_name(name, &list, errors);
        if errors.0.len() > before {
            continue;
        }
        basic_amount(amount, &list.key(name), errors);
    }
}

/// Storage, or something of somebody's own.
fn validate_resource_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    let before = errors.0.len();
    errors.obeys(at, name, validation::is_qualified_name);
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.0.len() == before && is_native && name != "storage" {
        errors.not_supported(at, name, &["storage"]);
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

//! Persistent volumes.

use portolan_api::field::{self, Path, Shown};
use portolan_api::{time, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::persistent_volume_claim::{
    CLASS_ANNOTATION, CLASS_DEPRECATED, access_modes, basic_amount, quantity, validate_modes,
};
use super::pod_template::{
    DEPRECATED_VOLUMES, node_term_warnings, validate_driver_name, validate_node_selector, validate_volume_kind,
};
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{self, entries, is_set, items, set, set_zero, spec, text};
use crate::resources::{print, shown};
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of persistent volumes.
pub(crate) struct PersistentVolume;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Capacity").of("core.PersistentVolumeSpec", "capacity"),
    Column::string("Access Modes").of("core.PersistentVolumeSpec", "accessModes"),
    Column::string("Reclaim Policy").of("core.PersistentVolumeSpec", "persistentVolumeReclaimPolicy"),
    Column::string("Status").of("core.PersistentVolumeStatus", "phase"),
    Column::string("Claim").of("core.PersistentVolumeSpec", "claimRef"),
    Column::string("StorageClass").about("StorageClass of the pv"),
    Column::string("VolumeAttributesClass").about("VolumeAttributesClass of the pv"),
    Column::string("Reason").of("core.PersistentVolumeStatus", "reason"),
    AGE,
    Column::string("VolumeMode").of("core.PersistentVolumeSpec", "volumeMode").wide(),
];

const OPTIONS_ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";
const OPTIONS_DEPRECATED: &str = "deprecated since v1.31; use \"mountOptions\" attribute instead";
const RECYCLE_DEPRECATED: &str = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";

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

const ATTRIBUTES: &str = "volumeAttributesClassName";
/// When a volume came into its phase.
const SINCE: &str = "lastPhaseTransitionTime";

/// Sources whose volumes are mounted with the options of the annotation.
const WITH_OPTIONS: [&str; 13] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "cinder",
    "cephfs",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
];

/// Labels of nodes that have new names, which may take their place.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// Whether the nodes that reach a volume are named as before, or by the new names of labels.
fn is_same_affinity(new: &Value, old: &Value) -> bool {
    let terms = |affinity: &Value| {
        let required = &affinity["required"];
        (affinity.is_null(), required.is_null(), items(&required["nodeSelectorTerms"]).to_vec())
    };
    let is_same = |new: &Value, old: &Value| {
        let known = RENAMED.iter().find(|(before, _)| old["key"] == *before).map_or("", |(_, after)| after);
        let key = text(&new["key"]);
        (key == text(&old["key"]) || key == known)
            && new["operator"] == old["operator"]
            && items(&new["values"]) == items(&old["values"])
    };
    let (new, old) = (terms(new), terms(old));
    let are_same = |new: &Value, old: &Value, list: &str| {
        let (new, old) = (items(&new[list]), items(&old[list]));
        new.len() == old.len() && new.iter().zip(old).all(|(new, old)| is_same(new, old))
    };
    (new.0, new.1, new.2.len()) == (old.0, old.1, old.2.len())
        && new
            .2
            .iter()
            .zip(&old.2)
            .all(|(new, old)| are_same(new, old, "matchExpressions") && are_same(new, old, "matchFields"))
}

/// What is wrong with a volume that stands in an attachment and is no object of its own.
pub(crate) fn validate_inline(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    const CONTEXT: &str = "in the context of inline volumes";
    let refuse = |errors: &mut Errors, field: &str| {
        errors.forbidden(&at.child(field), format!("may not be specified {CONTEXT}"));
    };
    if !spec["claimRef"].is_null() {
        refuse(errors, "claimRef");
    }
    if is_set(&spec["capacity"]) {
        refuse(errors, "capacity");
    }
    if spec["csi"].is_null() {
        errors.required(&at.child("csi"), format!("has to be specified {CONTEXT}"));
    }
    errors.present(&at.child("accessModes"), &spec["accessModes"]);
    validate_modes(&spec["accessModes"], at, errors);
    let policy = &spec["persistentVolumeReclaimPolicy"];
    if is_set(policy) && policy != "Retain" {
        errors.forbidden(&at.child("persistentVolumeReclaimPolicy"), format!("may only be Retain {CONTEXT}"));
    }
    if !spec["nodeAffinity"].is_null() {
        refuse(errors, "nodeAffinity");
    }
    validate_sources(spec, at, errors);
    if is_set(&spec["storageClassName"]) {
        refuse(errors, "storageClassName");
    }
    if !spec["volumeMode"].is_null() && spec["volumeMode"] != "Filesystem" {
        errors
            .forbidden(&at.child("volumeMode"), format!("may not specify volumeMode other than Filesystem {CONTEXT}"));
    }
}

/// The source of storage, of which there must be one. Returns all that are there.
fn validate_sources<'a>(spec: &'a Value, at: &At<'_>, errors: &mut Errors) -> Vec<&'a str> {
    let is_source = |name: &str, value: &Value| !OTHER.contains(&name) && !value.is_null();
    let sources: Vec<&str> =
        entries(spec).filter(|(name, value)| is_source(name, value)).map(|(name, _)| name).collect();
    match sources.as_slice() {
        [] => errors.required(at, "must specify a volume type"),
        [kind] => validate_source(kind, spec, at, errors),
        [_, rest @ ..] => {
            for name in rest {
                errors.forbidden(&at.child(name), "may not specify more than 1 volume type");
            }
        }
    }
    sources
}

/// One source of storage.
fn validate_source(kind: &str, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (source, place) = (&spec[kind], at.child(kind));
    match kind {
        "csi" => validate_csi(source, &place, errors),
        "local" => {
            let (path, at_path) = (text(&source["path"]), place.child("path"));
            if path.is_empty() {
                errors.required(&at_path, "");
            } else if path.split('/').any(|part| part == "..") {
                errors.invalid(&at_path, path, "must not contain '..'");
            }
            if spec["nodeAffinity"]["required"].is_null() {
                errors.required(&at.child("nodeAffinity"), "Local volume requires node affinity");
            }
        }
        _ => validate_volume_kind(kind, source, &place, errors),
    }
}

fn validate_csi(source: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_driver_name(&source["driver"], &at.child("driver"), errors);
    errors.present(&at.child("volumeHandle"), &source["volumeHandle"]);
    for field in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        if !source[field].is_null() {
            let (at, secret) = (at.child(field), &source[field]);
            errors.required_name(&at.child("name"), &secret["name"], validation::is_dns1123_subdomain);
            errors.required_name(&at.child("namespace"), &secret["namespace"], validation::is_dns1123_label);
        }
    }
}

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

    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            let status = json!({"phase": "Pending", "lastPhaseTransitionTime": time::format(context.now)});
            fields.insert("status".to_owned(), status);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let is_status = context.subresource == "status";
        keep_other_half(new, old, is_status);
        if is_status && let Some(status) = json::status(new) {
            set_zero(status, "phase", "Pending");
        }
        let (now, before) = (&new["status"], &old["status"]);
        let is_told = !now[SINCE].is_null() && now[SINCE] != before[SINCE];
        if !is_status || is_told {
            return;
        }
        let since = match text(&now["phase"]) == text(&before["phase"]) {
            true => before[SINCE].clone(),
            false => time::format(context.now).into(),
        };
        if since != now[SINCE] {
            new["status"][SINCE] = since;
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.present(&at.child("accessModes"), &spec["accessModes"]);
        validate_modes(&spec["accessModes"], &at, &mut errors);
        let capacity = at.child("capacity");
        if !is_set(&spec["capacity"]) {
            errors.required(&capacity, "");
        }
        if spec["capacity"]["storage"].is_null() || entries(&spec["capacity"]).count() != 1 {
            errors.not_supported(&capacity, spec["capacity"].clone(), &["storage"]);
        }
        for (name, amount) in entries(&spec["capacity"]) {
            let at = capacity.key(name);
            if basic_amount(amount, &at, &mut errors).is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
                errors.invalid(&at, amount.clone(), "must be greater than zero");
            }
        }
        errors.one_of(
            &at.child("persistentVolumeReclaimPolicy"),
            &spec["persistentVolumeReclaimPolicy"],
            &["Delete", "Recycle", "Retain"],
        );
        if !spec["nodeAffinity"].is_null() {
            let affinity = at.child("nodeAffinity");
            let (required, at) = (&spec["nodeAffinity"]["required"], affinity.child("required"));
            if required.is_null() {
                errors.required(&at, "must specify required node constraints");
            } else {
                validate_node_selector(required, &at, &mut errors);
            }
        }
        let sources = validate_sources(spec, &at, &mut errors);
        let path = text(&spec["hostPath"]["path"]);
        let is_root = path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "." | ".."));
        if is_root && spec["persistentVolumeReclaimPolicy"] == "Recycle" {
            let detail = "may not be 'recycle' for a hostPath mount of '/'";
            errors.forbidden(&at.child("persistentVolumeReclaimPolicy"), detail);
        }
        let class = &spec["storageClassName"];
        errors.obeys_if_set(&at.child("storageClassName"), class, validation::is_dns1123_subdomain);
        errors.one_of_if_present(&at.child("volumeMode"), &spec["volumeMode"], &["Block", "Filesystem"]);
        if let Some(class) = spec[ATTRIBUTES].as_str() {
            if class.is_empty() {
                errors.required(&at.child(ATTRIBUTES), "an empty string is disallowed");
            }
            errors.obeys_if_set(&at.child(ATTRIBUTES), &spec[ATTRIBUTES], validation::is_dns1123_subdomain);
            if spec["csi"].is_null() {
                errors.required(&at.child("csi"), "has to be specified when using volumeAttributesClassName");
            }
        }
        if sources.iter().all(|kind| !WITH_OPTIONS.contains(kind))
            && !object["metadata"]["annotations"][OPTIONS_ANNOTATION].is_null()
        {
            let metadata = At::root("metadata");
            let annotations = metadata.child("annotations");
            errors.forbidden(
                &annotations.child(OPTIONS_ANNOTATION),
                "may not specify mount options for this volume type",
            );
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            return errors.0;
        }
        let (new, old) = (&new["spec"], &old["spec"]);
        // The Secret for growing may be added later.
        const GROWING: &str = "controllerExpandSecretRef";
        let source = |spec: &Value| -> Value {
            let mut source = spec.clone();
            if old["csi"][GROWING].is_null()
                && let Some(driver) = source.get_mut("csi").and_then(Value::as_object_mut)
                && !old["csi"].is_null()
            {
                driver.remove(GROWING);
            }
            source
        };
        if let Some(difference) = shown::difference("PersistentVolumeSource", old, &source(new)) {
            let spec = At::root("spec");
            let detail = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
            errors.forbidden(&spec.child("persistentvolumesource"), detail);
        }
        errors.immutable(&At::root("volumeMode"), &new["volumeMode"], &old["volumeMode"]);
        let field = "nodeAffinity";
        if !old[field].is_null() && !is_same_affinity(&new[field], &old[field]) {
            let detail = format!("{IMMUTABLE}, except for updating from beta label to GA");
            let shown = shown::compact_or_null("VolumeNodeAffinity", &new[field]);
            errors.invalid(&At::root(field), Shown::Text(shown), detail);
        }
        if !old[ATTRIBUTES].is_null() && new[ATTRIBUTES].is_null() {
            let at = At::root("spec");
            errors.forbidden(&at.child(ATTRIBUTES), "update from non-nil value to nil is forbidden");
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let (spec, annotations) = (&object["spec"], &object["metadata"]["annotations"]);
        let mut warnings = Vec::new();
        for (key, message) in [(CLASS_ANNOTATION, CLASS_DEPRECATED), (OPTIONS_ANNOTATION, OPTIONS_DEPRECATED)] {
            if !annotations[key].is_null() {
                warnings.push(format!("metadata.annotations[{key}]: {message}"));
            }
        }
        let at = Path::new("spec");
        if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
            warnings.push(RECYCLE_DEPRECATED.to_owned());
        }
        let list = at.child("nodeAffinity").child("required").child("nodeSelectorTerms");
        for (index, term) in items(&spec["nodeAffinity"]["required"]["nodeSelectorTerms"]).iter().enumerate() {
            warnings.extend(node_term_warnings(term, &list.index(index)));
        }
        for (kind, message) in DEPRECATED_VOLUMES.iter().filter(|(kind, _)| !spec[*kind].is_null()) {
            if !matches!(*kind, "flocker" | "quobyte") {
                let shown = if *kind == "storageos" { "storageOS" } else { kind };
                warnings.push(format!("{}: {message}", at.child(shown)));
            }
        }
        warnings
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

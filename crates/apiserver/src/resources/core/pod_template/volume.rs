//! Validation of a pod's volumes.

use std::collections::{HashMap, HashSet};

use portolan_api::quantity::Quantity;
use portolan_api::validation;
use serde_json::Value;

use super::container::{validate_field_ref, validate_local_path, validate_no_step_up, validate_resource_ref};
use super::volume_source::validate_outside;
use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, items, text};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// Bounds of the lifetime of a projected token.
const TOKEN_SECONDS: (i64, i64) = (10 * 60, 1 << 32);

/// Volumes by their names.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Value>;

/// Returns the volumes with which nothing is wrong: containers cannot mount others.
pub(super) fn validate_volumes<'a>(spec: &'a Value, at: &At<'_>, errors: &mut Errors) -> Volumes<'a> {
    let list = at.child("volumes");
    let mut valid = Volumes::new();
    for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
        let at = list.index(index);
        let name = text(&volume["name"]);
        let before = errors.0.len();
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        } else {
            errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
            if valid.contains_key(name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
        validate_source(volume, &at, errors);
        if errors.0.len() == before {
            valid.insert(name, volume);
        }
    }
    valid
}

fn validate_source(volume: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut found = 0;
    for (kind, source) in entries(volume).filter(|(field, value)| *field != "name" && !value.is_null()) {
        let at = at.child(kind);
        found += 1;
        if found > 1 {
            errors.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        validate_kind(kind, source, &at, errors);
    }
    if found == 0 {
        errors.required(at, "must specify a volume type");
    }
}

/// One source of a volume; `kind` is its field.
pub(crate) fn validate_kind(kind: &str, source: &Value, at: &At<'_>, errors: &mut Errors) {
    match kind {
        "emptyDir" => {
            let (limit, at) = (&source["sizeLimit"], at.child("sizeLimit"));
            if Quantity::parse(text(limit)).is_ok_and(|limit| limit.is_negative()) {
                errors.forbidden(&at, "SizeLimit field must be a valid resource quantity");
            } else if !limit.is_null() {
                errors.quantity(&at, limit);
            }
        }
        "hostPath" => {
            errors.present(&at.child("path"), &source["path"]);
            validate_no_step_up(text(&source["path"]), &at.child("path"), errors);
            errors.one_of(&at.child("type"), &source["type"], &HOST_PATH_TYPES);
        }
        "secret" => validate_files(source, "secretName", at, errors),
        "configMap" => validate_files(source, "name", at, errors),
        "persistentVolumeClaim" => errors.present(&at.child("claimName"), &source["claimName"]),
        "nfs" => {
            errors.present(&at.child("server"), &source["server"]);
            errors.present(&at.child("path"), &source["path"]);
            if !text(&source["path"]).starts_with('/') {
                errors.invalid(&at.child("path"), text(&source["path"]), "must be an absolute path");
            }
        }
        "downwardAPI" => {
            validate_mode(source, "defaultMode", at, errors);
            validate_downward_files(source, at, errors);
        }
        "projected" => validate_projected(source, at, errors),
        kind => validate_outside(kind, source, at, errors),
    }
}

fn validate_mode(source: &Value, field: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(mode) = source[field].as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(&at.child(field), mode, FILE_MODE);
    }
}

/// Files from the keys of a ConfigMap or Secret.
fn validate_files(source: &Value, name_field: &str, at: &At<'_>, errors: &mut Errors) {
    errors.present(&at.child(name_field), &source[name_field]);
    validate_mode(source, "defaultMode", at, errors);
    let list = at.child("items");
    for (index, item) in items(&source["items"]).iter().enumerate() {
        let at = list.index(index);
        errors.present(&at.child("key"), &item["key"]);
        validate_file_path(&item["path"], &at, errors);
        validate_mode(item, "mode", &at, errors);
    }
}

fn validate_file_path(path: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("path");
    errors.present(&at, path);
    let path = text(path);
    validate_local_path(path, &at, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(&at, path, "must not start with '..'");
    }
}

fn validate_downward_files(source: &Value, at: &At<'_>, errors: &mut Errors) {
    // Upstream does not say which item it is.
    for item in items(&source["items"]) {
        validate_file_path(&item["path"], at, errors);
        match (item["fieldRef"].is_null(), item["resourceFieldRef"].is_null()) {
            (false, false) => {
                errors.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
            (false, true) => validate_field_ref(&item["fieldRef"], &FILE_FIELDS, &at.child("fieldRef"), errors),
            (true, false) => {
                let reference = &item["resourceFieldRef"];
                let at = at.child("resourceFieldRef");
                errors.present(&at.child("containerName"), &reference["containerName"]);
                validate_resource_ref(reference, &at, errors);
            }
            (true, true) => errors.required(at, "one of fieldRef and resourceFieldRef is required"),
        }
        validate_mode(item, "mode", at, errors);
    }
}

fn validate_projected(source: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_mode(source, "defaultMode", at, errors);
    let (list, volume) = (at.child("sources"), at);
    let mut paths = HashSet::new();
    for (index, projection) in items(&source["sources"]).iter().enumerate() {
        let at = list.index(index);
        let mut found = 0;
        for (kind, part) in entries(projection).filter(|(_, part)| !part.is_null()) {
            let at = at.child(kind);
            found += 1;
            if found > 1 {
                errors.forbidden(&at, "may not specify more than 1 volume type per source");
                continue;
            }
            match kind {
                "secret" | "configMap" => validate_files(part, "name", &at, errors),
                "downwardAPI" => validate_downward_files(part, &at, errors),
                "serviceAccountToken" => validate_token(part, volume, &at, errors),
                _ => {}
            }
            // A token may lie over any other file.
            for file in items(&part["items"]).iter().filter(|file| is_set(&file["path"])) {
                let path = text(&file["path"]);
                if !paths.insert(path) {
                    let shown = if kind == "downwardAPI" { path } else { text(&part["name"]) };
                    errors.invalid(volume, shown, "conflicting duplicate paths");
                }
            }
        }
    }
}

fn validate_token(token: &Value, volume: &At<'_>, at: &At<'_>, errors: &mut Errors) {
    let seconds = &token["expirationSeconds"];
    let (low, high) = TOKEN_SECONDS;
    if seconds.as_i64().is_some_and(|seconds| seconds < low) {
        errors.invalid(
            &at.child("expirationSeconds"),
            seconds.clone(),
            "may not specify a duration less than 10 minutes",
        );
    } else if seconds.as_i64().is_some_and(|seconds| seconds > high) {
        errors.invalid(
            &at.child("expirationSeconds"),
            seconds.clone(),
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    // Upstream does not say which source it is.
    validate_file_path(&token["path"], volume, errors);
}

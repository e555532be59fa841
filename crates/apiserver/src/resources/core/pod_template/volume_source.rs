//! Validation of volumes that something outside of the pod keeps: networks, disks, drivers, images.
//!
//! Source: `validateVolumeSource` of `kubernetes/pkg/apis/core/validation`.

use portolan_api::validation;
use serde_json::Value;

use super::container::validate_local_path;
use crate::resources::at::{At, Errors};
use crate::resources::core::persistent_volume_claim;
use crate::resources::json::{is_set, items, text};

/// Longest name of a driver.
pub(crate) const DRIVER_LENGTH: usize = 63;
const ONE_BYTE: (i64, i64) = (0, 255);
const INITIATORS: [&str; 3] = ["iqn", "eui", "naa"];

/// Fields that kinds of volumes must have, in upstream's order.
const REQUIRED: [(&str, &[&str]); 12] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("rbd", &["monitors", "image"]),
    ("vsphereVolume", &["volumePath"]),
];

/// One source of a volume; `kind` is its field.
pub(super) fn validate_outside(kind: &str, source: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in REQUIRED.iter().filter(|(name, _)| *name == kind).flat_map(|(_, fields)| *fields) {
        errors.present(&at.child(field), &source[*field]);
    }
    match kind {
        "iscsi" => validate_iscsi(source, at, errors),
        "fc" => validate_fibre_channel(source, at, errors),
        "csi" => validate_driver(source, at, errors),
        "ephemeral" => validate_ephemeral(source, at, errors),
        "gitRepo" => validate_local_path(text(&source["directory"]), &at.child("directory"), errors),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            errors.within(&at.child("partition"), &source["partition"], ONE_BYTE.0, ONE_BYTE.1);
        }
        "image" => {
            errors.one_of(&at.child("pullPolicy"), &source["pullPolicy"], &["Always", "IfNotPresent", "Never"]);
        }
        "flocker" => validate_flocker(source, at, errors),
        _ => {}
    }
}

fn validate_iscsi(source: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.present(&at.child("targetPortal"), &source["targetPortal"]);
    let name = text(&source["iqn"]);
    if name.is_empty() {
        errors.required(&at.child("iqn"), "");
    } else {
        validate_initiator(name, &at.child("iqn"), errors);
    }
    errors.within(&at.child("lun"), &source["lun"], ONE_BYTE.0, ONE_BYTE.1);
    let authenticates = source["chapAuthDiscovery"] == true || source["chapAuthSession"] == true;
    if authenticates && source["secretRef"].is_null() {
        errors.required(&at.child("secretRef"), "");
    }
    if let Some(name) = source["initiatorName"].as_str() {
        validate_initiator(name, &at.child("initiatorname"), errors);
    }
}

/// A name of RFC 3720: by date and domain, by EUI-64 or by NAA.
fn validate_initiator(name: &str, at: &At<'_>, errors: &mut Errors) {
    let is_hex = |rest: &str, length| rest.len() == length && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_valid = match INITIATORS.iter().find(|kind| name.starts_with(**kind)) {
        None => {
            errors.invalid(at, name, "must be valid format starting with iqn, eui, or naa");
            return;
        }
        Some(&"iqn") => is_qualified_initiator(name),
        Some(&"eui") => name.get(4..).is_some_and(|rest| is_hex(rest, 16)),
        Some(_) => name.get(4..).is_some_and(|rest| is_hex(rest, 32)),
    };
    if !is_valid {
        errors.invalid(at, name, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage.disk1`
fn is_qualified_initiator(name: &str) -> bool {
    let Some((date, rest)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_once('.')) else { return false };
    let (authority, unit) = match rest.split_once(':') {
        Some((authority, unit)) => (authority, Some(unit)),
        None => (rest, None),
    };
    let bytes = date.as_bytes();
    let is_date = bytes.len() == 7
        && bytes[4] == b'-'
        && bytes.iter().enumerate().all(|(index, byte)| index == 4 || byte.is_ascii_digit());
    let is_domain =
        !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    let is_unit = |unit: &str| {
        !unit.is_empty() && !unit.contains(|letter: char| letter.is_whitespace() || ",;*&$|".contains(letter))
    };
    is_date && is_domain && unit.is_some_and(is_unit)
}

fn validate_fibre_channel(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (names, ids) = (is_set(&source["targetWWNs"]), is_set(&source["wwids"]));
    let at_names = at.child("targetWWNs");
    if !names && !ids {
        errors.required(&at_names, "must specify either targetWWNs or wwids, but not both");
    }
    if names && ids {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.invalid(&at_names, source["targetWWNs"].clone(), detail);
    }
    if names && source["lun"].is_null() {
        errors.required(&at.child("lun"), "lun is required if targetWWNs is specified");
    } else if names {
        errors.within(&at.child("lun"), &source["lun"], ONE_BYTE.0, ONE_BYTE.1);
    }
}

fn validate_driver(source: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_driver_name(&source["driver"], &at.child("driver"), errors);
    if !source["nodePublishSecretRef"].is_null() {
        let secret = at.child("nodePublishSecretRef");
        let name = &source["nodePublishSecretRef"]["name"];
        errors.required_name(&secret.child("name"), name, validation::is_dns1123_subdomain);
    }
}

/// The name of a storage driver.
pub(crate) fn validate_driver_name(name: &Value, at: &At<'_>, errors: &mut Errors) {
    let name = text(name);
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    if name.len() > DRIVER_LENGTH {
        errors.too_long(at, DRIVER_LENGTH);
    }
    for problem in validation::is_dns1123_subdomain(&name.to_lowercase()) {
        errors.invalid(at, name, problem);
    }
}

fn validate_ephemeral(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (template, at) = (&source["volumeClaimTemplate"], at.child("volumeClaimTemplate"));
    if template.is_null() {
        errors.required(&at, "");
        return;
    }
    errors.template_metadata(&at.child("metadata"), &template["metadata"]);
    persistent_volume_claim::validate_spec(&template["spec"], &at.child("spec"), errors);
}

fn validate_flocker(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (name, id) = (text(&source["datasetName"]), text(&source["datasetUUID"]));
    if name.is_empty() && id.is_empty() {
        errors.required(at, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !id.is_empty() {
        errors.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        errors.invalid(&at.child("datasetName"), name, "must not contain '/'");
    }
}

/// Names of the claims that the containers of a pod may use.
pub(super) fn claims_of(spec: &Value) -> Vec<&str> {
    items(&spec["resourceClaims"]).iter().map(|claim| text(&claim["name"])).filter(|name| !name.is_empty()).collect()
}

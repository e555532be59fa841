//! What may be said of a pod that runs.
//!
//! Source: `ValidatePodStatusUpdate` of `kubernetes/pkg/apis/core/validation`.

use std::collections::HashSet;

use portolan_api::field::{self, Shown};
use portolan_api::validation;
use serde_json::{Map, Value};

use super::pod_template::{may_restart_all, restarts};
use crate::resources::addresses::parse_sloppy;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, set_zero, text, texts};

/// Conditions that the system sets, whose types are no qualified names.
const OF_SYSTEM: [&str; 3] = ["Initialized", "PodScheduled", "Ready"];
const NOT_NEGATIVE: &str = "must be a non-negative integer";
const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
const MESSAGE_LENGTH: usize = 1024;
const NO_REQUEST: &str = "must match one of the container's resource requests";
const NO_CLAIM: &str = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";

/// The older field for one address and the list of them say the same; if they do not, the older one is believed.
pub(super) fn default_addresses(status: &mut Map<String, Value>) {
    let address = status.get("podIP").map(text).unwrap_or_default().to_owned();
    let first = status.get("podIPs").map(|list| text(&list[0]["ip"])).unwrap_or_default().to_owned();
    if !address.is_empty() && address != first {
        status.insert("podIPs".to_owned(), serde_json::json!([{ "ip": address }]));
    } else if address.is_empty() && !first.is_empty() {
        status.insert("podIP".to_owned(), first.into());
    }
}

/// What a report leaves out and the pod keeps: its class, and which generations were seen.
pub(super) fn keep_what_was_known(new: &mut Value, old: &Value) {
    let old = &old["status"];
    if !new["status"].is_object() {
        new["status"] = Map::new().into();
    }
    let Some(status) = new["status"].as_object_mut() else { return };
    for field in ["qosClass", "observedGeneration"] {
        if !old[field].is_null() {
            set_zero(status, field, old[field].clone());
        }
    }
    let mut known: Vec<&Value> = items(&old["conditions"]).iter().collect();
    for condition in crate::resources::json::objects(status, "conditions") {
        let is_same = |other: &&Value| Some(&other["type"]) == condition.get("type");
        let Some(before) = known.iter().position(is_same).map(|place| known.remove(place)) else { continue };
        if !before["observedGeneration"].is_null() {
            set_zero(condition, "observedGeneration", before["observedGeneration"].clone());
        }
    }
}

/// What is wrong with a report.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    let (at, spec, before, status) = (At::root("status"), &old["spec"], &old["status"], &new["status"]);
    validate_conditions(&status["conditions"], &at.child("conditions"), &mut errors);
    validate_nomination(status, old, &at.child("nominatedNodeName"), &mut errors);
    not_negative(&status["observedGeneration"], &at.child("observedGeneration"), &mut errors);
    errors.immutable_text(&at.child("qosClass"), &status["qosClass"], &before["qosClass"]);
    for (field, list) in [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", "ephemeralContainers"),
    ] {
        let at = at.child(field);
        validate_endings(&status[field], &before[field], spec, list, &at, &mut errors);
        for (index, container) in items(&status[field]).iter().enumerate() {
            let at = at.index(index);
            validate_user(container, spec, &at, &mut errors);
            validate_devices(container, spec, list, &at, &mut errors);
        }
    }
    validate_claims(status, spec, &at.child("resourceClaimStatuses"), &mut errors);
    let hosts = items(&status["hostIPs"]);
    let first = hosts.first().map(|host| text(&host["ip"]));
    if let Some(first) = first.filter(|first| *first != text(&status["hostIP"])) {
        let list = at.child("hostIPs");
        errors.invalid(&list.index(0).child("ip"), first, "must be equal to `hostIP`");
    }
    for field in ["podIPs", "hostIPs"] {
        validate_addresses(items(&status[field]), items(&before[field]), &at.child(field), &mut errors);
    }
    errors.0
}

fn not_negative(value: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(number) = value.as_i64().filter(|number| *number < 0) {
        errors.invalid(at, number, NOT_NEGATIVE);
    }
}

fn validate_conditions(conditions: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, condition) in items(conditions).iter().enumerate() {
        let at = at.index(index);
        not_negative(&condition["observedGeneration"], &at.child("observedGeneration"), errors);
        let name = text(&condition["type"]);
        if !OF_SYSTEM.contains(&name) {
            // Upstream writes the field like that.
            errors.obeys(&at.child("Type"), name, validation::is_qualified_name);
        }
    }
}

fn validate_nomination(status: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let node = text(&status["nominatedNodeName"]);
    if node.is_empty() || node == text(&old["status"]["nominatedNodeName"]) {
        return;
    }
    errors.obeys(at, node, validation::is_dns1123_subdomain);
    if !text(&old["spec"]["nodeName"]).is_empty() {
        errors.forbidden(at, "may not be set on pods that are already bound to a node");
    }
}

/// A container that has ended only runs again if the pod wants that.
fn validate_endings(new: &Value, old: &Value, spec: &Value, list: &str, at: &At<'_>, errors: &mut Errors) {
    if list != "ephemeralContainers" && may_restart_all(spec) {
        return;
    }
    for (index, old) in items(old).iter().enumerate() {
        let ended = &old["state"]["terminated"];
        let new = items(new).iter().find(|new| new["name"] == old["name"]);
        if ended.is_null() || new.is_none_or(|new| !new["state"]["terminated"].is_null()) {
            continue;
        }
        let container = items(&spec[list]).iter().find(|container| container["name"] == old["name"]);
        let code = ended["exitCode"].as_i64().unwrap_or_default();
        let restarts = container.is_some_and(|container| restarts(container, spec, code));
        if list == "ephemeralContainers" || !restarts {
            let detail = "may not be transitioned to non-terminated state";
            errors.forbidden(&at.index(index).child("state"), detail);
        }
    }
}

fn validate_user(container: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let user = &container["user"]["linux"];
    if user.is_null() {
        return;
    }
    let at = at.child("user");
    let at = at.child("linux");
    if spec["os"]["name"] == "windows" {
        errors.forbidden(&at, "cannot be set for a windows pod");
        return;
    }
    let most = i64::from(i32::MAX);
    for field in ["uid", "gid"] {
        errors.within(&at.child(field), &user[field], 0, most);
    }
    let groups = at.child("supplementalGroups");
    for (index, group) in items(&user["supplementalGroups"]).iter().enumerate() {
        errors.within(&groups.index(index), group, 0, most);
    }
}

/// How the devices of a container are: of those that it asks for.
fn validate_devices(container: &Value, spec: &Value, list: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("allocatedResourcesStatus");
    let all = items(&container["allocatedResourcesStatus"]);
    if list == "ephemeralContainers" {
        if !all.is_empty() {
            errors.forbidden(&at, "must not be specified in container status");
        }
        return;
    }
    let asking = items(&spec[list]).iter().find(|asking| asking["name"] == container["name"]);
    for (index, allocated) in all.iter().enumerate() {
        let at = at.index(index);
        let name = text(&allocated["name"]);
        if let Some(resources) = asking.map(|container| &container["resources"]) {
            let is_claimed = |claim: &Value| match text(&claim["request"]) {
                "" => name == format!("claim:{}", text(&claim["name"])),
                request => name == format!("claim:{}/{request}", text(&claim["name"])),
            };
            let (found, detail) = if name.starts_with("claim:") {
                (items(&resources["claims"]).iter().any(is_claimed), NO_CLAIM)
            } else {
                (!resources["requests"][name].is_null(), NO_REQUEST)
            };
            if !found {
                errors.invalid(&at.child("name"), name, detail);
            }
        }
        let devices = at.child("resources");
        let mut ids = HashSet::new();
        for (index, device) in items(&allocated["resources"]).iter().enumerate() {
            let at = devices.index(index);
            // A health that nobody told counts as any other that is not known.
            let health = text(&device["health"]);
            if !HEALTH.contains(&health) {
                errors.not_supported(&at.child("health"), health, &HEALTH);
            }
            match device["message"].as_str() {
                Some("") => errors.required(&at.child("message"), "must be non-empty if specified"),
                Some(message) if message.len() > MESSAGE_LENGTH => {
                    errors.too_long(&at.child("message"), MESSAGE_LENGTH)
                }
                _ => {}
            }
            let id = text(&device["resourceID"]);
            if !ids.insert(id) {
                errors.duplicate(&at.child("resourceID"), id);
            }
        }
    }
}

fn validate_claims(status: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (known, mut names) = (texts(items(&spec["resourceClaims"]), "name"), HashSet::new());
    for (index, claim) in items(&status["resourceClaimStatuses"]).iter().enumerate() {
        let (at, name) = (at.index(index), text(&claim["name"]));
        if !known.contains(name) {
            errors.invalid(&at.child("name"), name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !names.insert(name) {
            errors.duplicate(&at.child("name"), name);
        }
        if let Some(name) = claim["resourceClaimName"].as_str() {
            errors.obeys(&at.child("resourceClaimName"), name, validation::is_dns1123_subdomain);
        }
    }
}

/// At most one address of each family; odd ones that were there may stay.
fn validate_addresses(new: &[Value], old: &[Value], at: &At<'_>, errors: &mut Errors) {
    for (index, address) in new.iter().enumerate() {
        let address = text(&address["ip"]);
        if !old.iter().any(|known| text(&known["ip"]) == address) {
            errors.ip(&at.index(index), address);
        }
    }
    if new.len() < 2 {
        return;
    }
    let families = || new.iter().map(|address| parse_sloppy(text(&address["ip"])));
    if let Some(index) = families().position(|address| address.is_none()) {
        let why = format!("failed to check for dual stack with error:invalid IP[{index}]: {}", text(&new[index]["ip"]));
        errors.0.push(field::Error::internal(&at.path(), why));
    }
    let has = |is_first: bool| families().flatten().any(|address| address.is_ipv4() == is_first);
    let is_valid = families().all(|address| address.is_some());
    if !(is_valid && has(true) && has(false)) || new.len() > 2 {
        let shown: Vec<String> =
            new.iter().map(|address| format!("{{\"IP\":{}}}", Value::from(text(&address["ip"])))).collect();
        let detail = "may specify no more than one IP for each IP family";
        errors.invalid(at, Shown::Text(format!("[{}]", shown.join(","))), detail);
    }
}

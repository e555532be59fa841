//! Nodes.

use std::collections::HashSet;

use portolan_api::field::Shown;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::pod_template::EFFECTS;
use super::resource_name::is_counted;
use crate::resources::addresses::cidr_warning;
use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, entries, is_set, items, same, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of nodes.
pub(crate) struct Node;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status").about("The status of the node"),
    Column::string("Roles").about("The roles of the node"),
    AGE,
    Column::string("Version").of("core.NodeSystemInfo", "kubeletVersion"),
    Column::string("Internal-IP").of("core.NodeStatus", "addresses").wide(),
    Column::string("External-IP").of("core.NodeStatus", "addresses").wide(),
    Column::string("OS-Image").of("core.NodeSystemInfo", "osImage").wide(),
    Column::string("Kernel-Version").of("core.NodeSystemInfo", "kernelVersion").wide(),
    Column::string("Container-Runtime").of("core.NodeSystemInfo", "containerRuntimeVersion").wide(),
];

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        // The older field is the first of the newer one, whichever of the two was written.
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            if let Some(range) = spec.get("podCIDR").filter(|range| is_set(range)).cloned() {
                if spec.get("podCIDRs").and_then(|ranges| items(ranges).first()) != Some(&range) {
                    spec.insert("podCIDRs".to_owned(), json!([range]));
                }
            } else if let Some(range) = spec.get("podCIDRs").and_then(|ranges| items(ranges).first()).cloned() {
                spec.insert("podCIDR".to_owned(), range);
            }
        }
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            canonical_quantities(status, "capacity");
            canonical_quantities(status, "allocatable");
            // All that there is may be given away unless somebody says otherwise.
            let capacity = status.get("capacity").filter(|capacity| capacity.is_object()).cloned();
            if let (true, Some(capacity)) = (status.get("allocatable").is_none_or(Value::is_null), capacity) {
                status.insert("allocatable".to_owned(), capacity);
            }
        }
    }

    fn prepare_for_create(&self, _object: &mut Value, _context: &Context) {
        // A node registers itself with its status.
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let is_status = context.subresource == "status";
        keep_other_half(new, old, is_status);
        // Nobody configures nodes that way any more.
        if is_status
            && old["status"]["config"].is_null()
            && let Some(status) = new.get_mut("status").and_then(Value::as_object_mut)
        {
            status.remove("config");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        // Upstream's path.
        let metadata = At::root("metadata");
        let list = metadata.child("taints");
        let mut taints = HashSet::new();
        for (index, taint) in items(&spec["taints"]).iter().enumerate() {
            let at = list.index(index);
            errors.obeys(&at.child("key"), text(&taint["key"]), validation::is_qualified_name);
            errors.obeys(&at.child("value"), text(&taint["value"]), validation::is_valid_label_value);
            errors.required_one_of_as_listed(&at.child("effect"), &taint["effect"], &EFFECTS);
            if !taints.insert((text(&taint["key"]), text(&taint["effect"]))) {
                let part = |name: &str| Value::from(text(&taint[name]));
                let shown = format!(
                    r#"{{"Key":{},"Value":{},"Effect":{},"TimeAdded":{}}}"#,
                    part("key"),
                    part("value"),
                    part("effect"),
                    taint["timeAdded"]
                );
                let detail = "taints must be unique by key and effect pair".to_owned();
                errors.0.push(field::Error { detail, ..field::Error::duplicate(&at.path(), Shown::Text(shown)) });
            }
        }
        let list = at.child("podCIDRs");
        let ranges = items(&spec["podCIDRs"]);
        for (index, range) in ranges.iter().enumerate() {
            errors.cidr(&list.index(index), text(range));
        }
        let is_v6 = |range: &Value| text(range).contains(':');
        let are_of_both = ranges.iter().any(is_v6) && !ranges.iter().all(is_v6);
        if ranges.len() > 2 || ranges.len() == 2 && !are_of_both {
            let detail = "may specify no more than one CIDR for each IP family";
            errors.invalid(&list, spec["podCIDRs"].clone(), detail);
        }
        let status = At::root("status");
        for list in ["capacity", "allocatable"] {
            let at = status.child(list);
            for (name, amount) in entries(&object["status"][list]) {
                let at = at.child(name);
                let read = errors.quantity(&at, amount);
                if is_counted(name) && read.is_some_and(|amount| !amount.is_whole()) {
                    errors.invalid(&at, amount.clone(), "must be an integer");
                }
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        let (status, addresses) = (At::root("status"), items(&new["status"]["addresses"]));
        let list = status.child("addresses");
        let mut seen = HashSet::new();
        for (index, address) in addresses.iter().enumerate() {
            if !seen.insert((text(&address["type"]), text(&address["address"]))) {
                let part = |name: &str| Value::from(text(&address[name]));
                let shown = format!(r#"{{"Type":{},"Address":{}}}"#, part("type"), part("address"));
                errors.duplicate(&list.index(index), Shown::Text(shown));
            }
        }
        let (new, old) = (&new["spec"], &old["spec"]);
        for (field, detail) in [
            ("podCIDRs", "node updates may not change podCIDR except from \"\" to valid"),
            ("providerID", "node updates may not change providerID except from \"\" to valid"),
        ] {
            if is_set(&old[field]) && !same(&new[field], &old[field]) {
                errors.forbidden(&at.child(field), detail);
            }
        }
        if text(&new["externalID"]) != text(&old["externalID"]) {
            errors.forbidden(&at.child("externalID"), "may not be updated");
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let (spec, mut warnings) = (&object["spec"], Vec::new());
        if !spec["configSource"].is_null() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if is_set(&spec["externalID"]) {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        for (index, range) in items(&spec["podCIDRs"]).iter().enumerate() {
            warnings.extend(cidr_warning(&format!("spec.podCIDRs[{index}]"), text(range)));
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let info = &object["status"]["nodeInfo"];
        let or = |value: &Value, otherwise: &'static str| match text(value) {
            "" => Value::from(otherwise),
            found => Value::from(found),
        };
        vec![
            print::name(object),
            status(object).into(),
            roles(object).into(),
            print::age(object, now),
            info["kubeletVersion"].as_str().unwrap_or_default().into(),
            address(object, "InternalIP").into(),
            address(object, "ExternalIP").into(),
            or(&info["osImage"], print::UNKNOWN),
            or(&info["kernelVersion"], print::UNKNOWN),
            or(&info["containerRuntimeVersion"], print::UNKNOWN),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        (name == "spec.unschedulable").then(|| (object["spec"]["unschedulable"] == true).to_string())
    }
}

fn status(node: &Value) -> String {
    let ready = items(&node["status"]["conditions"]).iter().find(|condition| text(&condition["type"]) == "Ready");
    let mut words = vec![match ready.map(|condition| text(&condition["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if node["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = entries(&node["metadata"]["labels"])
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == ROLE_LABEL => Some(text(value)),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { print::NONE.to_owned() } else { roles.join(",") }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    items(&node["status"]["addresses"])
        .iter()
        .find(|address| text(&address["type"]) == kind)
        .map_or(print::NONE, |address| text(&address["address"]))
}

//! Resources of a pod as a whole (KEP-2837).
//!
//! Source: `defaultPodRequests` and `validatePodResources` of Kubernetes.

use portolan_api::quantity::Quantity;
use portolan_api::quota::{self, Amounts};
use serde_json::{Map, Value, json};

use super::resources::{parse, shown, validate_amounts};
use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, items, object, object_or_new, text};

const SUPPORTED: [&str; 3] = ["cpu", "hugepages-", "memory"];

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// A pod that has limits as a whole requests what its containers do together, else as much as the limit.
pub(crate) fn default_pod_level_requests(spec: &mut Map<String, Value>) {
    if !spec.get("resources").is_some_and(|resources| is_set(&resources["limits"])) {
        return;
    }
    let together = of_containers(spec.get("containers"), spec.get("initContainers"), quota::pod_requests);
    let Some(resources) = object(spec, "resources") else { return };
    let limits = resources.get("limits").cloned().unwrap_or_default();
    let Some(requests) = object_or_new(resources, "requests") else { return };
    for (name, amount) in together.iter().filter(|(name, _)| quota::is_pod_level(name) && !is_huge_page(name)) {
        requests.entry(name).or_insert_with(|| amount.to_string().into());
    }
    for (name, limit) in entries(&limits).filter(|(name, _)| quota::is_pod_level(name)) {
        requests.entry(name).or_insert_with(|| limit.clone());
    }
}

/// What all containers have together, without what the pod says as a whole.
fn of_containers(containers: Option<&Value>, init: Option<&Value>, total: fn(&Value) -> Amounts) -> Amounts {
    total(&json!({"spec": {"containers": containers, "initContainers": init}}))
}

/// What the whole says of itself, and that the containers fit into it.
pub(super) fn validate_pod_level(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (resources, at) = (&spec["resources"], at.child("resources"));
    if !resources.is_object() {
        return;
    }
    if text(&spec["os"]["name"]) == "windows" {
        errors.forbidden(&at, "may not be set for a windows pod");
        return;
    }
    if is_set(&resources["claims"]) {
        errors.forbidden(&at.child("claims"), "claims may not be set for Resources at pod-level");
    }
    validate_amounts(resources, &at, errors, |name, at, errors| {
        if !quota::is_pod_level(name) {
            errors.not_supported(at, name, &SUPPORTED);
        }
    });
    let amount = |list: &str, name: &str| parse(&resources[list][name]);
    let together = |total| of_containers(spec.get("containers"), spec.get("initContainers"), total);
    let mut covers = |list: &str, name: &str, needed: Quantity| {
        if amount(list, name).is_some_and(|whole| whole < needed) {
            let why = format!("must be greater than or equal to aggregate container {list} of {needed}");
            errors.invalid(&at.child(list).key(name), shown(&resources[list][name]), why);
        }
    };
    together(quota::pod_requests).iter().for_each(|(name, needed)| covers("requests", name, needed));
    let limits = together(quota::pod_limits);
    limits.iter().filter(|(name, _)| is_huge_page(name)).for_each(|(name, needed)| covers("limits", name, needed));
    let at = at.child("containers");
    for (index, container) in items(&spec["containers"]).iter().enumerate() {
        let at = at.index(index);
        for (name, limit) in entries(&container["resources"]["limits"]) {
            let Some((limited, whole)) = parse(limit).zip(amount("limits", name)) else { continue };
            if limited > whole {
                let why = format!("must be less than or equal to pod limits of {}", shown(&resources["limits"][name]));
                errors.invalid(&at.key(name).child("limits"), shown(limit), why);
            }
        }
    }
}

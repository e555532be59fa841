//! Which objects a quota speaks of.

use serde_json::{Value, json};

use super::pod::class;

/// Whether an object is in all scopes of a quota's `spec`.
pub(super) fn matches(spec: &Value, group: &str, resource: &str, object: &Value) -> bool {
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let plain = plain.map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    let chosen = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().cloned();
    plain.chain(chosen).all(|expression| match (group, resource) {
        ("", "pods") => pod_matches(&expression, object),
        ("", "persistentvolumeclaims") => claim_matches(&expression, object),
        _ => false,
    })
}

fn pod_matches(expression: &Value, pod: &Value) -> bool {
    let spec = &pod["spec"];
    match expression["scopeName"].as_str().unwrap_or_default() {
        "Terminating" => is_terminating(spec),
        "NotTerminating" => !is_terminating(spec),
        "BestEffort" => class(pod) == "BestEffort",
        "NotBestEffort" => class(pod) != "BestEffort",
        "PriorityClass" => selects(expression, spec["priorityClassName"].as_str().unwrap_or_default()),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec),
        _ => false,
    }
}

fn is_terminating(spec: &Value) -> bool {
    spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

fn crosses_namespaces(spec: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &spec["affinity"][*kind];
        let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"].as_array().into_iter().flatten();
        let preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array().into_iter().flatten();
        let mut terms = required.chain(preferred.map(|term| &term["podAffinityTerm"]));
        terms.any(|term| {
            term["namespaces"].as_array().is_some_and(|list| !list.is_empty()) || term["namespaceSelector"].is_object()
        })
    })
}

fn claim_matches(expression: &Value, claim: &Value) -> bool {
    if expression["scopeName"] != "VolumeAttributesClass" {
        return false;
    }
    let names = [
        &claim["spec"]["volumeAttributesClassName"],
        &claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
        &claim["status"]["currentVolumeAttributesClassName"],
    ];
    names.iter().any(|name| selects(expression, name.as_str().unwrap_or_default()))
}

/// Whether a name is what an expression wants; no name is the empty one.
fn selects(expression: &Value, name: &str) -> bool {
    let listed = || expression["values"].as_array().is_some_and(|values| values.iter().any(|value| value == name));
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => !name.is_empty() && listed(),
        "NotIn" => name.is_empty() || !listed(),
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

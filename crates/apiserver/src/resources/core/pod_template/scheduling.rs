//! Validation of where a pod may run: tolerations, affinity, topology spread.

use portolan_api::validation;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

/// What a taint does to pods that do not tolerate it, in upstream's order.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// Upstream has two texts for a number that must be positive; the other one is that of `checks`.
const NOT_POSITIVE: &str = "must be greater than zero";
const NODE_OPERATORS: [&str; 6] = ["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"];

pub(super) fn validate_scheduling(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.labels(&at.child("nodeSelector"), &spec["nodeSelector"]);
    validate_tolerations(items(&spec["tolerations"]), &at.child("tolerations"), errors);
    validate_affinity(&spec["affinity"], &at.child("affinity"), errors);
    let constraints = at.child("topologySpreadConstraints");
    let list = items(&spec["topologySpreadConstraints"]);
    for (index, constraint) in list.iter().enumerate() {
        let at = constraints.index(index);
        validate_spread(constraint, &at, errors);
        let id = |constraint: &Value| {
            format!("{{{}, {}}}", text(&constraint["topologyKey"]), text(&constraint["whenUnsatisfiable"]))
        };
        if list[index + 1..].iter().any(|later| id(later) == id(constraint)) {
            errors.duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), id(constraint));
        }
    }
}

/// Which taints of nodes are tolerated.
pub(crate) fn validate_tolerations(tolerations: &[Value], at: &At<'_>, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        validate_toleration(toleration, &at.index(index), errors);
    }
}

fn validate_toleration(toleration: &Value, at: &At<'_>, errors: &mut Errors) {
    let key = text(&toleration["key"]);
    let operator = text(&toleration["operator"]);
    if !key.is_empty() {
        errors.obeys(&at.child("key"), key, validation::is_qualified_name);
    } else if operator != "Exists" {
        errors.invalid(
            &at.child("operator"),
            operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if !toleration["tolerationSeconds"].is_null() && text(&toleration["effect"]) != "NoExecute" {
        errors.invalid(
            &at.child("effect"),
            toleration["effect"].as_str().unwrap_or_default(),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        );
    }
    match operator {
        "" | "Equal" => {
            errors.obeys(&at.child("operator"), text(&toleration["value"]), validation::is_valid_label_value);
        }
        "Exists" if is_set(&toleration["value"]) => {
            errors.invalid(
                &at.child("operator"),
                toleration["value"].clone(),
                "value must be empty when `operator` is 'Exists'",
            );
        }
        "Exists" => {}
        other @ ("Gt" | "Lt") => {
            errors.not_supported_as_listed(&at.child("operator"), other, &["Equal", "Exists", "Lt", "Gt"]);
        }
        other => errors.not_supported(&at.child("operator"), other, &["Equal", "Exists"]),
    }
    errors.one_of_as_listed(&at.child("effect"), &toleration["effect"], &EFFECTS);
}

fn validate_affinity(affinity: &Value, at: &At<'_>, errors: &mut Errors) {
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    let node = &affinity["nodeAffinity"];
    if !node.is_null() {
        let at = at.child("nodeAffinity");
        if !node[required].is_null() {
            let at = at.child(required);
            validate_node_selector(&node[required], &at, errors);
        }
        let at = at.child(preferred);
        for (index, term) in items(&node[preferred]).iter().enumerate() {
            let at = at.index(index);
            let weight = term["weight"].as_i64().unwrap_or_default();
            if !(1..=100).contains(&weight) {
                errors.invalid(&at.child("weight"), weight, "must be in the range 1-100");
            }
            validate_node_term(&term["preference"], &at.child("preference"), errors);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = at.child(kind);
        let required_at = at.child(required);
        for (index, term) in items(&affinity[kind][required]).iter().enumerate() {
            validate_pod_term(term, &required_at.index(index), errors);
        }
        let preferred_at = at.child(preferred);
        for (index, term) in items(&affinity[kind][preferred]).iter().enumerate() {
            let at = preferred_at.index(index);
            errors.within(&at.child("weight"), &term["weight"], 1, 100);
            validate_pod_term(&term["podAffinityTerm"], &at.child("podAffinityTerm"), errors);
        }
    }
}

/// A node selector: alternatives of node properties.
pub(crate) fn validate_node_selector(selector: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("nodeSelectorTerms");
    if items(&selector["nodeSelectorTerms"]).is_empty() {
        errors.required(&at, "must have at least one node selector term");
    }
    for (index, term) in items(&selector["nodeSelectorTerms"]).iter().enumerate() {
        let at = at.index(index);
        validate_node_term(term, &at, errors);
        let list = at.child("matchExpressions");
        for (index, expression) in items(&term["matchExpressions"]).iter().enumerate() {
            let at = list.index(index);
            let values = at.child("values");
            for (index, value) in items(&expression["values"]).iter().enumerate() {
                errors.obeys(&values.index(index), text(value), validation::is_valid_label_value);
            }
        }
    }
}

fn validate_node_term(term: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("matchExpressions");
    for (index, expression) in items(&term["matchExpressions"]).iter().enumerate() {
        let at = list.index(index);
        let values = at.child("values");
        match text(&expression["operator"]) {
            "In" | "NotIn" if !is_set(&expression["values"]) => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if is_set(&expression["values"]) => {
                errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if items(&expression["values"]).len() != 1 => {
                errors.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            operator if NODE_OPERATORS.contains(&operator) => {}
            operator => errors.invalid(&at.child("operator"), operator, "not a valid selector operator"),
        }
        errors.obeys(&at.child("key"), text(&expression["key"]), validation::is_qualified_name);
    }
    let list = at.child("matchFields");
    for (index, expression) in items(&term["matchFields"]).iter().enumerate() {
        let at = list.index(index);
        let values = at.child("values");
        match text(&expression["operator"]) {
            "In" | "NotIn" if items(&expression["values"]).len() != 1 => {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(&values, detail);
            }
            "In" | "NotIn" => {}
            operator => errors.invalid(&at.child("operator"), operator, "not a valid selector operator"),
        }
        if text(&expression["key"]) != "metadata.name" {
            errors.invalid(&at.child("key"), text(&expression["key"]), "not a valid field selector key");
            continue;
        }
        for (index, value) in items(&expression["values"]).iter().enumerate() {
            errors.obeys(&values.index(index), text(value), validation::is_dns1123_subdomain);
        }
    }
}

fn validate_pod_term(term: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.label_selector(&at.child("labelSelector"), &term["labelSelector"]);
    errors.label_selector(&at.child("namespaceSelector"), &term["namespaceSelector"]);
    let key = at.child("topologyKey");
    if !is_set(&term["topologyKey"]) {
        errors.required(&key, "can not be empty");
    }
    errors.obeys(&key, text(&term["topologyKey"]), validation::is_qualified_name);
}

fn validate_spread(constraint: &Value, at: &At<'_>, errors: &mut Errors) {
    if constraint["maxSkew"].as_i64().unwrap_or_default() <= 0 {
        errors.invalid(&at.child("maxSkew"), constraint["maxSkew"].as_i64().unwrap_or_default(), NOT_POSITIVE);
    }
    if !is_set(&constraint["topologyKey"]) {
        errors.required(&at.child("topologyKey"), "can not be empty");
    }
    let choices = ["DoNotSchedule", "ScheduleAnyway"];
    let choice = text(&constraint["whenUnsatisfiable"]);
    if !choices.contains(&choice) {
        errors.not_supported(&at.child("whenUnsatisfiable"), choice, &choices);
    }
    if let Some(least) = constraint["minDomains"].as_i64() {
        if least <= 0 {
            errors.invalid(&at.child("minDomains"), least, NOT_POSITIVE);
        }
        if choice != "DoNotSchedule" {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {choice}");
            errors.invalid(&at.child("minDomains"), least, detail);
        }
    }
    for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        errors.one_of(&at.child(field), &constraint[field], &["Honor", "Ignore"]);
    }
    errors.label_selector(&at.child("labelSelector"), &constraint["labelSelector"]);
    let keys = at.child("matchLabelKeys");
    for (index, key) in items(&constraint["matchLabelKeys"]).iter().enumerate() {
        errors.obeys(&keys.index(index), text(key), validation::is_qualified_name);
        if constraint["labelSelector"].is_null() {
            let detail = "must not be specified when labelSelector is not set";
            errors.forbidden(&keys, detail);
        }
    }
}

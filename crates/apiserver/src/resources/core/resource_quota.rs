//! Resource quotas.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, entries, is_set, items, object, same, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of resource quotas.
pub(crate) struct ResourceQuota;

const COLUMNS: &[Column] = &[NAME, Column::string("Request"), Column::string("Limit"), AGE];

/// Scopes that a quota may have.
pub(crate) const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// What may be counted without a group in its name.
const STANDARD: [&str; 21] = [
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
    "hugepages",
];

/// What a quota over best-effort pods may count: nothing that such pods lack.
const OF_BEST_EFFORT: [&str; 1] = ["pods"];

impl Strategy for ResourceQuota {
    fn default(&self, quota: &mut Value) {
        if let Some(spec) = spec(quota) {
            canonical_quantities(spec, "hard");
        }
        if let Some(status) = quota.as_object_mut().and_then(|quota| object(quota, "status")) {
            canonical_quantities(status, "hard");
            canonical_quantities(status, "used");
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        quantities(&mut errors, &at.child("hard"), &object["spec"]["hard"]);
        scopes(&mut errors, &at, &object["spec"]);
        let at = At::root("status");
        quantities(&mut errors, &at.child("hard"), &object["status"]["hard"]);
        quantities(&mut errors, &at.child("used"), &object["status"]["used"]);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        if !same(&new["spec"]["scopes"], &old["spec"]["scopes"]) {
            errors.invalid(&at.child("scopes"), new["spec"]["scopes"].clone(), "field is immutable");
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in entries(&object["status"]["hard"]) {
            let used = object["status"]["used"][name].as_str().unwrap_or("0");
            let text = format!("{name}: {used}/{}", text(hard));
            let list = if name.starts_with("limits") { &mut limits } else { &mut requests };
            list.push(text);
        }
        vec![print::name(object), requests.join(", ").into(), limits.join(", ").into(), print::age(object, now)]
    }
}

fn quantities(errors: &mut Errors, at: &At<'_>, list: &Value) {
    for (name, value) in entries(list) {
        let place = at.key(name);
        for problem in validation::is_qualified_name(name) {
            errors.invalid(&place, name, problem);
        }
        let is_known = name.contains('/') || STANDARD.contains(&name) || name.contains("hugepages-");
        if !is_known {
            errors.invalid(&place, name, "must be a standard resource for quota");
        }
        if let Some(quantity) = errors.quantity(&place, value)
            && is_integer(name)
            && quantity.milli_value() % 1000 != 0
        {
            errors.invalid(&place, value.clone(), "must be an integer");
        }
    }
}

/// Whether halves of it make no sense.
fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "configmaps"
            | "persistentvolumeclaims"
            | "pods"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "services"
            | "services.loadbalancers"
            | "services.nodeports"
    ) || name.starts_with("count/")
}

fn scopes(errors: &mut Errors, at: &At<'_>, spec: &Value) {
    let place = at.child("scopes");
    let counted: Vec<&str> = entries(&spec["hard"]).map(|(name, _)| name).collect();
    let mut seen: Vec<&str> = Vec::new();
    for scope in items(&spec["scopes"]).iter().map(text) {
        check_scope(errors, &place, scope, &counted, &spec["scopes"]);
        seen.push(scope);
    }
    contradictions(errors, &place, &seen, &spec["scopes"]);
    let expressions = at.child("scopeSelector");
    let expressions = expressions.child("matchExpressions");
    let mut seen: Vec<&str> = Vec::new();
    for (index, expression) in items(&spec["scopeSelector"]["matchExpressions"]).iter().enumerate() {
        let at = expressions.index(index);
        let (scope, operator) = (text(&expression["scopeName"]), text(&expression["operator"]));
        check_scope(errors, &at.child("scopeName"), scope, &counted, &expression["scopeName"]);
        match operator {
            "In" | "NotIn" if !is_set(&expression["values"]) => errors.required(
                &at.child("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
            "Exists" | "DoesNotExist" if is_set(&expression["values"]) => errors.invalid(
                &at.child("values"),
                expression["values"].clone(),
                "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&at.child("operator"), other, "not a valid selector operator"),
        }
        let takes_values = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if !takes_values && operator != "Exists" {
            let detail = format!(
                "must be 'Exist' when scope is any of {}",
                "Terminating, NotTerminating, BestEffort and NotBestEffort"
            );
            errors.invalid(&at.child("operator"), operator, detail);
        }
        seen.push(scope);
    }
    contradictions(errors, &expressions, &seen, &spec["scopeSelector"]["matchExpressions"]);
}

fn check_scope(errors: &mut Errors, at: &At<'_>, scope: &str, counted: &[&str], shown: &Value) {
    if !SCOPES.contains(&scope) {
        return errors.invalid(at, shown.clone(), "unsupported scope");
    }
    let applies = |name: &&str| match scope {
        "BestEffort" => OF_BEST_EFFORT.contains(name) || *name == "count/pods",
        "VolumeAttributesClass" => name.contains("storage") || name.contains("persistentvolumeclaims"),
        _ => !is_object_count(name),
    };
    if !counted.iter().all(applies) {
        errors.invalid(at, shown.clone(), "unsupported scope applied to resource");
    }
}

/// Whether it counts objects that are no pods.
fn is_object_count(name: &str) -> bool {
    (is_integer(name) && name != "pods" && name != "count/pods") || name.contains("storageclass.storage.k8s.io")
}

fn contradictions(errors: &mut Errors, at: &At<'_>, seen: &[&str], shown: &Value) {
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if seen.contains(&one) && seen.contains(&other) {
            errors.invalid(at, shown.clone(), "conflicting scopes");
        }
    }
}

//! Roles and cluster roles.

use portolan_api::field;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items};
use crate::strategy::{Context, NameRule, Strategy};

/// The strategy of roles in a namespace.
pub(crate) struct Role;
/// The strategy of roles for the cluster.
pub(crate) struct ClusterRole;

impl Strategy for Role {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        validate_rules(object, true)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }
}

impl Strategy for ClusterRole {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        validate_rules(object, false)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }
}

fn validate_rules(role: &Value, namespaced: bool) -> Vec<field::Error> {
    let (mut errors, list) = (Errors::default(), At::root("rules"));
    for (index, rule) in items(&role["rules"]).iter().enumerate() {
        let at = list.index(index);
        if !is_set(&rule["verbs"]) {
            errors.required(&at.child("verbs"), "verbs must contain at least one value");
        }
        if is_set(&rule["nonResourceURLs"]) {
            let paths = at.child("nonResourceURLs");
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                errors.invalid(&paths, rule["nonResourceURLs"].clone(), detail);
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|field| is_set(&rule[*field])) {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.invalid(&paths, rule["nonResourceURLs"].clone(), detail);
            }
            continue;
        }
        if !is_set(&rule["apiGroups"]) {
            errors.required(&at.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if !is_set(&rule["resources"]) {
            errors.required(&at.child("resources"), "resource rules must supply at least one resource");
        }
    }
    let (aggregation, at) = (&role["aggregationRule"], At::root("aggregationRule"));
    if !aggregation.is_null() {
        let list = at.child("clusterRoleSelectors");
        if !is_set(&aggregation["clusterRoleSelectors"]) {
            errors.required(&list, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (index, selector) in items(&aggregation["clusterRoleSelectors"]).iter().enumerate() {
            if !errors.label_selector(&list.index(index), selector) {
                errors.invalid(&list.index(index), Value::Null, "invalid label selector.");
            }
        }
    }
    errors.0
}

//! Checks of the rules that say which requests a webhook hears of.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

impl Errors {
    /// One rule with its operations.
    pub(super) fn rule_with_operations(&mut self, at: &At<'_>, rule: &Value) {
        let operations = at.child("operations");
        let list = items(&rule["operations"]);
        if list.is_empty() {
            self.required(&operations, "");
        }
        self.alone(&operations, &rule["operations"], "if '*' is present, must not specify other operations");
        for (index, operation) in list.iter().enumerate() {
            if !OPERATIONS.contains(&text(operation)) {
                self.not_supported(&operations.index(index), operation.clone(), &OPERATIONS);
            }
        }
        self.rule(at, rule);
    }

    fn rule(&mut self, at: &At<'_>, rule: &Value) {
        for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
            let place = at.child(field);
            if items(&rule[field]).is_empty() {
                self.required(&place, "");
            }
            let detail = format!("if '*' is present, must not specify other {what}");
            self.alone(&place, &rule[field], &detail);
        }
        for (index, version) in items(&rule["apiVersions"]).iter().enumerate() {
            if text(version).is_empty() {
                self.required(&at.child("apiVersions").index(index), "");
            }
        }
        self.resources(&at.child("resources"), &rule["resources"]);
        self.one_of_if_present(&at.child("scope"), &rule["scope"], &SCOPES);
    }

    /// `*` stands alone.
    fn alone(&mut self, at: &At<'_>, list: &Value, detail: &str) {
        let values = items(list);
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            self.invalid(at, list.clone(), detail);
        }
    }

    fn resources(&mut self, at: &At<'_>, list: &Value) {
        let values = items(list);
        if values.is_empty() {
            self.required(at, "");
        }
        let (mut all_below, mut below_all) = (BTreeSet::new(), BTreeSet::new());
        let mut has_plain = false;
        for (index, value) in values.iter().enumerate() {
            let (at, pattern) = (&at.index(index), text(value));
            if pattern.is_empty() {
                self.required(at, "");
                continue;
            }
            let Some((resource, subresource)) = pattern.split_once('/') else {
                // Only the last one counts, as upstream has it.
                has_plain = pattern != "*";
                continue;
            };
            if all_below.contains(resource) {
                self.invalid(at, pattern, format!("if '{resource}/*' is present, must not specify {pattern}"));
            }
            if below_all.contains(subresource) {
                self.invalid(at, pattern, format!("if '*/{subresource}' is present, must not specify {pattern}"));
            }
            if subresource == "*" {
                all_below.insert(resource);
            }
            if resource == "*" {
                below_all.insert(subresource);
            }
        }
        let has = |pattern: &str| values.iter().any(|value| value == pattern);
        if values.len() > 1 && has("*/*") {
            self.invalid(at, list.clone(), "if '*/*' is present, must not specify other resources");
        }
        if has("*") && has_plain {
            let detail = "if '*' is present, must not specify other resources without subresources";
            self.invalid(at, list.clone(), detail);
        }
    }
}

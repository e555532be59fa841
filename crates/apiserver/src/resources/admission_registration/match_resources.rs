//! `matchConstraints` of policies, `matchResources` of bindings.

use std::collections::BTreeSet;

use portolan_api::validation;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object_or_new, objects, set, text};

/// Fills in what upstream fills in.
pub(super) fn default(fields: &mut Map<String, Value>) {
    set(fields, "matchPolicy", "Equivalent");
    object_or_new(fields, "namespaceSelector");
    object_or_new(fields, "objectSelector");
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in objects(fields, list) {
            set(rule, "scope", "*");
        }
    }
}

/// Operations of requests whose objects can be changed.
const MUTABLE: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

impl Errors {
    /// Rules of what changes objects.
    pub(super) fn mutable_operations(&mut self, at: &At<'_>, value: &Value) {
        let (rules, operations) = (at.child("resourceRules"), "operations");
        for rule in items(&value["resourceRules"]) {
            for operation in items(&rule[operations]).iter().filter(|operation| !MUTABLE.contains(&text(operation))) {
                // As upstream, without a word about which.
                self.not_supported(&rules.child(operations), operation.clone(), &MUTABLE);
            }
        }
    }

    /// Selectors and rules.
    pub(super) fn match_resources(&mut self, at: &At<'_>, value: &Value) {
        self.one_of_if_present(&at.child("matchPolicy"), &value["matchPolicy"], &["Equivalent", "Exact"]);
        self.label_selector(&at.child("namespaceSelector"), &value["namespaceSelector"]);
        self.label_selector(&at.child("objectSelector"), &value["objectSelector"]);
        for field in ["resourceRules", "excludeResourceRules"] {
            let list = at.child(field);
            for (index, rule) in items(&value[field]).iter().enumerate() {
                let at = list.index(index);
                let names = at.child("resourceNames");
                let mut seen = BTreeSet::new();
                for (index, name) in items(&rule["resourceNames"]).iter().enumerate() {
                    self.obeys(&names.index(index), text(name), validation::is_path_segment_name);
                    if !seen.insert(text(name)) {
                        self.duplicate(&names.index(index), name.clone());
                    }
                }
                self.rule_with_operations(&at, rule);
            }
        }
    }
}

//! `matchConstraints` of policies, `matchResources` of bindings.

use std::collections::BTreeSet;

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

impl Errors {
    /// Selectors and rules.
    pub(super) fn match_resources(&mut self, at: &At<'_>, value: &Value) {
        self.one_of(&at.child("matchPolicy"), &value["matchPolicy"], &["Equivalent", "Exact"]);
        self.label_selector(&at.child("namespaceSelector"), &value["namespaceSelector"]);
        self.label_selector(&at.child("objectSelector"), &value["objectSelector"]);
        for field in ["resourceRules", "excludeResourceRules"] {
            let list = at.child(field);
            for (index, rule) in items(&value[field]).iter().enumerate() {
                let at = list.index(index);
                self.rule_with_operations(&at, rule);
                let names = at.child("resourceNames");
                let mut seen = BTreeSet::new();
                for (index, name) in items(&rule["resourceNames"]).iter().enumerate() {
                    if !seen.insert(text(name)) {
                        self.duplicate(&names.index(index), name.clone());
                    }
                }
            }
        }
    }
}

//! Conditions that have to be met, or must not be, before a pod is bound.

use std::collections::HashSet;

use portolan_api::validation;
use serde_json::Value;

use super::lists::repeated;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};

/// Most conditions of each list.
const MOST: usize = 4;

impl Errors {
    /// The conditions of a device, or of one that was allocated.
    pub(super) fn binding_conditions(&mut self, at: &At<'_>, device: &Value) {
        let (met, failed) = (at.child("bindingConditions"), at.child("bindingFailureConditions"));
        let (conditions, failures) = (&device["bindingConditions"], &device["bindingFailureConditions"]);
        for (at, list) in [(&met, conditions), (&failed, failures)] {
            self.each(at, list, MOST, |name, at, errors| errors.obeys(at, text(name), validation::is_qualified_name));
        }
        for (index, name) in repeated(items(conditions).iter().map(text)) {
            self.duplicate(&met.index(index), name);
        }
        let met_by: HashSet<&str> = items(conditions).iter().map(text).collect();
        let mut seen = HashSet::new();
        for (index, name) in items(failures).iter().map(text).enumerate() {
            let at = failed.index(index);
            if !seen.insert(name) {
                self.duplicate(&at, name);
            }
            if met_by.contains(name) {
                self.invalid(&at, name, "bindingFailureConditions must not overlap with bindingConditions");
            }
        }
        if items(conditions).is_empty() && !items(failures).is_empty() {
            let detail = "bindingConditions are required to use bindingFailureConditions";
            self.invalid(&met, conditions.clone(), detail);
        }
        if items(failures).is_empty() && !items(conditions).is_empty() {
            let detail = "bindingFailureConditions are required to use bindingConditions";
            self.invalid(&failed, failures.clone(), detail);
        }
    }
}

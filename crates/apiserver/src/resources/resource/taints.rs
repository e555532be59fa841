//! Taints of devices, and what tolerates them.

use portolan_api::validation;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::json::{objects, set_zero, text};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const OPERATORS: [&str; 2] = ["Equal", "Exists"];

/// Fills in the tolerations of a request, or of what was allocated for it.
pub(super) fn default_tolerations(holder: &mut Map<String, Value>) {
    for toleration in objects(holder, "tolerations") {
        set_zero(toleration, "operator", "Equal");
    }
}

impl Errors {
    pub(super) fn device_taint(&mut self, at: &At<'_>, taint: &Value) {
        self.obeys(&at.child("key"), text(&taint["key"]), validation::is_qualified_name);
        self.obeys(&at.child("value"), text(&taint["value"]), validation::is_valid_label_value);
        self.required_one_of(&at.child("effect"), &taint["effect"], &EFFECTS);
    }

    pub(super) fn device_toleration(&mut self, at: &At<'_>, toleration: &Value) {
        self.obeys_if_set(&at.child("key"), &toleration["key"], validation::is_qualified_name);
        let value = text(&toleration["value"]);
        match text(&toleration["operator"]) {
            "Exists" if !value.is_empty() => {
                self.invalid(&at.child("value"), value, "must be empty for operator `Exists`");
            }
            "Exists" => {}
            "Equal" => self.obeys(&at.child("value"), value, validation::is_valid_label_value),
            other => self.not_supported_as_listed(&at.child("operator"), other, &OPERATORS),
        }
        self.one_of(&at.child("effect"), &toleration["effect"], &EFFECTS);
    }
}

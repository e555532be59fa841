//! Whether and when containers of a pod start again.
//!
//! Source: `validateContainerRestartPolicy` of `kubernetes/pkg/apis/core/validation`, `ContainerShouldRestart` and
//! `AllContainersCouldRestart` of `kubernetes/pkg/api/v1/pod`.

use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const RESTART_ALL: &str = "RestartAllContainers";
const ACTIONS: [&str; 2] = ["Restart", RESTART_ALL];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

/// What a container of one of the lists says of it.
pub(super) fn validate_restart(container: &Value, list: &str, at: &At<'_>, errors: &mut Errors) {
    let (policy, rules) = (&container["restartPolicy"], items(&container["restartPolicyRules"]));
    let policy_at = at.child("restartPolicy");
    errors.one_of_if_present(&policy_at, policy, &POLICIES);
    if policy.is_null() && !rules.is_empty() {
        errors.required(&policy_at, "must specify restartPolicy when restart rules are used");
        // Of these, upstream does not look at the rules then.
        if list == "initContainers" {
            return;
        }
    }
    let at = at.child("restartPolicyRules");
    if rules.len() > MOST_RULES {
        errors.too_many(&at, rules.len(), MOST_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        let (at, action, codes) = (at.index(index), text(&rule["action"]), &rule["exitCodes"]);
        if !ACTIONS.contains(&action) {
            errors.not_supported(&at.child("action"), action, &ACTIONS);
        }
        let at = at.child("exitCodes");
        if codes.is_null() {
            errors.required(&at, "must be specified");
            continue;
        }
        let operator = text(&codes["operator"]);
        if !OPERATORS.contains(&operator) {
            errors.not_supported(&at.child("operator"), operator, &OPERATORS);
        }
        let count = items(&codes["values"]).len();
        if count > MOST_CODES {
            errors.too_many(&at.child("values"), count, MOST_CODES);
        }
    }
}

/// Whether one container may start all of them again, also those that would not start by themselves.
pub(crate) fn may_restart_all(spec: &Value) -> bool {
    let containers = ["initContainers", "containers"].into_iter().flat_map(|list| items(&spec[list]));
    containers.flat_map(|container| items(&container["restartPolicyRules"])).any(|rule| rule["action"] == RESTART_ALL)
}

/// Whether a container that ended with this code starts again.
pub(crate) fn restarts(container: &Value, spec: &Value, code: i64) -> bool {
    let matching = items(&container["restartPolicyRules"]).iter().find(|rule| {
        let listed = items(&rule["exitCodes"]["values"]).iter().any(|value| value.as_i64() == Some(code));
        match text(&rule["exitCodes"]["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    });
    if matching.is_some_and(|rule| ACTIONS.contains(&text(&rule["action"]))) && !container["restartPolicy"].is_null() {
        return true;
    }
    let policy = container["restartPolicy"].as_str().unwrap_or_else(|| text(&spec["restartPolicy"]));
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

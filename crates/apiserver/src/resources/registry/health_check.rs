//! Rules for the health checks of instances and machines.

use std::collections::HashSet;

use portolan_api::typed::LARGEST_OUTPUT;
use portolan_api::validation;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, items, objects, set_zero, text};

const TYPES: [&str; 9] = ["alias", "external", "grpc", "h2ping", "http", "script", "tcp", "ttl", "udp"];
/// What a check can find.
pub(super) const HEALTH: [&str; 3] = ["critical", "passing", "warning"];

pub(super) fn default(spec: &mut Map<String, Value>) {
    for check in objects(spec, "checks") {
        set_zero(check, "type", "ttl");
    }
}

pub(super) fn validate(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (list, checks) = (at.child("checks"), items(&spec["checks"]));
    let mut ids = HashSet::new();
    for (index, check) in checks.iter().enumerate() {
        let (at, id) = (list.index(index), text(&check["id"]));
        errors.required_name(&at.child("id"), &check["id"], validation::is_registered_name);
        if !ids.insert(id) {
            errors.duplicate(&at.child("id"), id);
        }
        errors.required_one_of(&at.child("type"), &check["type"], &TYPES);
        errors.one_of(&at.child("initialHealth"), &check["initialHealth"], &HEALTH);
        let needed = match text(&check["type"]) {
            "http" => &["url", "intervalMilliseconds"][..],
            "tcp" | "udp" | "grpc" | "h2ping" => &["address", "intervalMilliseconds"],
            "script" => &["command", "intervalMilliseconds"],
            "ttl" => &["ttlMilliseconds"],
            _ => &[],
        };
        for field in needed.iter().copied().filter(|field| !is_set(&check[*field])) {
            errors.required(&at.child(field), "");
        }
        for field in ["intervalMilliseconds", "timeoutMilliseconds", "ttlMilliseconds"] {
            if let Some(number) = check[field].as_i64().filter(|number| *number <= 0) {
                errors.invalid(&at.child(field), number, POSITIVE);
            }
        }
        for field in [
            "successBeforePassing",
            "failuresBeforeWarning",
            "failuresBeforeCritical",
            "deregisterCriticalAfterSeconds",
        ] {
            errors.not_negative(&at.child(field), &check[field]);
        }
        errors.within(&at.child("outputMaxBytes"), &check["outputMaxBytes"], 0, LARGEST_OUTPUT.into());
    }
}

pub(super) fn validate_status(status: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("checks");
    for (index, check) in items(&status["checks"]).iter().enumerate() {
        let at = list.index(index);
        errors.present(&at.child("id"), &check["id"]);
        errors.required_one_of(&at.child("health"), &check["health"], &HEALTH);
    }
}

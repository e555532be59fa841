//! What becomes of a request for a certificate: whether it is approved, and what is issued.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/certificates/validation`.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_api::time;
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, objects, text, texts};
use crate::resources::pem::why_not_certificates;

/// The two that exclude each other, and that only approvers write.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const FAILED: &str = "Failed";
const ANY_STATUS: [&str; 3] = ["False", "True", "Unknown"];

/// Keeps the decisions as they are in what a signer writes. Ones that come or go are left for validation to refuse.
pub(super) fn keep_decisions(status: &mut Map<String, Value>, old: &Value) {
    for kind in DECISIONS {
        let before: Vec<&Value> = of(old, kind).collect();
        let is_meant = |condition: &&mut Map<String, Value>| condition.get("type").is_some_and(|it| it == kind);
        if objects(status, "conditions").filter(is_meant).count() != before.len() {
            continue;
        }
        for (condition, before) in objects(status, "conditions").filter(is_meant).zip(before) {
            condition.clone_from(before.as_object().unwrap_or(&Map::new()));
        }
    }
}

/// Fills in when conditions came and changed.
pub(super) fn stamp(status: &mut Map<String, Value>, old: &Value, now: Timestamp) {
    for condition in objects(status, "conditions") {
        let kind = condition.get("type").map(text).unwrap_or_default().to_owned();
        if !condition.get("lastUpdateTime").is_some_and(is_set) {
            condition.insert("lastUpdateTime".into(), time::format(now).into());
        }
        if !condition.get("lastTransitionTime").is_some_and(is_set) {
            let same = of(old, &kind).find(|old| Some(&old["status"]) == condition.get("status"));
            let since = same.map_or_else(|| time::format(now).into(), |old| old["lastTransitionTime"].clone());
            condition.insert("lastTransitionTime".into(), since);
        }
    }
}

/// What is wrong with the status of a request that was there before.
pub(super) fn validate_changed(new: &Value, old: &Value, subresource: &str, errors: &mut Errors) {
    let status = At::root("status");
    validate_conditions(new, old, &status.child("conditions"), errors);
    let (at, certificate, before) = (status.child("certificate"), &new["certificate"], &old["certificate"]);
    let is_same = text(certificate) == text(before);
    if !is_same
        && why_not(before).is_none()
        && let Some(why) = why_not(certificate)
    {
        errors.invalid(&at, "<certificate data>", why);
    }
    let conditions = status.child("conditions");
    let counts = |kind| (of(new, kind).count(), of(old, kind).count());
    for kind in [DECISIONS[0], DECISIONS[1], FAILED] {
        let (are, were) = counts(kind);
        if are < were {
            errors.forbidden(&conditions, format!("updates may not remove a condition of type \"{kind}\""));
        }
    }
    for kind in DECISIONS.iter().filter(|_| subresource != "approval") {
        let (are, were) = counts(kind);
        if are > were {
            errors.forbidden(&conditions, format!("updates may not add a condition of type \"{kind}\""));
        }
    }
    if !is_same && subresource != "status" {
        errors.forbidden(&at, "updates may not set certificate content");
    } else if !is_same && is_set(before) {
        errors.forbidden(&at, "updates may not modify existing certificate content");
    }
}

/// Why something was not issued. Nothing issued is nothing wrong.
fn why_not(certificate: &Value) -> Option<String> {
    let pem = BASE64_STANDARD.decode(text(certificate)).unwrap_or_default();
    if pem.is_empty() { None } else { why_not_certificates(&pem) }
}

/// Whether a request has a condition.
pub(super) fn has(status: &Value, kind: &str) -> bool {
    of(status, kind).next().is_some()
}

fn of<'a>(status: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    items(&status["conditions"]).iter().filter(move |condition| text(&condition["type"]) == kind)
}

/// Faults that are there already may stay.
fn validate_conditions(status: &Value, old: &Value, list: &At<'_>, errors: &mut Errors) {
    let old_kinds = texts(items(&old["conditions"]), "type");
    let mut before = HashSet::new();
    let may_be_empty = old_kinds.contains("");
    let may_repeat = old_kinds.len() < items(&old["conditions"]).len();
    let may_be_both = DECISIONS.iter().all(|kind| has(old, kind));
    for (index, condition) in items(&status["conditions"]).iter().enumerate() {
        let (at, kind) = (list.index(index), text(&condition["type"]));
        if kind.is_empty() && !may_be_empty {
            errors.required(&at.child("type"), "");
        }
        let allowed = if kind == FAILED || DECISIONS.contains(&kind) { &ANY_STATUS[1..2] } else { &ANY_STATUS };
        errors.required_one_of(&at.child("status"), &condition["status"], allowed);
        let is_decided = DECISIONS.iter().any(|other| *other != kind && before.contains(other));
        if DECISIONS.contains(&kind) && is_decided && !may_be_both {
            errors.invalid(list, kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !before.insert(kind) && !may_repeat {
            errors.duplicate(&at.child("type"), kind);
        }
    }
}

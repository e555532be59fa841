//! What may change in a pod after it was created.

use portolan_api::field;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, items, same};

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Compares two specs; `subresource` is empty, `ephemeralcontainers` or `resize`.
pub(super) fn validate(new: &Value, old: &Value, subresource: &str) -> Vec<field::Error> {
    let mut errors = Errors::default();
    let at = At::root("spec");
    for list in ["containers", "initContainers"] {
        if items(&new[list]).len() != items(&old[list]).len() {
            errors.forbidden(&at.child(list), "pod updates may not add or remove containers");
        }
    }
    if !errors.0.is_empty() {
        return errors.0;
    }
    validate_deadline(new, old, &at, &mut errors);
    validate_tolerations(new, old, &at, &mut errors);
    let changed = changed_fields(new, old, subresource);
    if !changed.is_empty() {
        errors.forbidden(&at, format!("{ALLOWED}\nchanged: {}", changed.join(", ")));
    }
    errors.0
}

fn validate_deadline(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("activeDeadlineSeconds");
    let (new, old) = (&new["activeDeadlineSeconds"], &old["activeDeadlineSeconds"]);
    match (new.as_i64(), old.as_i64()) {
        (Some(new), Some(old)) if new > old => {
            errors.invalid(&at, new, "must be less than or equal to previous value");
        }
        (None, Some(_)) => errors.invalid(&at, Value::Null, "must not update from a positive integer to nil value"),
        _ => {}
    }
}

/// Tolerations may be added, and those that are there keep everything but their time.
fn validate_tolerations(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let kept = |old: &Value| {
        items(&new["tolerations"])
            .iter()
            .any(|new| ["key", "operator", "value", "effect"].iter().all(|field| same(&new[*field], &old[*field])))
    };
    if !items(&old["tolerations"]).iter().all(kept) {
        errors.forbidden(
            &at.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
}

/// Paths of the fields that differ and may not.
fn changed_fields(new: &Value, old: &Value, subresource: &str) -> Vec<String> {
    let mut changed = Vec::new();
    for name in names(new, old) {
        let (after, before) = (&new[name], &old[name]);
        if same(after, before) {
            continue;
        }
        match name {
            "activeDeadlineSeconds" | "tolerations" => {}
            "ephemeralContainers" if subresource == "ephemeralcontainers" => {}
            "schedulingGates" if items(after).iter().all(|gate| items(before).contains(gate)) => {}
            "terminationGracePeriodSeconds"
                if before.as_i64().is_some_and(|seconds| seconds < 0) && after.as_i64() == Some(1) => {}
            "containers" | "initContainers" => {
                for (index, (after, before)) in items(after).iter().zip(items(before)).enumerate() {
                    let fields =
                        names(after, before).into_iter().filter(|field| !same(&after[*field], &before[*field]));
                    changed.extend(
                        fields
                            .filter(|field| *field != "image")
                            .filter(|field| subresource != "resize" || !matches!(*field, "resources" | "resizePolicy"))
                            .map(|field| format!("spec.{name}[{index}].{field}")),
                    );
                }
            }
            _ => changed.push(format!("spec.{name}")),
        }
    }
    changed
}

/// Names of the fields of either object, each once.
fn names<'a>(new: &'a Value, old: &'a Value) -> Vec<&'a str> {
    let mut names: Vec<&str> = entries(new).map(|(name, _)| name).collect();
    names.extend(entries(old).map(|(name, _)| name).filter(|name| new.get(name).is_none()));
    names
}

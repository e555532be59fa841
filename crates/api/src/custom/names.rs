//! Whether a definition may have the names that it asks for.

use serde_json::{Value, json};

use super::Definition;

/// Why a name is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Machine-readable: `PluralConflict`.
    pub reason: &'static str,
    /// For people: `"foos" is already in use`.
    pub message: String,
}

/// The first name of `wanted` (a `spec.names`) that one of the other definitions of its group has.
pub fn conflict<'a>(wanted: &Value, others: impl Iterator<Item = &'a Definition> + Clone) -> Option<Conflict> {
    let text = |name: &str| wanted[name].as_str().unwrap_or_default();
    let in_use = |reason, name: &str| Conflict { reason, message: format!("{name:?} is already in use") };
    let is_resource_name = |name: &str| {
        others.clone().any(|it| it.plural == name || it.singular == name || it.short_names.iter().any(|it| it == name))
    };
    let is_kind = |name: &str| others.clone().any(|it| it.kind == name || it.list_kind == name);
    for (field, reason) in [("plural", "PluralConflict"), ("singular", "SingularConflict")] {
        if is_resource_name(text(field)) {
            return Some(in_use(reason, text(field)));
        }
    }
    let short_names = wanted["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(name) = short_names.clone().find(|name| is_resource_name(name)) {
        return Some(in_use("ShortNamesConflict", name));
    }
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        if is_kind(text(field)) {
            return Some(in_use(reason, text(field)));
        }
    }
    None
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

/// Whether the objects of a definition are served.
pub fn is_established(object: &Value) -> bool {
    condition(object, "Established").is_some_and(|condition| condition["status"] == "True")
}

/// Whether a definition is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Writes into a definition's status which names it has got, and whether it is served.
pub fn settle(object: &mut Value, conflict: Option<&Conflict>, now: &str) {
    let names = object["spec"]["names"].clone();
    let was_established = is_established(object);
    match conflict {
        None => {
            object["status"]["acceptedNames"] = names;
            set(object, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            if !was_established {
                let text = "the initial names have been accepted";
                set(object, "Established", true, "InitialNamesAccepted", text, now);
            }
        }
        Some(conflict) => {
            set(object, "NamesAccepted", false, conflict.reason, &conflict.message, now);
            if !was_established {
                object["status"]["acceptedNames"] = json!({"plural": "", "kind": ""});
                set(object, "Established", false, "NotAccepted", "not all names are accepted", now);
            }
        }
    }
}

/// Sets a condition; its time changes with its status only.
pub fn set(object: &mut Value, name: &str, holds: bool, reason: &str, message: &str, now: &str) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = Value::Array(Vec::new());
    }
    let status = if holds { "True" } else { "False" };
    let mut new = json!({
        "type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
    });
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|condition| condition["type"] == name) {
        Some(old) => {
            if old["status"] == status {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

//! Whether a definition may have the names that it asks for.

use portolan_base::go;
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

/// The names of `wanted` (a `spec.names`) that none of the other definitions of its group has, and why the rest is
/// not to be had.
pub fn accept<'a>(wanted: &Value, others: impl Iterator<Item = &'a Definition> + Clone) -> (Value, Option<Conflict>) {
    let mut accepted = wanted.clone();
    let mut conflict = None;
    let in_use = |reason, name: &str| Conflict { reason, message: format!("{} is already in use", go::quote(name)) };
    let is_resource_name = |name: &str| {
        others.clone().any(|it| it.plural == name || it.singular == name || it.short_names.iter().any(|it| it == name))
    };
    let is_kind = |name: &str| others.clone().any(|it| it.kind == name || it.list_kind == name);
    for (field, reason, of_kinds) in [
        ("plural", "PluralConflict", false),
        ("singular", "SingularConflict", false),
        ("shortNames", "ShortNamesConflict", false),
        ("kind", "KindConflict", true),
        ("listKind", "ListKindConflict", true),
    ] {
        let names: Vec<&str> = match &wanted[field] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let taken = names.into_iter().find(|name| if of_kinds { is_kind(name) } else { is_resource_name(name) });
        let Some(name) = taken else { continue };
        conflict = Some(in_use(reason, name));
        if let Some(accepted) = accepted.as_object_mut() {
            match field {
                // These two are always there.
                "plural" | "kind" => accepted.insert(field.to_owned(), "".into()),
                _ => accepted.remove(field),
            };
        }
    }
    (accepted, conflict)
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

/// Whether the server that shows objects in other versions can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converter {
    /// As far as is known, or there is none.
    Trusted,
    /// Its bundle cannot be used: nothing is served before.
    BadBundle,
}

/// Writes into a definition's status which names it has got, and whether it is served.
pub fn settle(object: &mut Value, (names, conflict): (Value, Option<Conflict>), converter: Converter, now: &str) {
    let was_established = is_established(object);
    if conflict.is_none() || !was_established {
        object["status"]["acceptedNames"] = names;
    }
    match &conflict {
        None => {
            set(object, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            let (holds, reason, text) = match converter {
                Converter::Trusted => (true, "InitialNamesAccepted", "the initial names have been accepted"),
                Converter::BadBundle => (false, "InvalidCABundle", "The conversion webhook CABundle is invalid"),
            };
            if !was_established {
                set(object, "Established", holds, reason, text, now);
            }
        }
        Some(conflict) => {
            set(object, "NamesAccepted", false, conflict.reason, &conflict.message, now);
            if !was_established {
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

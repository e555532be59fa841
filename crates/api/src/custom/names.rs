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

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-02T00:00:00Z";

    /// Each step: whether others have the names, what is known of the converter, and the conditions afterwards with
    /// whether their status changed.
    #[test]
    fn a_definition_is_not_served_before_its_converter_can_be_known() {
        const ACCEPTED: &str = "NamesAccepted=True NoConflicts";
        const TAKEN: &str = "NamesAccepted=False KindConflict";
        const BAD: &str = "Established=False InvalidCABundle: The conversion webhook CABundle is invalid";
        const NOT_YET: &str = "Established=False NotAccepted: not all names are accepted";
        const SERVED: &str = "Established=True InitialNamesAccepted: the initial names have been accepted";
        let (trusted, bad) = (Converter::Trusted, Converter::BadBundle);
        type Step = (bool, Converter, [(&'static str, bool); 2]);
        let cases: [&[Step]; 4] = [
            &[
                (false, bad, [(ACCEPTED, true), (BAD, true)]),
                (false, bad, [(ACCEPTED, false), (BAD, false)]),
                (false, trusted, [(ACCEPTED, false), (SERVED, true)]),
            ],
            // What is served once stays so.
            &[
                (false, trusted, [(ACCEPTED, true), (SERVED, true)]),
                (false, bad, [(ACCEPTED, false), (SERVED, false)]),
                (true, bad, [(TAKEN, true), (SERVED, false)]),
            ],
            // The names come first.
            &[
                (true, bad, [(TAKEN, true), (NOT_YET, true)]),
                (false, bad, [(ACCEPTED, true), (BAD, false)]),
                (true, bad, [(TAKEN, true), (NOT_YET, false)]),
                (false, trusted, [(ACCEPTED, true), (SERVED, true)]),
            ],
            &[(true, trusted, [(TAKEN, true), (NOT_YET, true)]), (true, bad, [(TAKEN, false), (NOT_YET, false)])],
        ];
        for steps in cases {
            let mut object = json!({});
            for (index, (is_taken, converter, expected)) in steps.iter().enumerate() {
                let conflict = is_taken.then(|| Conflict { reason: "KindConflict", message: "it is".to_owned() });
                for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                    condition["lastTransitionTime"] = EARLY.into();
                }
                settle(&mut object, (json!({}), conflict), *converter, LATE);
                let conditions = object["status"]["conditions"].as_array().expect("there are some");
                let text = |condition: &Value, name: &str| condition[name].as_str().unwrap_or_default().to_owned();
                let told: Vec<(String, bool)> = conditions
                    .iter()
                    .map(|it| {
                        let mut told = format!("{}={} {}", text(it, "type"), text(it, "status"), text(it, "reason"));
                        if it["type"] == "Established" {
                            told = format!("{told}: {}", text(it, "message"));
                        }
                        (told, it["lastTransitionTime"] == LATE)
                    })
                    .collect();
                let told: Vec<(&str, bool)> = told.iter().map(|(told, changed)| (told.as_str(), *changed)).collect();
                assert_eq!(told, expected, "step {index}: {is_taken} {converter:?}");
            }
        }
    }
}

//! Who owns the number of replicas, seen from the object and from its scale.

use serde_json::Value;

use super::fields::FieldSet;
use super::managers::{Entry, Managers};

const SCALE: &str = "autoscaling/v1";
const IN_SCALE: [&str; 2] = ["f:spec", "f:replicas"];

/// Where the number of replicas stands in an object of a `group/version`: the names of the fields on
/// the way. `None` if there is no such version; empty if it has no scale.
pub type ReplicasPath<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// The `managedFields` of the scale of an object with these ones.
pub fn replicas_of_parent(parent: &Value, path: ReplicasPath<'_>) -> Value {
    let mut managers = Managers::read(parent).unwrap_or_default();
    managers.entries.retain_mut(|entry| {
        let owns = path(&entry.api_version).is_some_and(|path| entry.fields.has(&borrowed(&elements(&path))));
        entry.fields = FieldSet::of(&IN_SCALE);
        entry.api_version = SCALE.into();
        owns
    });
    list_of(managers)
}

/// The `managedFields` of an object of version `api_version` after its scale was written, which then
/// had `scale` as its own.
pub fn replicas_to_parent(parent: &Value, scale: &Value, api_version: &str, path: ReplicasPath<'_>) -> Value {
    let elements = path(api_version).map(|path| elements(&path)).unwrap_or_default();
    let mut managers = Managers::read(parent).unwrap_or_default();
    let mut of_scale = Managers::read(scale).unwrap_or_default().entries;
    of_scale.retain(|entry| entry.fields.has(&IN_SCALE));
    let before = managers.entries.clone();
    managers.entries.retain_mut(|entry| {
        let Some(path) = path(&entry.api_version) else { return false };
        let elements = self::elements(&path);
        if path.is_empty() || !entry.fields.has(&borrowed(&elements)) {
            return true;
        }
        match of_scale.iter().position(|scale| is_same_manager(scale, entry)) {
            Some(index) => {
                of_scale.remove(index);
            }
            None => entry.fields.remove(&FieldSet::of(&borrowed(&elements))),
        }
        !entry.fields.is_empty()
    });
    for mut entry in of_scale {
        // Upstream knows only the times of those who were there.
        entry.time = before.iter().find(|other| is_same_manager(other, &entry)).and_then(|other| other.time.clone());
        entry.fields = FieldSet::of(&borrowed(&elements));
        entry.api_version = api_version.into();
        // Who scaled has an entry of its own, as the subresource is part of it.
        managers.entries.retain(|other| !is_same_manager(other, &entry));
        managers.entries.push(entry);
    }
    list_of(managers)
}

fn is_same_manager(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    (&one.manager, one.operation, &one.subresource) == (&other.manager, other.operation, &other.subresource)
}

fn elements(path: &[String]) -> Vec<String> {
    path.iter().map(|name| format!("f:{name}")).collect()
}

fn borrowed(elements: &[String]) -> Vec<&str> {
    elements.iter().map(String::as_str).collect()
}

fn list_of(managers: Managers<'_>) -> Value {
    managers.into_list().unwrap_or_default()
}

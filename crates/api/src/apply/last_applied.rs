//! From client-side to server-side apply: what `kubectl` wrote into an annotation.

use serde_json::Value;

use super::claim;
use super::compare::compare;
use super::conflict::Conflicts;
use crate::description::Schema;
use crate::validation::ANNOTATIONS_LIMIT;

/// The annotation of client-side apply.
pub(super) const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager that takes over from client-side apply.
pub(super) const KUBECTL: &str = "kubectl";

/// Drops what client-side apply set last and nobody changed since: no conflict for `kubectl`.
pub(super) fn allow_unchanged(conflicts: &mut Conflicts, live: &Value, schema: Schema<'_>, api_version: &str) {
    let Some(last) = last(live, schema, api_version) else { return };
    let mut set = claim::field_set(&last, Some(schema));
    let canonical = super::merge::canonical(&last, schema);
    let difference = compare(&canonical, live, schema);
    for different in [&difference.modified, &difference.added, &difference.removed] {
        set.remove(different);
    }
    conflicts.0.retain(|conflict| !conflict.is_in(&set));
}

/// The object that client-side apply set last.
fn last(live: &Value, schema: Schema<'_>, api_version: &str) -> Option<Value> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    claim::examined(&last, schema).problems.is_empty().then_some(last)
}

/// Writes what `kubectl` applied into the annotation, if the object has one.
pub(super) fn update(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = annotations(&mut applied) {
        annotations.remove(ANNOTATION);
    }
    let Some(annotations) = annotations(object) else { return };
    annotations.insert(ANNOTATION.to_owned(), format!("{applied}\n").into());
    let size: usize = annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_LIMIT {
        annotations.remove(ANNOTATION);
    }
}

pub(super) fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

fn annotations(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()
}

//! From client-side to server-side apply: what `kubectl` wrote into an annotation.

use serde_json::Value;

use super::compare::compare;
use super::{FieldSet, claim};
use crate::description::Schema;

/// The annotation of client-side apply.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager that takes over from client-side apply.
pub(super) const KUBECTL: &str = "kubectl";

/// Most bytes of all annotations of an object.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// What client-side apply set last and nobody changed since: no conflict for `kubectl`.
pub(super) fn unchanged(live: &Value, schema: Schema<'_>, api_version: &str) -> Option<FieldSet> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    if !claim::problems(&last, schema).is_empty() {
        return None;
    }
    let mut set = claim::field_set(&last, Some(schema));
    let last = super::merge::canonical(&last, schema);
    let difference = compare(&last, live, schema);
    for different in [&difference.modified, &difference.added, &difference.removed] {
        set.remove(different);
    }
    Some(set)
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

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

fn annotations(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()
}

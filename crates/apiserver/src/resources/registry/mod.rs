//! The group `registry.portolan.dev`.

pub(crate) mod external_node;
mod health_check;
pub(crate) mod prepared_query;
pub(crate) mod service_instance;

use portolan_api::annotations::CREATED_REVISION;
use serde_json::{Value, json};

/// Keeps with an object that changes the revision at which it came into being: registries show it to their clients,
/// and the store tells the last change only. Nobody else writes it.
fn keep_created_revision(new: &mut Value, old: &Value) {
    let parts = ["spec", "status"];
    let (new_metadata, old_metadata) = (&new["metadata"], &old["metadata"]);
    let changes = parts.iter().any(|part| new[part] != old[part])
        || ["labels", "annotations"].iter().any(|field| new_metadata[field] != old_metadata[field]);
    let noted = match &old_metadata["annotations"][CREATED_REVISION] {
        Value::Null if changes => old_metadata["resourceVersion"].clone(),
        noted => noted.clone(),
    };
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if noted.is_string() {
        let annotations = metadata.entry("annotations").or_insert(Value::Null);
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(CREATED_REVISION.to_owned(), noted);
        }
    } else if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(CREATED_REVISION);
    }
}

/// A new object has come into being just now, whatever it was copied from.
fn forget_created_revision(object: &mut Value) {
    let annotations = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove(CREATED_REVISION);
    }
}

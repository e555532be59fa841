//! A pod that gets its node gets the labels that say where that is.

use serde_json::{Value, json};

use crate::admission::{Attributes, Operation};
use crate::status::Status;
use crate::storage;

const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

pub(super) async fn admit(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let binds = attributes.is("", "pods") && attributes.subresource() == "binding";
    let target = if attributes.operation == Operation::Create && binds {
        "/target/name"
    } else if attributes.operation == Operation::Create && attributes.is_main("", "pods") {
        "/spec/nodeName"
    } else {
        return Ok(());
    };
    let node = attributes.new.pointer(target).and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() {
        return Ok(());
    }
    let Some(entry) = storage::find(attributes.call.server, "", "nodes", "", node).await? else { return Ok(()) };
    for label in LABELS {
        let Some(value) = portolan_api::encoded::string_at(&entry.value, &["metadata", "labels", label]) else {
            continue;
        };
        let labels = &mut attributes.new["metadata"]["labels"];
        if !labels.is_object() {
            *labels = json!({});
        }
        labels[label] = value.as_ref().into();
    }
    Ok(())
}

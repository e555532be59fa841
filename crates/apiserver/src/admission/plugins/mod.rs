//! What is built in: one file per plugin, named as upstream.

mod certificates;
mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use serde_json::{Map, Value};

use super::attributes::Attributes;
use crate::status::Status;

/// Plugins that may change the object, in upstream's order.
pub(super) async fn mutate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    namespace_lifecycle::admit(attributes).await?;
    limit_ranger::admit(attributes).await?;
    service_account::admit(attributes).await?;
    node_restriction::admit(attributes).await?;
    taint_nodes_by_condition::admit(attributes);
    priority::admit(attributes).await?;
    default_toleration_seconds::admit(attributes);
    default_class::admit(attributes).await?;
    storage_object_in_use_protection::admit(attributes);
    runtime_class::admit(attributes).await?;
    pod_topology_labels::admit(attributes).await
}

/// Plugins that look at what will be written, in upstream's order.
pub(super) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    limit_ranger::validate(attributes).await?;
    pod_security::validate(attributes).await?;
    priority::validate(attributes).await?;
    persistent_volume_claim_resize::validate(attributes).await?;
    runtime_class::validate(attributes).await?;
    certificates::validate(attributes).await
}

/// Appends to a list that may be missing.
fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(fields.insert(list.into(), Value::Array(vec![item]))),
    }
}

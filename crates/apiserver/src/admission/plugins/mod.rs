//! What is built in: one file per plugin, named as upstream.

mod default_toleration_seconds;
mod namespace_lifecycle;
mod node_restriction;
mod priority;
mod service_account;

use serde_json::{Map, Value};

use super::attributes::Attributes;
use crate::status::Status;

/// Plugins that may change the object, in upstream's order.
pub(super) async fn mutate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    namespace_lifecycle::admit(attributes).await?;
    service_account::admit(attributes).await?;
    node_restriction::admit(attributes)?;
    priority::admit(attributes).await?;
    default_toleration_seconds::admit(attributes);
    Ok(())
}

/// Plugins that look at what will be written, in upstream's order.
pub(super) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    priority::validate(attributes).await
}

/// Appends to a list that may be missing.
fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(fields.insert(list.into(), Value::Array(vec![item]))),
    }
}

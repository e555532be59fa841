//! Decisions about a write that need more than the object itself.

mod certificates;
mod namespace;
mod node;
mod pod;

use serde_json::Value;

use crate::authorization::escalation;
use crate::endpoint::Call;
use crate::status::Status;

/// Looks at, and completes, an object that is to be created.
pub(crate) async fn create(call: &Call<'_>, object: &mut Value, warnings: &mut Vec<String>) -> Result<(), Status> {
    namespace::must_accept(call, object).await?;
    if call.resource.group.is_empty() && call.resource.name == "pods" {
        pod::complete(call, object, warnings).await?;
    }
    escalation::check(call, object, None).await?;
    certificates::create(call, object)?;
    node::check(call, object, None)
}

/// Looks at an object that is to be changed.
pub(crate) async fn update(call: &Call<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
    escalation::check(call, new, Some(old)).await?;
    certificates::update(call, new, old).await?;
    node::check(call, new, Some(old))
}

/// Looks at an object that is to be deleted.
pub(crate) fn delete(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    node::check(call, object, Some(object))
}

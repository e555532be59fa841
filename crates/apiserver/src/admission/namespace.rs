//! Objects are created in namespaces that exist and are not about to go.

use portolan_api::encoded;
use serde_json::Value;

use crate::endpoint::{Call, metadata};
use crate::request::Target;
use crate::status::Status;
use crate::storage;

pub(super) async fn must_accept(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let namespace = call.namespace();
    if namespace.is_empty() {
        return Ok(());
    }
    let Some(entry) = storage::find(call.server, "", "namespaces", "", namespace).await? else {
        return Err(Status::not_found(&Target { group: "", resource: "namespaces" }, namespace));
    };
    if encoded::string_at(&entry.value, &["metadata", "deletionTimestamp"]).is_none() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = format!("namespace {namespace} is being terminated");
    Err(Status::forbidden(&call.target(), metadata::text(object, "name"), &why).because(
        "NamespaceTerminating",
        &cause,
        "metadata.namespace",
    ))
}

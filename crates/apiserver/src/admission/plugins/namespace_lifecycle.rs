//! Objects are created in namespaces that exist and are not about to go; some namespaces never go.

use portolan_api::encoded;
use portolan_store::Entry;

use crate::admission::{Attributes, Operation};
use crate::endpoint::Call;
use crate::request::Target;
use crate::status::Status;
use crate::storage;

/// Namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

pub(super) async fn admit(attributes: &Attributes<'_>) -> Result<(), Status> {
    match attributes.operation {
        Operation::Delete if attributes.is_main("", "namespaces") && IMMORTAL.contains(&attributes.name.as_str()) => {
            Err(attributes.forbidden("this namespace may not be deleted"))
        }
        // Questions about access are answered whatever the state of the namespace.
        Operation::Create if attributes.call.resource.group != "authorization.k8s.io" => must_accept(attributes).await,
        _ => Ok(()),
    }
}

/// Whether the namespace of a request is there and stays.
pub(super) async fn takes_new_objects(call: &Call<'_>) -> Result<bool, Status> {
    let found = storage::find(call.server, "", "namespaces", "", call.namespace()).await?;
    Ok(found.is_some_and(|entry| !is_leaving(&entry)))
}

fn is_leaving(namespace: &Entry) -> bool {
    encoded::string_at(&namespace.value, &["metadata", "deletionTimestamp"]).is_some()
}

async fn must_accept(attributes: &Attributes<'_>) -> Result<(), Status> {
    let namespace = attributes.call.namespace();
    if namespace.is_empty() {
        return Ok(());
    }
    let entry = storage::entry(attributes.call.server, &Target::NAMESPACES, "", namespace).await?;
    if !is_leaving(&entry) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = format!("namespace {namespace} is being terminated");
    Err(attributes.forbidden(&why).because("NamespaceTerminating", &cause, "metadata.namespace"))
}

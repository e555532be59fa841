//! A node changes itself and what runs on it, nothing else.

use serde_json::Value;

use crate::authorization::node_of;
use crate::endpoint::{Call, metadata};
use crate::status::Status;

pub(super) fn check(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let Some(node) = node_of(call.user) else { return Ok(()) };
    let name = metadata::text(new, "name");
    let refuse = |why: String| Err(Status::forbidden(&call.target(), name, &why));
    match (&*call.resource.group, &*call.resource.name) {
        ("", "nodes") if name != node => refuse(format!("node \"{node}\" is not allowed to modify node \"{name}\"")),
        ("", "pods") => {
            let place = old.unwrap_or(new)["spec"]["nodeName"].as_str().unwrap_or_default();
            if place == node {
                return Ok(());
            }
            refuse(format!("node \"{node}\" can only change pods with spec.nodeName set to itself"))
        }
        ("coordination.k8s.io", "leases") => {
            if call.namespace() == "kube-node-lease" && name == node {
                return Ok(());
            }
            refuse(format!("node \"{node}\" can only access its own lease in the namespace kube-node-lease"))
        }
        _ => Ok(()),
    }
}

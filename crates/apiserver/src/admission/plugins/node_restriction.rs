//! A node changes itself and what runs on it, nothing else.

use crate::admission::{Attributes, Operation};
use crate::authorization::node_of;
use crate::endpoint::metadata;
use crate::status::Status;

pub(super) fn admit(attributes: &Attributes<'_>) -> Result<(), Status> {
    let Some(node) = node_of(attributes.call.user) else { return Ok(()) };
    let name = attributes.name.as_str();
    let refuse = |why: String| Err(attributes.forbidden(&why));
    let object = if attributes.operation == Operation::Create { &attributes.new } else { attributes.old };
    match (&*attributes.call.resource.group, &*attributes.call.resource.name) {
        ("", "nodes") if name != node => refuse(format!("node \"{node}\" is not allowed to modify node \"{name}\"")),
        ("", "pods") if attributes.operation != Operation::Connect => {
            if object["spec"]["nodeName"].as_str() == Some(node) {
                return Ok(());
            }
            refuse(format!("node \"{node}\" can only change pods with spec.nodeName set to itself"))
        }
        ("coordination.k8s.io", "leases") => {
            if attributes.call.namespace() == "kube-node-lease" && metadata::text(object, "name") == node {
                return Ok(());
            }
            refuse(format!("node \"{node}\" can only access its own lease in the namespace kube-node-lease"))
        }
        _ => Ok(()),
    }
}

//! What a node agent may do: read what pods need, and write what is its own.
//!
//! Reading is not limited to the pods of the node; writing the node object and pod status is
//! limited by [`crate::admission`].

use portolan_identity::User;

use super::bootstrap::NODES;
use crate::request::Info;

const READ: [&str; 3] = ["get", "list", "watch"];
const READ_AND_WRITE: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Group, resource, subresource (`""`: none) and verbs.
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    ("", "configmaps", "", &READ),
    ("", "endpoints", "", &READ),
    ("", "events", "", &["create", "update", "patch"]),
    ("", "namespaces", "", &READ),
    ("", "nodes", "", &READ_AND_WRITE),
    ("", "nodes", "status", &["get", "update", "patch"]),
    ("", "persistentvolumeclaims", "", &READ),
    ("", "persistentvolumes", "", &READ),
    // Mirror pods are created and deleted by their node.
    ("", "pods", "", &["get", "list", "watch", "create", "delete"]),
    ("", "pods", "eviction", &["create"]),
    ("", "pods", "status", &["get", "update", "patch"]),
    ("", "secrets", "", &READ),
    ("", "serviceaccounts", "", &READ),
    ("", "serviceaccounts", "token", &["create"]),
    ("", "services", "", &READ),
    ("authentication.k8s.io", "tokenreviews", "", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", "", &["create"]),
    ("certificates.k8s.io", "certificatesigningrequests", "", &["get", "list", "watch", "create"]),
    ("coordination.k8s.io", "leases", "", &READ_AND_WRITE),
    ("discovery.k8s.io", "endpointslices", "", &READ),
    ("events.k8s.io", "events", "", &["create", "update", "patch"]),
    ("networking.k8s.io", "networkpolicies", "", &READ),
    ("node.k8s.io", "runtimeclasses", "", &READ),
    ("registry.portolan.dev", "serviceinstances", "", &READ_AND_WRITE),
    ("registry.portolan.dev", "serviceinstances", "status", &["get", "update", "patch"]),
    ("registry.portolan.dev", "externalnodes", "", &READ),
    ("registry.portolan.dev", "externalnodes", "status", &["get", "update", "patch"]),
    ("storage.k8s.io", "csidrivers", "", &READ),
    ("storage.k8s.io", "csinodes", "", &READ_AND_WRITE),
    ("storage.k8s.io", "volumeattachments", "", &READ),
];

/// The node that a user is, if it is one.
pub(crate) fn name(user: &User) -> Option<&str> {
    if user.is_in(NODES) { user.name.strip_prefix("system:node:") } else { None }
}

/// Whether a user is a node and what it asks for is a node's business.
pub(super) fn allows(user: &User, info: &Info) -> bool {
    name(user).is_some()
        && TABLE.iter().any(|(group, resource, subresource, verbs)| {
            (*group, *resource, *subresource) == (&info.group, &info.resource, &info.subresource)
                && verbs.contains(&info.verb)
        })
}

//! What a node agent may do: read what its pods need, and write what is its own.
//!
//! Secrets, ConfigMaps and service accounts are read one by one (or listed and watched with their
//! name as field selector), and only those that a pod of the node refers to; tokens are made only for service accounts of its pods. Writing the node object and pod
//! status is limited by [`crate::admission`].

use portolan_identity::User;

use super::bootstrap::NODES;
use super::reach::Kind;
use super::{Authorizer, Decision};
use crate::request::Info;

const READ: [&str; 3] = ["get", "list", "watch"];
const READ_AND_WRITE: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Group, resource, subresource (`""`: none) and verbs.
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    ("", "endpoints", "", &READ),
    ("", "events", "", &["create", "update", "patch"]),
    ("", "namespaces", "", &READ),
    ("", "nodes", "", &READ_AND_WRITE),
    ("", "nodes", "status", &["get", "update", "patch"]),
    ("", "persistentvolumeclaims", "", &READ),
    ("", "persistentvolumeclaims", "status", &["get", "update", "patch"]),
    ("", "persistentvolumes", "", &READ),
    // Mirror pods are created and deleted by their node.
    ("", "pods", "", &["get", "list", "watch", "create", "delete"]),
    ("", "pods", "eviction", &["create"]),
    ("", "pods", "status", &["get", "update", "patch"]),
    ("", "services", "", &READ),
    ("authentication.k8s.io", "tokenreviews", "", &["create"]),
    ("authorization.k8s.io", "localsubjectaccessreviews", "", &["create"]),
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
    ("registry.portolan.dev", "preparedqueries", "", &READ),
    ("storage.k8s.io", "csidrivers", "", &READ),
    ("storage.k8s.io", "csinodes", "", &READ_AND_WRITE),
    ("storage.k8s.io", "storageclasses", "", &READ),
    ("storage.k8s.io", "volumeattachments", "", &READ),
];

/// The node that a user is, if it is one.
pub(crate) fn name(user: &User) -> Option<&str> {
    if user.is_in(NODES) { user.name.strip_prefix("system:node:") } else { None }
}

/// Whether the pods of a node decide about what a user asks for.
pub(super) fn depends_on_pods(user: &User, info: &Info) -> bool {
    info.group.is_empty() && Kind::of_resource(&info.resource).is_some() && name(user).is_some()
}

/// Whether a user is a node and what it asks for is a node's business.
pub(super) fn decide(authorizer: &Authorizer, user: &User, info: &Info) -> Decision {
    let allowed = || Decision::Allowed("node".into());
    let no = |why: String| Decision::NoOpinion(why);
    let Some(node) = name(user) else { return no(String::new()) };
    if let Some(kind) = Kind::of_resource(&info.resource).filter(|_| info.group.is_empty()) {
        let wanted = match (kind, info.subresource.as_str()) {
            (Kind::ServiceAccount, "token") => info.verb == "create",
            (_, "") => matches!(info.verb, "get" | "list" | "watch") && !info.authorized_name().is_empty(),
            _ => false,
        };
        if !wanted {
            return no(match (kind, info.subresource.as_str()) {
                (Kind::ServiceAccount, "token") => "can only create tokens for individual service accounts".to_owned(),
                _ => "can only read named object of this type".to_owned(),
            });
        }
        if authorizer.needs(node, kind, &info.namespace, info.authorized_name()) {
            return allowed();
        }
        return no(format!("no relationship found between node '{node}' and this object"));
    }
    let listed = TABLE.iter().any(|(group, resource, subresource, verbs)| {
        (*group, *resource, *subresource) == (&info.group, &info.resource, &info.subresource)
            && verbs.contains(&info.verb)
    });
    if listed { allowed() } else { no(String::new()) }
}

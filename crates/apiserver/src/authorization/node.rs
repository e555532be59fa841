//! What a node agent may do: read what its pods need, and write what is its own.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/node`. What a node may do with kinds of which it needs
//! some objects only depends on the pods that are bound to it; for all other kinds there is a table. Writing the
//! node object and pod status is limited by [`crate::admission`].

use portolan_identity::User;

use super::bootstrap::NODES;
use super::reach::Kind;
use super::{Authorizer, Decision};
use crate::request::Info;

const READ: [&str; 3] = ["get", "list", "watch"];

/// Group, resource, subresource (`""`: none) and verbs.
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    ("", "endpoints", "", &["get"]),
    ("", "events", "", &["create", "update", "patch"]),
    ("", "services", "", &READ),
    ("authentication.k8s.io", "tokenreviews", "", &["create"]),
    ("authorization.k8s.io", "localsubjectaccessreviews", "", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", "", &["create"]),
    ("certificates.k8s.io", "certificatesigningrequests", "", &["get", "list", "watch", "create"]),
    ("certificates.k8s.io", "clustertrustbundles", "", &READ),
    ("events.k8s.io", "events", "", &["create", "update", "patch"]),
    ("node.k8s.io", "runtimeclasses", "", &READ),
    ("storage.k8s.io", "csidrivers", "", &READ),
];

/// Where the leases of nodes are.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The node that a user is, if it is one.
pub(crate) fn name(user: &User) -> Option<&str> {
    if user.is_in(NODES) { user.name.strip_prefix("system:node:") } else { None }
}

/// Whether what is bound to a node decides about what a user asks for: of most things it needs single objects only.
pub(super) fn depends_on_objects(user: &User, info: &Info) -> bool {
    if info.authorized_name().is_empty() {
        return false;
    }
    let (is_whole, verb) = (info.subresource.is_empty(), info.authorized_verb());
    let asks = match Kind::of_resource(&info.group, &info.resource) {
        None => false,
        Some(Kind::Pod) => is_whole && READ.contains(&verb),
        Some(Kind::Slice) => is_whole && verb != "create",
        Some(_) => true,
    };
    asks && name(user).is_some()
}

/// Whether a user is a node and what it asks for is a node's business.
pub(super) fn decide(authorizer: &Authorizer, user: &User, info: &Info) -> Decision {
    let Some(node) = name(user) else { return Decision::NoOpinion(String::new()) };
    let request = Request { authorizer, node, info, verb: info.authorized_verb(), name: info.authorized_name() };
    match request.outcome() {
        Ok(()) => Decision::Allowed(String::new()),
        Err(why) => Decision::NoOpinion(why),
    }
}

/// What a node asks for.
struct Request<'a> {
    authorizer: &'a Authorizer,
    node: &'a str,
    info: &'a Info,
    verb: &'a str,
    /// Of a collection, the one that its selector picks.
    name: &'a str,
}

/// Why it is not a node's business; empty if there is nothing more to say.
type Outcome = Result<(), String>;

impl Request<'_> {
    fn outcome(&self) -> Outcome {
        let subresource = self.info.subresource.as_str();
        match (self.info.group.as_str(), self.info.resource.as_str()) {
            ("", "secrets") => self.read(Kind::Secret),
            ("", "configmaps") => self.read(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if subresource == "status" => match self.verb {
                "update" | "patch" => self.related(Kind::Claim),
                _ => no("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims") => self.get(Kind::Claim),
            ("", "persistentvolumes") => self.get(Kind::Volume),
            ("", "serviceaccounts") => self.service_account(),
            ("", "nodes") => self.nodes(),
            ("", "pods") => self.pods(),
            ("coordination.k8s.io", "leases") => self.lease(),
            ("resource.k8s.io", "resourceclaims") => self.get(Kind::ResourceClaim),
            ("resource.k8s.io", "resourceslices") => self.slices(),
            ("storage.k8s.io", "csinodes") => self.csi_node(),
            ("storage.k8s.io", "volumeattachments") => self.get(Kind::Attachment),
            id => {
                let is_listed = TABLE.iter().any(|(group, resource, part, verbs)| {
                    (*group, *resource) == id && *part == subresource && verbs.contains(&self.verb)
                });
                if is_listed { Ok(()) } else { no("") }
            }
        }
    }

    /// One object that something of the node refers to.
    fn related(&self, kind: Kind) -> Outcome {
        if self.name.is_empty() {
            return no("No Object name found");
        }
        if self.authorizer.needs(self.node, kind, &self.info.namespace, self.name) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn get(&self, kind: Kind) -> Outcome {
        if self.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !self.info.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(kind)
    }

    fn read(&self, kind: Kind) -> Outcome {
        if !READ.contains(&self.verb) {
            return no("can only read resources of this type");
        }
        if !self.info.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if self.info.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn service_account(&self) -> Outcome {
        match (self.verb, self.info.subresource.as_str()) {
            ("get", "") => self.related(Kind::ServiceAccount),
            ("create", _) if self.name.is_empty() => no("can only create tokens for individual service accounts"),
            ("create", "token") => self.related(Kind::ServiceAccount),
            ("create", _) => no("can only create token subresource of serviceaccount"),
            _ => no("can only create tokens for individual service accounts"),
        }
    }

    fn nodes(&self) -> Outcome {
        match (self.info.subresource.as_str(), self.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") => match self.name {
                name if name == self.node => Ok(()),
                "" => Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
                other => Err(format!("node '{}' cannot read '{other}', only its own Node object", self.node)),
            },
            _ => no(""),
        }
    }

    fn pods(&self) -> Outcome {
        match (self.info.subresource.as_str(), self.verb) {
            ("", "get") => self.get(Kind::Pod),
            ("", "list" | "watch") if self.info.selection.field("spec.nodeName") == Some(self.node) => Ok(()),
            ("", "list" | "watch") if !self.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // Mirror pods are created and deleted by their node.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => no(""),
        }
    }

    fn lease(&self) -> Outcome {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.info.namespace != LEASE_NAMESPACE {
            return Err(format!("can only access leases in the \"{LEASE_NAMESPACE}\" system namespace"));
        }
        // The name of what is created is not known yet.
        if self.verb != "create" && self.name != self.node {
            return no("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn csi_node(&self) -> Outcome {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.info.subresource.is_empty() {
            return no("cannot authorize CSINode subresources");
        }
        if self.verb != "create" && self.name != self.node {
            return no("can only access CSINode with the same name as the requesting node");
        }
        Ok(())
    }

    fn slices(&self) -> Outcome {
        if !self.info.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Kind::Slice),
            "watch" | "list" | "deletecollection" => {
                if self.info.selection.field("spec.nodeName") == Some(self.node) {
                    return Ok(());
                }
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }
}

fn no(why: &str) -> Outcome {
    Err(why.to_owned())
}

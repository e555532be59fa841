//! A node changes itself and what runs on it, nothing else.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/admission/noderestriction`.

mod nodes;
mod pods;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_identity::CertificateRequest;
use serde_json::{Value, json};

use crate::admission::{Attributes, Operation};
use crate::authorization::node_of;
use crate::request::Target;
use crate::resources::json::{are_same_but, same, text};
use crate::status::Status;
use crate::storage;

const PODS: Target<'_> = Target { group: "", resource: "pods" };

/// Signers of certificates by which a node is known.
const NODE_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/// What a node asks for.
#[derive(Clone, Copy)]
struct Request<'r, 'a> {
    attributes: &'r Attributes<'a>,
    node: &'r str,
}

pub(super) async fn admit(attributes: &Attributes<'_>) -> Result<(), Status> {
    let Some(node) = node_of(attributes.call.user).filter(|_| attributes.operation != Operation::Connect) else {
        return Ok(());
    };
    if node.is_empty() {
        let user = &attributes.call.user.name;
        return Err(attributes.forbidden(&format!("could not determine node from user \"{user}\"")));
    }
    let request = Request { attributes, node };
    let resource = attributes.call.resource;
    match (&*resource.group, &*resource.name, attributes.subresource()) {
        ("", "pods", "") => request.pod().await,
        ("", "pods", "status") => request.pod_status(),
        ("", "pods", "eviction") => request.eviction().await,
        ("", "pods", other) => {
            request.refuse(&format!("unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => request.a_node(),
        ("", "persistentvolumeclaims", "status") => request.claim_status(),
        ("", "persistentvolumeclaims", _) => request.refuse("may only update PVC status"),
        ("", "serviceaccounts", "token") => request.token().await,
        ("coordination.k8s.io", "leases", _) => request.lease(),
        ("storage.k8s.io", "csinodes", _) => request.own_name("CSINode"),
        ("resource.k8s.io", "resourceslices", _) => request.slice(),
        ("certificates.k8s.io", "certificatesigningrequests", _) => request.certificate(),
        _ => Ok(()),
    }
}

impl Request<'_, '_> {
    fn refuse(&self, why: &str) -> Result<(), Status> {
        Err(self.attributes.forbidden(why))
    }

    fn is(&self, operation: Operation) -> bool {
        self.attributes.operation == operation
    }

    fn unexpected_operation(&self) -> Result<(), Status> {
        self.refuse(&format!("unexpected operation \"{}\"", self.attributes.operation.name()))
    }

    /// An object in the store.
    async fn stored(&self, target: Target<'_>, namespace: &str, name: &str) -> Result<Value, Status> {
        storage::decode(&*storage::entry(self.attributes.call.server, &target, namespace, name).await?)
    }

    fn lease(&self) -> Result<(), Status> {
        if self.attributes.call.namespace() != "kube-node-lease" {
            return self.refuse("can only access leases in the \"kube-node-lease\" system namespace");
        }
        self.own_name("node lease")
    }

    fn own_name(&self, what: &str) -> Result<(), Status> {
        if self.attributes.name == self.node {
            return Ok(());
        }
        self.refuse(&format!("can only access {what} with the same name as the requesting node"))
    }

    /// What a node says of a claim whose volume it resizes.
    fn claim_status(&self) -> Result<(), Status> {
        const ITS_OWN: [(&str, &[&str]); 2] = [
            ("metadata", &["resourceVersion", "managedFields"]),
            ("status", &["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"]),
        ];
        if !self.is(Operation::Update) {
            return self.unexpected_operation();
        }
        let is_kept = |field: &str, new: &Value, old: &Value| {
            let own = ITS_OWN.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, own)| own);
            are_same_but(new, old, own, |_, new, old| same(new, old))
        };
        let empty = json!({});
        let (new, old) = (&self.attributes.new, self.attributes.old);
        let [new, old] = [new, old].map(|claim| |field: &str| claim.get(field).unwrap_or(&empty));
        if ["metadata", "spec", "status"].into_iter().all(|field| is_kept(field, new(field), old(field))) {
            return Ok(());
        }
        self.refuse(&format!(
            "node \"{}\" is not allowed to update fields other than status.quantity and status.conditions",
            self.node
        ))
    }

    /// Changes are of slices that are the node's: that was looked at before.
    fn slice(&self) -> Result<(), Status> {
        let (verb, slice) = match self.attributes.operation {
            Operation::Create => ("create", &self.attributes.new),
            Operation::Delete => ("delete", self.attributes.old),
            Operation::Update | Operation::Connect => return Ok(()),
        };
        if slice["spec"]["nodeName"] == self.node {
            return Ok(());
        }
        self.refuse(&format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
    }

    /// Of certificates by which nodes are known, a node asks for its own.
    fn certificate(&self) -> Result<(), Status> {
        let spec = &self.attributes.new["spec"];
        if !self.is(Operation::Create) || !NODE_SIGNERS.contains(&text(&spec["signerName"])) {
            return Ok(());
        }
        let pem = STANDARD.decode(text(&spec["request"])).unwrap_or_default();
        let name = format!("system:node:{}", self.node);
        match CertificateRequest::from_pem(&pem) {
            Err(error) => self.refuse(&format!("unable to parse csr: {error}")),
            Ok(request) if request.common_name == name => Ok(()),
            Ok(_) => self.refuse(&format!("can only create a node CSR with CN={name}")),
        }
    }
}

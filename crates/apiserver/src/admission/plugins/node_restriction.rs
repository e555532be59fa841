//! A node changes itself and what runs on it, nothing else.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/admission/noderestriction`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::authorization::node_of;
use crate::endpoint::metadata;
use crate::status::Status;
use crate::storage;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels that a node may give itself although they are Kubernetes' own.
const OWN_LABELS: [&str; 13] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

const OWN_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(super) async fn admit(attributes: &Attributes<'_>) -> Result<(), Status> {
    let Some(node) = node_of(attributes.call.user) else { return Ok(()) };
    let checked = match (&*attributes.call.resource.group, &*attributes.call.resource.name) {
        ("", "pods") => match attributes.subresource() {
            "" => pod(attributes, node),
            "status" => pod_status(attributes, node),
            "eviction" => eviction(attributes, node).await?,
            other if attributes.operation == Operation::Connect => {
                Err(format!("unexpected pod subresource \"{other}\""))
            }
            _ => Ok(()),
        },
        ("", "nodes") => a_node(attributes, node),
        ("", "persistentvolumeclaims") if attributes.subresource() == "status" => claim_status(attributes, node),
        ("", "serviceaccounts") if attributes.subresource() == "token" => token(attributes, node).await?,
        ("coordination.k8s.io", "leases") => lease(attributes, node),
        ("storage.k8s.io", "csinodes") => own_name(attributes, node, "CSINode"),
        _ => Ok(()),
    };
    checked.map_err(|why| attributes.forbidden(&why))
}

fn place(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

fn pod(attributes: &Attributes<'_>, node: &str) -> Result<(), String> {
    match attributes.operation {
        Operation::Create => mirror_pod(&attributes.new, node),
        Operation::Delete if place(attributes.old) != node => {
            Err(format!("node \"{node}\" can only delete pods with spec.nodeName set to itself"))
        }
        Operation::Delete => Ok(()),
        Operation::Update | Operation::Connect => Err(format!(
            "unexpected operation \"{}\", node \"{node}\" can only create and delete mirror pods",
            attributes.operation.name()
        )),
    }
}

/// A node creates pods only to show what it runs by itself.
fn mirror_pod(pod: &Value, node: &str) -> Result<(), String> {
    if pod["metadata"]["annotations"].get(MIRROR).is_none() {
        return Err(format!("pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods"));
    }
    if place(pod) != node {
        return Err(format!("node \"{node}\" can only create pods with spec.nodeName set to itself"));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_own = |owner: &Value| {
        owner["apiVersion"] == "v1" && owner["kind"] == "Node" && owner["name"] == node && owner["controller"] == true
    };
    match owners {
        [owner] if is_own(owner) => {}
        [] | [_] => return Err(format!("node \"{node}\" can only create pods with an owner reference set to itself")),
        _ => {
            return Err(format!("node \"{node}\" can only create pods with a single owner reference set to itself"));
        }
    }
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    if !account.is_empty() {
        return Err(format!("node \"{node}\" can not create pods that reference a service account"));
    }
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        for (field, words) in
            [("secret", "secrets"), ("configMap", "configmaps"), ("persistentVolumeClaim", "persistentvolumeclaims")]
        {
            if volume[field].is_object() {
                return Err(format!("node \"{node}\" can not create pods that reference {words}"));
            }
        }
    }
    Ok(())
}

fn pod_status(attributes: &Attributes<'_>, node: &str) -> Result<(), String> {
    if attributes.operation != Operation::Update {
        return Err(format!("unexpected operation \"{}\"", attributes.operation.name()));
    }
    if place(attributes.old) != node {
        return Err(format!("node \"{node}\" can only update pod status for pods with spec.nodeName set to itself"));
    }
    if attributes.new["metadata"]["labels"] != attributes.old["metadata"]["labels"] {
        return Err(format!("node \"{node}\" cannot update labels through pod status"));
    }
    Ok(())
}

async fn eviction(attributes: &Attributes<'_>, node: &str) -> Result<Result<(), String>, Status> {
    let (server, namespace) = (attributes.call.server, attributes.call.namespace());
    let found = storage::find(server, "", "pods", namespace, &attributes.name).await?;
    // Who evicts a pod that is not there hears that it is not there.
    let Some(entry) = found else { return Ok(Ok(())) };
    let pod = storage::decode(&entry)?;
    if place(&pod) == node {
        return Ok(Ok(()));
    }
    Ok(Err(format!("node {node} can only evict pods with spec.nodeName set to itself")))
}

fn a_node(attributes: &Attributes<'_>, node: &str) -> Result<(), String> {
    let (new, old) = (&attributes.new, attributes.old);
    let name = attributes.name.as_str();
    match attributes.operation {
        Operation::Create => {
            labels(node, new, &Value::Null)?;
            if new["spec"]["configSource"].is_object() {
                return Err(format!("node \"{node}\" is not allowed to create pods with a non-nil configSource"));
            }
        }
        Operation::Update => {
            if name == node && new["metadata"]["ownerReferences"] != old["metadata"]["ownerReferences"] {
                return Err(format!("node \"{node}\" is not allowed to modify ownerReferences"));
            }
            if new["spec"]["taints"] != old["spec"]["taints"] && attributes.subresource().is_empty() {
                return Err(format!("node \"{node}\" is not allowed to modify taints"));
            }
            labels(node, new, old)?;
        }
        Operation::Delete | Operation::Connect => {}
    }
    if name == node { Ok(()) } else { Err(format!("node \"{node}\" is not allowed to modify node \"{name}\"")) }
}

/// A node does not choose labels by which others choose nodes.
fn labels(node: &str, new: &Value, old: &Value) -> Result<(), String> {
    let (new, old) = (&new["metadata"]["labels"], &old["metadata"]["labels"]);
    let keys =
        |labels: &Value| labels.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let changed: BTreeSet<String> =
        keys(new).into_iter().chain(keys(old)).filter(|key| new.get(key) != old.get(key)).collect();
    let bad: Vec<String> = changed.into_iter().filter(|key| !is_own_label(key)).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(format!("is not allowed to modify labels: {}", bad.join(", ")))
        .map_err(|why: String| format!("node \"{node}\" {why}"))
}

fn is_own_label(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    let is_official = within("kubernetes.io") || within("k8s.io");
    !is_official || OWN_LABELS.contains(&key) || OWN_PREFIXES.iter().any(|prefix| within(prefix))
}

fn claim_status(attributes: &Attributes<'_>, node: &str) -> Result<(), String> {
    if attributes.operation != Operation::Update {
        return Err(format!("unexpected operation \"{}\"", attributes.operation.name()));
    }
    let without_status = |claim: &Value| {
        let mut claim = claim.clone();
        if let Some(fields) = claim.as_object_mut() {
            fields.remove("status");
        }
        let fields = metadata::of(&mut claim);
        for name in ["managedFields", "resourceVersion", "generation"] {
            fields.remove(name);
        }
        claim
    };
    if without_status(&attributes.new) == without_status(attributes.old) {
        return Ok(());
    }
    Err(format!("node \"{node}\" is not allowed to update fields other than status"))
}

/// A node asks for tokens of its own pods only.
async fn token(attributes: &Attributes<'_>, node: &str) -> Result<Result<(), String>, Status> {
    let reference = &attributes.new["spec"]["boundObjectRef"];
    if reference["kind"] != "Pod" || reference["apiVersion"] != "v1" || reference["name"].as_str().is_none() {
        return Ok(Err(format!("node requested token not bound to a pod (node \"{node}\")")));
    }
    if reference["uid"].as_str().is_none_or(str::is_empty) {
        return Ok(Err(format!("node requested token with a pod binding without a uid (node \"{node}\")")));
    }
    let (server, namespace) = (attributes.call.server, attributes.call.namespace());
    let name = reference["name"].as_str().unwrap_or_default();
    let found = storage::find(server, "", "pods", namespace, name).await?;
    let Some(entry) = found else { return Ok(Err(format!("pod \"{name}\" not found"))) };
    let pod = storage::decode(&entry)?;
    if reference["uid"].as_str() != Some(metadata::text(&pod, "uid")) {
        let (given, found) = (reference["uid"].as_str().unwrap_or_default(), metadata::text(&pod, "uid"));
        return Ok(Err(format!(
            "the UID in the bound object reference ({given}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
        )));
    }
    if place(&pod) == node {
        Ok(Ok(()))
    } else {
        Ok(Err("node requested token bound to a pod scheduled on a different node".into()))
    }
}

fn lease(attributes: &Attributes<'_>, node: &str) -> Result<(), String> {
    if attributes.call.namespace() != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".into());
    }
    let name = attributes.name.as_str();
    if name == node {
        return Ok(());
    }
    Err(if attributes.operation == Operation::Create {
        format!("can only access node lease with the same name as the requesting node (\"{node}\")")
    } else {
        format!("can only access node lease with the same name as the requesting node \"{node}\"")
    })
}

fn own_name(attributes: &Attributes<'_>, node: &str, kind: &str) -> Result<(), String> {
    if attributes.name == node {
        Ok(())
    } else {
        Err(format!("can only access {kind} with the same name as the requesting node"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gives_itself_only_labels_that_bind_nobody() {
        let cases = [
            ("kubernetes.io/hostname", true),
            ("node.kubernetes.io/anything", true),
            ("kubelet.kubernetes.io/x", true),
            ("example.com/x", true),
            ("plain", true),
            ("node-role.kubernetes.io/control-plane", false),
            ("node-restriction.kubernetes.io/x", false),
            ("x.node-restriction.kubernetes.io/x", false),
            ("k8s.io/x", false),
        ];
        for (key, allowed) in cases {
            assert_eq!(is_own_label(key), allowed, "{key}");
        }
    }
}

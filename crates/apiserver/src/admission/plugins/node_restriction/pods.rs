//! Pods of the node.

use serde_json::Value;

use super::{PODS, Request};
use crate::admission::Operation;
use crate::authorization::{Kind, referred_kinds};
use crate::request::Target;
use crate::resources::core::pod::MIRROR;
use crate::resources::json::{entries, items, same, text};
use crate::status::Status;

pub(super) fn place(pod: &Value) -> &str {
    text(&pod["spec"]["nodeName"])
}

impl Request<'_, '_> {
    pub(super) async fn pod(&self) -> Result<(), Status> {
        let node = self.node;
        match self.attributes.operation {
            Operation::Create => self.mirror_pod(&self.attributes.new).await,
            Operation::Delete if place(self.attributes.old) != node => {
                self.refuse(&format!("node \"{node}\" can only delete pods with spec.nodeName set to itself"))
            }
            Operation::Delete => Ok(()),
            Operation::Update | Operation::Connect => self.refuse(&format!(
                "unexpected operation \"{}\", node \"{node}\" can only create and delete mirror pods",
                self.attributes.operation.name()
            )),
        }
    }

    /// A node creates pods only to show what it runs by itself.
    async fn mirror_pod(&self, pod: &Value) -> Result<(), Status> {
        let node = self.node;
        let only = |what: &str| self.refuse(&format!("node \"{node}\" can only create pods with {what}"));
        if pod["metadata"]["annotations"].get(MIRROR).is_none() {
            let why = format!("pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods");
            return self.refuse(&why);
        }
        if place(pod) != node {
            return only("spec.nodeName set to itself");
        }
        let owner = match items(&pod["metadata"]["ownerReferences"]) {
            [owner] => owner,
            [] => return only("an owner reference set to itself"),
            _ => return only("a single owner reference set to itself"),
        };
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
            return only("an owner reference set to itself");
        }
        if owner["controller"] != true {
            return only("a controller owner reference set to itself");
        }
        if owner["blockOwnerDeletion"] == true {
            return self.refuse(&format!("node \"{node}\" must not set blockOwnerDeletion on an owner reference"));
        }
        let stored = self.stored(Target::NODES, "", node).await?;
        let [given, known] = [&owner["uid"], &stored["metadata"]["uid"]].map(text);
        if given != known {
            // Upstream calls expected what the pod says.
            return self.refuse(&format!("node {node} UID mismatch: expected {given} got {known}"));
        }
        match referred(&pod["spec"]) {
            None => Ok(()),
            Some(what) => self.refuse(&format!("node \"{node}\" can not create pods that reference {what}")),
        }
    }

    pub(super) fn pod_status(&self) -> Result<(), Status> {
        let (node, new, old) = (self.node, &self.attributes.new, self.attributes.old);
        if !self.is(Operation::Update) {
            return self.unexpected_operation();
        }
        let why = if place(old) != node {
            "can only update pod status for pods with spec.nodeName set to itself"
        } else if !same(&new["metadata"]["labels"], &old["metadata"]["labels"]) {
            "cannot update labels through pod status"
        } else if !items(&new["status"]["resourceClaimStatuses"]).iter().map(claim).eq(items(
            &old["status"]["resourceClaimStatuses"],
        )
        .iter()
        .map(claim))
        {
            "cannot update resource claim statues"
        } else if extended_claim(&new["status"]) != extended_claim(&old["status"]) {
            "cannot update extended resource claim status"
        } else {
            return Ok(());
        };
        self.refuse(&format!("node \"{node}\" {why}"))
    }

    pub(super) async fn eviction(&self) -> Result<(), Status> {
        if !self.is(Operation::Create) {
            return self.unexpected_operation();
        }
        let pod = self.stored(PODS, self.attributes.call.namespace(), &self.attributes.name).await?;
        if place(&pod) == self.node {
            return Ok(());
        }
        self.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }
}

fn claim(status: &Value) -> [Option<&str>; 2] {
    ["name", "resourceClaimName"].map(|field| status[field].as_str())
}

/// The claim that was made for extended resources, and which containers have what of it.
fn extended_claim(status: &Value) -> Option<(&str, &[Value])> {
    let status = Some(&status["extendedResourceClaimStatus"]).filter(|status| !status.is_null())?;
    Some((text(&status["resourceClaimName"]), items(&status["requestMappings"])))
}

/// What a pod refers to that the node would have to read from the API.
fn referred(spec: &Value) -> Option<&'static str> {
    const KINDS: [(Kind, &str); 3] =
        [(Kind::ServiceAccount, "serviceaccounts"), (Kind::Secret, "secrets"), (Kind::ConfigMap, "configmaps")];
    let referred = referred_kinds(spec);
    if let Some((_, what)) = KINDS.iter().find(|(kind, _)| referred.contains(kind)) {
        return Some(what);
    }
    if !items(&spec["resourceClaims"]).is_empty() {
        return Some("resourceclaims");
    }
    items(&spec["volumes"]).iter().flat_map(entries).find_map(|(source, volume)| match source {
        "configMap" => Some("configmaps (via configmap volumes)"),
        "secret" => Some("secrets (via secret volumes)"),
        "csi" => Some("csidrivers (via CSI volumes)"),
        "glusterfs" => Some("endpoints (via glusterFS volumes)"),
        "persistentVolumeClaim" => Some("persistentvolumeclaims"),
        "ephemeral" => Some("persistentvolumeclaims (via ephemeral volumes)"),
        "azureFile" => Some("secrets (via azureFile volumes)"),
        "projected" => items(&volume["sources"]).iter().flat_map(entries).find_map(|(source, _)| match source {
            "configMap" => Some("configmaps (via projected volumes)"),
            "secret" => Some("secrets (via projected volumes)"),
            "serviceAccountToken" => Some("serviceaccounts (via projected volumes)"),
            "clusterTrustBundle" => Some("clustertrustbundles"),
            "podCertificate" => Some("podcertificates"),
            _ => None,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_node_would_have_to_read_is_told() {
        let volume = |source: &str, volume: Value| json!({"volumes": [{"name": "v", source: volume}]});
        for (spec, expected) in [
            (json!({}), ""),
            (json!({"serviceAccountName": "a"}), "serviceaccounts"),
            (json!({"imagePullSecrets": [{"name": "a"}]}), "secrets"),
            (json!({"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "a"}}}]}]}), "configmaps"),
            (json!({"resourceClaims": [{"name": "a"}]}), "resourceclaims"),
            (volume("emptyDir", json!({})), ""),
            (volume("hostPath", json!({"path": "/"})), ""),
            (volume("secret", json!({"secretName": "a"})), "secrets"),
            (volume("configMap", json!({"name": "a"})), "configmaps"),
            (volume("configMap", json!({})), "configmaps (via configmap volumes)"),
            (volume("csi", json!({"driver": "d"})), "csidrivers (via CSI volumes)"),
            (volume("persistentVolumeClaim", json!({"claimName": "a"})), "persistentvolumeclaims"),
            (volume("ephemeral", json!({})), "persistentvolumeclaims (via ephemeral volumes)"),
            (
                volume("projected", json!({"sources": [{"downwardAPI": {}}, {"serviceAccountToken": {"path": "t"}}]})),
                "serviceaccounts (via projected volumes)",
            ),
        ] {
            assert_eq!(referred(&spec).unwrap_or_default(), expected, "{spec}");
        }
    }
}

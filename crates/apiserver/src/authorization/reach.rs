//! What the pods of a node refer to: the only secrets, ConfigMaps, claims and so on that it may read.

use std::collections::{HashMap, HashSet, hash_map};
use std::sync::Arc;

use bytes::Bytes;
use portolan_api::encoded::string_at;
use portolan_store::{Entry, EventKind};
use serde::Deserialize;
use serde_json::Value;

use super::followed::View;
use crate::resources::core::pod::MIRROR;

/// Keys of all pods.
pub(super) const PREFIX: &str = "/registry/core/pods/";

/// A kind of object that pods refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Secret,
    ConfigMap,
    ServiceAccount,
    Pod,
    /// A PersistentVolumeClaim.
    Claim,
    ResourceClaim,
    /// A PersistentVolume, which leads to a claim.
    Volume,
    /// A VolumeAttachment, which names its node.
    Attachment,
    /// A ResourceSlice, which names its node.
    Slice,
}

impl Kind {
    /// The kind with this name in a path.
    pub(super) fn of_resource(group: &str, resource: &str) -> Option<Self> {
        match (group, resource) {
            ("", "secrets") => Some(Self::Secret),
            ("", "configmaps") => Some(Self::ConfigMap),
            ("", "serviceaccounts") => Some(Self::ServiceAccount),
            ("", "pods") => Some(Self::Pod),
            ("", "persistentvolumeclaims") => Some(Self::Claim),
            ("", "persistentvolumes") => Some(Self::Volume),
            ("resource.k8s.io", "resourceclaims") => Some(Self::ResourceClaim),
            ("resource.k8s.io", "resourceslices") => Some(Self::Slice),
            ("storage.k8s.io", "volumeattachments") => Some(Self::Attachment),
            _ => None,
        }
    }
}

/// A node needs an object for one of its pods.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Need {
    node: String,
    kind: Kind,
    namespace: String,
    name: String,
}

/// Which node needs what, by the pods that are bound to it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pods: HashMap<Bytes, Bound>,
    /// How many pods give rise to each need.
    needs: HashMap<Arc<Need>, usize>,
}

/// A pod that has a node.
#[derive(Debug)]
struct Bound {
    uid: String,
    node: String,
    needs: Vec<Arc<Need>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: HashMap<String, String>,
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    resource_claim_statuses: Vec<Value>,
    extended_resource_claim_status: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    service_account_name: String,
    image_pull_secrets: Vec<Value>,
    volumes: Vec<Value>,
    resource_claims: Vec<Value>,
    containers: Vec<Value>,
    init_containers: Vec<Value>,
    ephemeral_containers: Vec<Value>,
}

impl Reach {
    /// Whether a node needs an object.
    pub(super) fn needs(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        if kind == Kind::Pod {
            let key = format!("{PREFIX}{namespace}/{name}");
            return self.pods.get(key.as_bytes()).is_some_and(|bound| bound.node == node);
        }
        let need = Need { node: node.to_owned(), kind, namespace: namespace.to_owned(), name: name.to_owned() };
        self.needs.contains_key(&need)
    }

    fn add(&mut self, key: Bytes, pod: &Pod) {
        let mut needs = Vec::new();
        pod.references(&mut |kind, name| {
            let (node, namespace) = (pod.spec.node_name.clone(), pod.metadata.namespace.clone());
            let need = Arc::new(Need { node, kind, namespace, name: name.to_owned() });
            if !needs.contains(&need) {
                needs.push(need);
            }
        });
        for need in &mut needs {
            // All pods share one copy.
            match self.needs.entry(need.clone()) {
                hash_map::Entry::Occupied(mut known) => {
                    *need = known.key().clone();
                    *known.get_mut() += 1;
                }
                hash_map::Entry::Vacant(new) => drop(new.insert(1)),
            }
        }
        self.pods.insert(key, Bound { uid: pod.metadata.uid.clone(), node: pod.spec.node_name.clone(), needs });
    }

    fn remove(&mut self, key: &Bytes) {
        for need in self.pods.remove(key).into_iter().flat_map(|bound| bound.needs) {
            if let Some(count) = self.needs.get_mut(&need) {
                *count -= 1;
                if *count == 0 {
                    self.needs.remove(&need);
                }
            }
        }
    }
}

impl View for Reach {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        if kind == EventKind::Delete {
            return self.remove(&entry.key);
        }
        if let Some(bound) = self.pods.get(&entry.key) {
            // What a bound pod refers to changes only with its ephemeral containers and the claims made for it.
            let same = string_at(&entry.value, &["metadata", "uid"]).as_deref() == Some(&bound.uid);
            let changing = ["\"ephemeralContainers\":", "ClaimStatus"];
            if same && !changing.iter().any(|part| contains(&entry.value, part.as_bytes())) {
                return;
            }
            self.remove(&entry.key);
        }
        if string_at(&entry.value, &["spec", "nodeName"]).is_none_or(|node| node.is_empty()) {
            return;
        }
        match serde_json::from_slice::<Pod>(&entry.value) {
            Ok(pod) => self.add(entry.key.clone(), &pod),
            // It gives its node no rights.
            Err(error) => tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a pod cannot be read"),
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Pod {
    /// Shows everything that a pod refers to.
    fn references(&self, visit: &mut impl FnMut(Kind, &str)) {
        // What a node makes must not give it rights.
        if self.metadata.annotations.contains_key(MIRROR) {
            return;
        }
        self.spec.references(visit);
        for volume in &self.spec.volumes {
            if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                visit(Kind::Claim, claim);
            } else if volume["ephemeral"].is_object() {
                visit(Kind::Claim, &format!("{}-{}", self.metadata.name, volume["name"].as_str().unwrap_or_default()));
            }
        }
        let made = self.status.resource_claim_statuses.iter().chain([&self.status.extended_resource_claim_status]);
        for claim in self.spec.resource_claims.iter().chain(made) {
            if let Some(name) = claim["resourceClaimName"].as_str() {
                visit(Kind::ResourceClaim, name);
            }
        }
    }
}

/// Which of service accounts, secrets and ConfigMaps a pod refers to by what it is made of.
pub(crate) fn referred_kinds(spec: &Value) -> HashSet<Kind> {
    let mut kinds = HashSet::new();
    // What is no such text refers to nothing: it was refused, or will be.
    let spec = Spec::deserialize(spec).unwrap_or_default();
    spec.references(&mut |kind, _| {
        kinds.insert(kind);
    });
    kinds
}

impl Spec {
    /// Shows the service account, secrets and ConfigMaps that a pod refers to.
    fn references(&self, visit: &mut impl FnMut(Kind, &str)) {
        let mut show = |kind: Kind, name: &Value| {
            if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
                visit(kind, name);
            }
        };
        show(Kind::ServiceAccount, &Value::from(self.service_account_name.as_str()));
        for secret in &self.image_pull_secrets {
            show(Kind::Secret, &secret["name"]);
        }
        for (source, volume) in self.volumes.iter().filter_map(Value::as_object).flatten() {
            match source.as_str() {
                "secret" => show(Kind::Secret, &volume["secretName"]),
                "configMap" => show(Kind::ConfigMap, &volume["name"]),
                "projected" => {
                    for part in volume["sources"].as_array().into_iter().flatten() {
                        show(Kind::Secret, &part["secret"]["name"]);
                        show(Kind::ConfigMap, &part["configMap"]["name"]);
                    }
                }
                // Plugins for storage name their credentials in one of these ways.
                _ => {
                    show(Kind::Secret, &volume["secretName"]);
                    show(Kind::Secret, &volume["secretRef"]["name"]);
                    show(Kind::Secret, &volume["nodePublishSecretRef"]["name"]);
                }
            }
        }
        for container in self.containers.iter().chain(&self.init_containers).chain(&self.ephemeral_containers) {
            for variable in container["env"].as_array().into_iter().flatten() {
                show(Kind::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
                show(Kind::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
            }
            for source in container["envFrom"].as_array().into_iter().flatten() {
                show(Kind::Secret, &source["secretRef"]["name"]);
                show(Kind::ConfigMap, &source["configMapRef"]["name"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_store::Revision;
    use serde_json::json;

    use super::*;

    fn entry(name: &str, uid: &str, spec: &Value) -> Entry {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "shop", "uid": uid}, "spec": spec});
        Entry {
            key: format!("{PREFIX}shop/{name}").into(),
            value: pod.to_string().into(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version: 1,
            lease: None,
        }
    }

    fn list(reach: &Reach) -> String {
        let mut lines: Vec<String> = reach
            .needs
            .iter()
            .map(|(need, count)| format!("{} {:?} {}/{} x{count}", need.node, need.kind, need.namespace, need.name))
            .collect();
        lines.sort();
        lines.join("; ")
    }

    #[test]
    fn every_reference_of_a_bound_pod_counts() {
        let cases = [
            (json!({"serviceAccountName": "a"}), "n1 ServiceAccount shop/a x1"),
            (json!({"imagePullSecrets": [{"name": "a"}]}), "n1 Secret shop/a x1"),
            (json!({"volumes": [{"name": "v", "secret": {"secretName": "a"}}]}), "n1 Secret shop/a x1"),
            (json!({"volumes": [{"name": "v", "configMap": {"name": "a"}}]}), "n1 ConfigMap shop/a x1"),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "b"}}]}}]}),
                "n1 ConfigMap shop/b x1; n1 Secret shop/a x1",
            ),
            (
                json!({"volumes": [{"name": "v", "csi": {"nodePublishSecretRef": {"name": "a"}}}]}),
                "n1 Secret shop/a x1",
            ),
            (
                json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "a"}}}, {"valueFrom": {"configMapKeyRef": {"name": "b"}}}]}]}),
                "n1 ConfigMap shop/b x1; n1 Secret shop/a x1",
            ),
            (json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}]}), "n1 Secret shop/a x1"),
            (
                json!({"ephemeralContainers": [{"envFrom": [{"configMapRef": {"name": "a"}}]}]}),
                "n1 ConfigMap shop/a x1",
            ),
            (json!({"volumes": [{"name": "v", "emptyDir": {}}]}), ""),
            (json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "a"}}]}), "n1 Claim shop/a x1"),
            (json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]}), "n1 Claim shop/p-v x1"),
            (
                json!({"resourceClaims": [{"name": "r", "resourceClaimName": "a"}, {"name": "s", "resourceClaimTemplateName": "t"}]}),
                "n1 ResourceClaim shop/a x1",
            ),
        ];
        for (spec, expected) in cases {
            let mut reach = Reach::default();
            reach.take(&entry("p", "u", &spec), EventKind::Put);
            assert_eq!(list(&reach), "", "it has no node yet: {spec}");
            let mut bound = spec.clone();
            bound["nodeName"] = "n1".into();
            reach.take(&entry("p", "u", &bound), EventKind::Put);
            assert_eq!(list(&reach), expected, "{spec}");
            reach.take(&entry("p", "u", &bound), EventKind::Delete);
            assert_eq!(list(&reach), "");
        }
    }

    #[test]
    fn a_need_lasts_as_long_as_a_pod_has_it() {
        let spec = |secret: &str| json!({"nodeName": "n1", "imagePullSecrets": [{"name": secret}]});
        let mut reach = Reach::default();
        reach.take(&entry("p", "u1", &spec("a")), EventKind::Put);
        reach.take(&entry("q", "u2", &spec("a")), EventKind::Put);
        // A later version of the same pod, for example its status.
        reach.take(&entry("p", "u1", &spec("a")), EventKind::Put);
        assert_eq!(list(&reach), "n1 Secret shop/a x2");
        assert!(reach.needs("n1", Kind::Secret, "shop", "a"));
        assert!(!reach.needs("n2", Kind::Secret, "shop", "a") && !reach.needs("n1", Kind::Secret, "other", "a"));
        // Another pod of the same name, whose deletion was not seen.
        reach.take(&entry("p", "u3", &spec("b")), EventKind::Put);
        assert_eq!(list(&reach), "n1 Secret shop/a x1; n1 Secret shop/b x1");
        reach.take(&entry("q", "u2", &spec("a")), EventKind::Delete);
        assert_eq!(list(&reach), "n1 Secret shop/b x1");
    }
}

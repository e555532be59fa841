//! What is bound to a node, or to a claim of its pods, by an object of its own.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use portolan_api::encoded::string_at;
use portolan_store::{Entry, EventKind};
use serde_json::Value;

use super::followed::View;

/// Keys of all volumes.
pub(super) const VOLUMES: &str = "/registry/core/persistentvolumes/";
/// Keys of all attachments.
pub(super) const ATTACHMENTS: &str = "/registry/storage.k8s.io/volumeattachments/";
/// Keys of all resource slices.
pub(super) const SLICES: &str = "/registry/resource.k8s.io/resourceslices/";

/// Namespace and name.
type Id = (String, String);

/// Which claim each volume is bound to, and the secrets that a node needs to mount it.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    volumes: HashMap<Bytes, Volume>,
    by_secret: HashMap<Id, HashSet<Bytes>>,
}

#[derive(Debug)]
struct Volume {
    claim: Id,
    secrets: Vec<Id>,
}

impl Volumes {
    /// The claim of a volume.
    pub(super) fn claim_of(&self, name: &str) -> Option<&Id> {
        let key = [VOLUMES.as_bytes(), name.as_bytes()].concat();
        Some(&self.volumes.get(&key[..])?.claim)
    }

    /// The claims of all volumes that need a secret.
    pub(super) fn claims_with_secret(&self, namespace: &str, name: &str) -> impl Iterator<Item = &Id> {
        let id = (namespace.to_owned(), name.to_owned());
        let keys = self.by_secret.get(&id).into_iter().flatten();
        keys.filter_map(|key| Some(&self.volumes.get(key)?.claim))
    }

    fn remove(&mut self, key: &Bytes) {
        for secret in self.volumes.remove(key).into_iter().flat_map(|volume| volume.secrets) {
            if let Some(keys) = self.by_secret.get_mut(&secret) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_secret.remove(&secret);
                }
            }
        }
    }
}

impl View for Volumes {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        self.remove(&entry.key);
        if kind == EventKind::Delete || string_at(&entry.value, &["spec", "claimRef", "name"]).is_none() {
            return;
        }
        match serde_json::from_slice::<Value>(&entry.value) {
            Ok(volume) => {
                let volume = Volume::of(&volume["spec"]);
                for secret in &volume.secrets {
                    self.by_secret.entry(secret.clone()).or_default().insert(entry.key.clone());
                }
                self.volumes.insert(entry.key.clone(), volume);
            }
            // It gives no node any rights.
            Err(error) => {
                tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a volume cannot be read");
            }
        }
    }
}

impl Volume {
    fn of(spec: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let claim = (text(&spec["claimRef"]["namespace"]), text(&spec["claimRef"]["name"]));
        let mut secrets = Vec::new();
        let mut add = |namespace: &Value, name: &Value| {
            if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
                let namespace = namespace.as_str().filter(|namespace| !namespace.is_empty()).unwrap_or(&claim.0);
                secrets.push((namespace.to_owned(), name.to_owned()));
            }
        };
        let file = &spec["azureFile"];
        add(&file["secretNamespace"], &file["secretName"]);
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            let reference = &spec[source]["secretRef"];
            add(&reference["namespace"], &reference["name"]);
        }
        // The other secrets of a driver are for its controller.
        for name in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
            let reference = &spec["csi"][name];
            add(&reference["namespace"], &reference["name"]);
        }
        Self { claim, secrets }
    }
}

/// The node that each object of a kind names.
#[derive(Debug, Default)]
pub(super) struct OfNodes(HashMap<Bytes, String>);

impl OfNodes {
    /// Whether the object at a key names this node.
    pub(super) fn has(&self, prefix: &str, name: &str, node: &str) -> bool {
        let key = [prefix.as_bytes(), name.as_bytes()].concat();
        self.0.get(&key[..]).is_some_and(|found| found == node)
    }
}

impl View for OfNodes {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let node = string_at(&entry.value, &["spec", "nodeName"]).filter(|node| !node.is_empty());
        match node.filter(|_| kind != EventKind::Delete) {
            Some(node) => drop(self.0.insert(entry.key.clone(), node.to_string())),
            None => drop(self.0.remove(&entry.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_store::Revision;
    use serde_json::json;

    use super::*;

    fn entry(prefix: &str, name: &str, spec: &Value) -> Entry {
        Entry {
            key: format!("{prefix}{name}").into(),
            value: json!({"metadata": {"name": name}, "spec": spec}).to_string().into(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version: 1,
            lease: None,
        }
    }

    #[test]
    fn a_volume_leads_from_its_secrets_to_its_claim() {
        let claim = json!({"namespace": "shop", "name": "data"});
        let secret = |name: &str| json!({"namespace": "kube-system", "name": name});
        let bound = json!({"claimRef": claim, "csi": {"nodeStageSecretRef": secret("s"), "controllerPublishSecretRef": secret("c")}});
        let mut volumes = Volumes::default();
        volumes.take(&entry(VOLUMES, "v", &json!({"csi": {"nodeStageSecretRef": secret("s")}})), EventKind::Put);
        assert_eq!(volumes.claim_of("v"), None, "it is not bound");
        volumes.take(&entry(VOLUMES, "v", &bound), EventKind::Put);
        let id = ("shop".to_owned(), "data".to_owned());
        assert_eq!(volumes.claim_of("v"), Some(&id));
        assert_eq!(volumes.claims_with_secret("kube-system", "s").collect::<Vec<_>>(), [&id]);
        assert_eq!(volumes.claims_with_secret("kube-system", "c").count(), 0);
        volumes.take(&entry(VOLUMES, "v", &bound), EventKind::Delete);
        assert_eq!((volumes.claim_of("v"), volumes.claims_with_secret("kube-system", "s").count()), (None, 0));
    }

    #[test]
    fn an_object_belongs_to_the_node_that_it_names() {
        let mut slices = OfNodes::default();
        slices.take(&entry(SLICES, "a", &json!({"nodeName": "n1"})), EventKind::Put);
        assert!(slices.has(SLICES, "a", "n1") && !slices.has(SLICES, "a", "n2") && !slices.has(SLICES, "b", "n1"));
        slices.take(&entry(SLICES, "a", &json!({"allNodes": true})), EventKind::Put);
        assert!(!slices.has(SLICES, "a", "n1"));
    }
}

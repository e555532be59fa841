//! The object of the node.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Request;
use crate::admission::Operation;
use crate::resources::json::{entries, items};
use crate::status::Status;

/// Labels that a node may give itself although they are Kubernetes' own.
const OWN_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

const OWN_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

impl Request<'_, '_> {
    pub(super) fn a_node(&self) -> Result<(), Status> {
        let (node, name) = (self.node, &self.attributes.name);
        if name != node {
            return self.refuse(&format!("node \"{node}\" is not allowed to modify node \"{name}\""));
        }
        let (new, old) = (&self.attributes.new, self.attributes.old);
        let source = &new["spec"]["configSource"];
        let why = match self.attributes.operation {
            Operation::Create if !source.is_null() => {
                format!("node \"{node}\" is not allowed to create pods with a non-nil configSource")
            }
            Operation::Create => match foreign_labels(new, &Value::Null) {
                None => return Ok(()),
                Some(labels) => format!("node \"{node}\" is not allowed to set the following labels: {labels}"),
            },
            Operation::Update => {
                let differs = |[field, name]: [&str; 2]| items(&new[field][name]) != items(&old[field][name]);
                if !source.is_null() && *source != old["spec"]["configSource"] {
                    format!("node \"{node}\" is not allowed to update configSource to a new non-nil configSource")
                } else if differs(["spec", "taints"]) {
                    format!("node \"{node}\" is not allowed to modify taints")
                } else if differs(["metadata", "ownerReferences"]) {
                    format!("node \"{node}\" is not allowed to modify ownerReferences")
                } else if let Some(labels) = foreign_labels(new, old) {
                    format!("is not allowed to modify labels: {labels}")
                } else {
                    return Ok(());
                }
            }
            Operation::Delete | Operation::Connect => return Ok(()),
        };
        self.refuse(&why)
    }
}

/// The labels that a node changes though others choose nodes by them, if there are any.
fn foreign_labels(new: &Value, old: &Value) -> Option<String> {
    let (new, old) = (&new["metadata"]["labels"], &old["metadata"]["labels"]);
    let keys = entries(new).chain(entries(old)).map(|(key, _)| key);
    let foreign: BTreeSet<&str> = keys.filter(|key| new.get(key) != old.get(key) && !is_own_label(key)).collect();
    (!foreign.is_empty()).then(|| foreign.into_iter().collect::<Vec<_>>().join(", "))
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
            ("failure-domain.beta.kubernetes.io/zone", true),
            ("failure-domain.kubernetes.io/zone", false),
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

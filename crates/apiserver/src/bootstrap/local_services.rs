//! APIServices of what is built in.
//!
//! Source: `DefaultGenericAPIServicePriorities` of `k8s.io/kubernetes/pkg/controlplane/apiserver` and `aggregator.go` of
//! `cmd/kube-apiserver/app`.

use portolan_api::description::builtin;
use serde_json::{Value, json};

/// Groups of Kubernetes and how much each counts.
const GROUPS: [(&str, u32); 20] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// How much versions count that do so otherwise than [`USUAL`].
const VERSIONS: [(&str, &str, u32); 4] = [
    ("", "v1", 1),
    ("autoscaling", "v2", 30),
    ("flowcontrol.apiserver.k8s.io", "v1", 21),
    ("resource.k8s.io", "v1", 21),
];

/// How much a version counts, as most do.
const USUAL: u32 = 15;

/// How much a group counts that Kubernetes does not have.
const FOREIGN: u32 = 15_000;

/// The label of those that this server made when it started.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";

/// The group of the APIServices themselves, of which upstream has none.
const OWN: &str = "apiregistration.k8s.io";

/// One for each version of a group that is built in.
pub(super) fn objects() -> Vec<Value> {
    let versions = builtin().groups().iter().filter(|group| group.name != OWN).flat_map(|group| {
        let name = &*group.name;
        group.versions.iter().map(move |version| object(name, &version.version))
    });
    versions.collect()
}

/// How a stored one must change that nobody else keeps.
pub(super) fn revised(old: &Value, wanted: &Value) -> Option<Value> {
    if old["metadata"]["labels"][MANAGED] != ON_START || old["spec"] == wanted["spec"] {
        return None;
    }
    let mut new = old.clone();
    new["spec"].clone_from(&wanted["spec"]);
    Some(new)
}

fn object(group: &str, version: &str) -> Value {
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": of_group(group), "versionPriority": of_version(group, version),
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: ON_START}}, "spec": spec,
    })
}

fn of_group(group: &str) -> u32 {
    // As the published metrics-server: its `pods` are not what people mean by pods.
    if group == crate::measurements::GROUP {
        return 100;
    }
    GROUPS.iter().find(|(name, _)| *name == group).map_or(FOREIGN, |(_, priority)| *priority)
}

fn of_version(group: &str, version: &str) -> u32 {
    let found = VERSIONS.iter().find(|(of, name, _)| (*of, *name) == (group, version));
    found.map_or(USUAL, |(_, _, priority)| *priority)
}

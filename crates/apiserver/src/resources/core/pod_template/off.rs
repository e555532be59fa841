//! What Kubernetes knows of pods but drops from them unless it is told otherwise: fields behind feature gates that
//! are off.
//!
//! Source: `dropDisabledFields` of `k8s.io/kubernetes/pkg/api/pod`.

use serde_json::{Map, Value};

use crate::resources::json::{object, objects};

/// Kinds that have a pod's spec, and where.
const SPECS: [(&str, &str, &str); 9] = [
    ("", "pods", "/spec"),
    ("", "podtemplates", "/template/spec"),
    ("", "replicationcontrollers", "/spec/template/spec"),
    ("apps", "daemonsets", "/spec/template/spec"),
    ("apps", "deployments", "/spec/template/spec"),
    ("apps", "replicasets", "/spec/template/spec"),
    ("apps", "statefulsets", "/spec/template/spec"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template/spec"),
    ("batch", "jobs", "/spec/template/spec"),
];

/// Drops what is not done from an object of a kind that has a pod's spec.
///
/// To be called when it is known who owns what: who asks for such a field owns it all the same.
pub(crate) fn drop_disabled_of(group: &str, resource: &str, object: &mut Value) {
    let spec = SPECS.iter().find(|(of, name, _)| (*of, *name) == (group, resource));
    if let Some(Value::Object(spec)) = spec.and_then(|(_, _, place)| object.pointer_mut(place)) {
        drop_disabled(spec);
    }
}

/// Drops fields behind `ClusterTrustBundleProjection`, `PodCertificateRequest`, `ContainerStopSignals` and
/// `GenericWorkload` from a pod's spec.
fn drop_disabled(spec: &mut Map<String, Value>) {
    spec.remove("schedulingGroup");
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in objects(spec, list) {
            let Some(lifecycle) = object(container, "lifecycle") else { continue };
            let was_told = lifecycle.remove("stopSignal").is_some_and(|signal| !signal.is_null());
            if was_told && lifecycle.values().all(Value::is_null) {
                container.remove("lifecycle");
            }
        }
    }
    for volume in objects(spec, "volumes") {
        let Some(source) = object(volume, "projected") else { continue };
        for projection in objects(source, "sources") {
            projection.remove("clusterTrustBundle");
            projection.remove("podCertificate");
        }
    }
}

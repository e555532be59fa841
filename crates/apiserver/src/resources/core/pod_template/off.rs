//! What Kubernetes knows of pods but drops from them unless it is told otherwise: fields behind feature gates that
//! are off.
//!
//! Source: `dropDisabledFields` of `k8s.io/kubernetes/pkg/api/pod`.

use serde_json::{Map, Value};

use crate::resources::json::{object, objects};

/// Drops fields behind `ClusterTrustBundleProjection`, `PodCertificateRequest`, `ContainerStopSignals` and
/// `GenericWorkload` from a pod's spec.
pub(super) fn drop_disabled(spec: &mut Map<String, Value>) {
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

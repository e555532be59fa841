//! Quality-of-service class of a pod.

use k8s_openapi::api::core::v1::Pod;
use portolan_api::quota::quality_of_service;

use super::whole::described;

/// How a pod is treated when the machine runs short.
///
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl QosClass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// The class of a pod: as it was classed when it was made, which no resize changes.
pub(crate) fn qos_class(pod: &Pod) -> QosClass {
    let known = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    let computed = || quality_of_service(&described(pod)["spec"]);
    match known.unwrap_or_else(computed) {
        "Guaranteed" => QosClass::Guaranteed,
        "Burstable" => QosClass::Burstable,
        _ => QosClass::BestEffort,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn class_follows_requests_and_limits() {
        let cases = [
            (json!({}), QosClass::BestEffort),
            (json!({"requests": {"cpu": "1"}}), QosClass::Burstable),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), QosClass::Guaranteed),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}),
                QosClass::Guaranteed,
            ),
            (json!({"limits": {"memory": "1Gi"}}), QosClass::Burstable),
        ];
        for (resources, expected) in cases {
            let text = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": resources}]}});
            let pod: Pod = serde_json::from_value(text).expect("the test's pod is valid");
            assert_eq!(qos_class(&pod), expected);
        }
        let known = json!({"metadata": {}, "spec": {"containers": []}, "status": {"qosClass": "Guaranteed"}});
        assert_eq!(qos_class(&serde_json::from_value(known).expect("a pod")), QosClass::Guaranteed);
    }
}

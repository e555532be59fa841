//! Quality-of-service class of a pod.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Role, containers, quantity, spec};

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

/// The class of a pod by the requests and limits of its containers.
pub(crate) fn qos_class(pod: &Pod) -> QosClass {
    let mut any = false;
    let mut guaranteed = true;
    let pod_level = spec(pod).resources.as_ref();
    let pod_level = pod_level.map(|resources| Container { resources: Some(resources.clone()), ..Container::default() });
    let all = match pod_level {
        Some(container) => vec![container],
        None => containers(pod).into_iter().filter(|(role, _)| *role != Role::Ephemeral).map(|(_, c)| c).collect(),
    };
    for container in all {
        let resources = container.resources.unwrap_or_default();
        let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
        let pairs = [
            (quantity::cpu_milli(requests), quantity::cpu_milli(limits)),
            (quantity::memory_bytes(requests), quantity::memory_bytes(limits)),
        ];
        for (request, limit) in pairs {
            let (request, limit) = (request.filter(|value| *value > 0), limit.filter(|value| *value > 0));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.or(limit) == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
    }
}

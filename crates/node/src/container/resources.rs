//! Limits of a container, and of a pod's control group. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_api::typed::Object;
use portolan_runtime::Resources;

use crate::pod::{self, QosClass, Role, quantity};

const CPU_PERIOD_US: u64 = 100_000;
/// Values of `oom_score_adj`, as upstream.
const OOM_GUARANTEED: i64 = -997;
const OOM_BEST_EFFORT: i64 = 1000;

/// Limits of one container.
pub(crate) fn of_container(pod: &Pod, container: &Container, node_memory: u64) -> Resources {
    let resources = container.resources.clone().unwrap_or_default();
    let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
    let cpu_limit = quantity::cpu_milli(limits).filter(|value| *value > 0);
    // A limit alone is also the request.
    let cpu_request = quantity::cpu_milli(requests).or(cpu_limit).unwrap_or(0);
    Resources {
        cpu_shares: shares(cpu_request),
        cpu_quota_us: cpu_limit.map_or(0, quota),
        cpu_period_us: CPU_PERIOD_US,
        memory_limit: quantity::memory_bytes(limits).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        oom_score_adj: oom_score_adj(pod, quantity::memory_bytes(requests).unwrap_or(0), node_memory),
    }
}

/// Limits of the whole pod: the sum of its containers', where all have one.
pub(crate) fn of_pod(pod: &Pod) -> Resources {
    let mut total = Resources { cpu_period_us: CPU_PERIOD_US, ..Resources::default() };
    let (mut cpu_request, mut cpu_limit, mut memory_limit) = (0, Some(0), Some(0));
    for (_, container) in pod::containers(pod).iter().filter(|(role, _)| matches!(role, Role::App | Role::Sidecar)) {
        let resources = container.resources.clone().unwrap_or_default();
        let limit = quantity::cpu_milli(resources.limits.as_ref()).filter(|value| *value > 0);
        cpu_request += quantity::cpu_milli(resources.requests.as_ref()).or(limit).unwrap_or(0);
        cpu_limit = cpu_limit.zip(limit).map(|(sum, limit)| sum + limit);
        let memory = quantity::memory_bytes(resources.limits.as_ref()).filter(|value| *value > 0);
        memory_limit = memory_limit.zip(memory).map(|(sum, limit)| sum + limit);
    }
    // An init container may need more than all that follow it.
    for (_, container) in pod::containers(pod).iter().filter(|(role, _)| *role == Role::Init) {
        let resources = container.resources.clone().unwrap_or_default();
        let limit = quantity::cpu_milli(resources.limits.as_ref()).filter(|value| *value > 0);
        cpu_request = cpu_request.max(quantity::cpu_milli(resources.requests.as_ref()).or(limit).unwrap_or(0));
        cpu_limit = cpu_limit.zip(limit).map(|(sum, limit)| sum.max(limit));
        let memory = quantity::memory_bytes(resources.limits.as_ref()).filter(|value| *value > 0);
        memory_limit = memory_limit.zip(memory).map(|(sum, limit)| sum.max(limit));
    }
    total.cpu_shares = shares(cpu_request);
    total.cpu_quota_us = cpu_limit.map_or(0, quota);
    total.memory_limit = memory_limit.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    total
}

/// The pod's control group under `parent`.
pub(crate) fn cgroup_path(parent: &str, pod: &Pod) -> String {
    let class = match pod::qos_class(pod) {
        QosClass::Guaranteed => "",
        QosClass::Burstable => "/burstable",
        QosClass::BestEffort => "/besteffort",
    };
    format!("{parent}{class}/pod{}", pod.uid())
}

fn shares(milli: i64) -> u64 {
    (u64::try_from(milli).unwrap_or(0) * 1024 / 1000).clamp(2, 262_144)
}

fn quota(milli: i64) -> i64 {
    // The kernel refuses less than a millisecond.
    (milli * 100).max(1000)
}

fn oom_score_adj(pod: &Pod, memory_request: i64, node_memory: u64) -> i64 {
    match pod::qos_class(pod) {
        QosClass::Guaranteed => OOM_GUARANTEED,
        QosClass::BestEffort => OOM_BEST_EFFORT,
        QosClass::Burstable => {
            let node_memory = i64::try_from(node_memory).unwrap_or(i64::MAX).max(1);
            let share = i128::from(memory_request) * 1000 / i128::from(node_memory);
            (1000 - i64::try_from(share).unwrap_or(1000)).clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_follow_the_specification() {
        let cases = [
            (json!({}), (2, 0, 0, 1000)),
            (json!({"requests": {"cpu": "500m"}}), (512, 0, 0, 999)),
            (json!({"limits": {"cpu": "250m", "memory": "64Mi"}}), (256, 25_000, 67_108_864, -997)),
            (json!({"requests": {"memory": "1Gi"}}), (2, 0, 0, 750)),
        ];
        for (resources, expected) in cases {
            let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": resources}]}});
            let pod: Pod = serde_json::from_value(pod).expect("the test's pod is valid");
            let got = of_container(&pod, &pod::spec(&pod).containers[0], 4 << 30);
            assert_eq!((got.cpu_shares, got.cpu_quota_us, got.memory_limit, got.oom_score_adj), expected);
        }
    }
}

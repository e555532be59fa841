//! Limits of a container, and of a pod's control group. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_api::quantity::Quantity;
use portolan_api::quota::Amounts;
use portolan_api::typed::Object;
use portolan_runtime::Resources;

use crate::admission::CRITICAL;
use crate::pod::{self, QosClass, Role, quantity, whole};

const CPU_PERIOD_US: u64 = 100_000;
/// Values of `oom_score_adj`, as upstream.
const OOM_GUARANTEED: i64 = -997;
const OOM_BEST_EFFORT: i64 = 1000;
/// The class of pods that end last.
const NODE_CRITICAL: &str = "system-node-critical";

/// Limits of one container.
pub(crate) fn of_container(pod: &Pod, container: &Container, node_memory: u64) -> Resources {
    let resources = whole::allowed(pod, container);
    let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
    let cpu_limit = quantity::cpu_milli(limits).filter(|value| *value > 0);
    // A limit alone is also the request.
    let cpu_request = quantity::cpu_milli(requests).or(cpu_limit).unwrap_or(0);
    Resources {
        cpu_shares: shares(cpu_request),
        cpu_quota_us: cpu_limit.map_or(0, quota),
        cpu_period_us: CPU_PERIOD_US,
        memory_limit: quantity::memory_bytes(limits).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        oom_score_adj: oom_score_adj(pod, container, node_memory),
    }
}

/// Limits of the whole pod. One of which something may run without a limit has none.
///
/// Source: `ResourceConfigForPod` of `pkg/kubelet/cm`.
pub(crate) fn of_pod(pod: &Pod) -> Resources {
    let none = Resources { cpu_shares: shares(0), cpu_period_us: CPU_PERIOD_US, ..Resources::default() };
    if pod::qos_class(pod) == QosClass::BestEffort {
        return none;
    }
    let totals = whole::totals(pod);
    let milli = |amounts: &Amounts| amounts.get("cpu").map_or(0, Quantity::milli_value);
    let cpu_limit = Some(milli(&totals.limits)).filter(|limit| *limit > 0 && whole::is_limited(pod, "cpu"));
    let memory_limit = totals.limits.get("memory").filter(|_| whole::is_limited(pod, "memory"));
    Resources {
        cpu_shares: shares(milli(&totals.requests)),
        cpu_quota_us: cpu_limit.map_or(0, quota),
        memory_limit: memory_limit.and_then(|limit| u64::try_from(limit.value()).ok()).unwrap_or(0),
        ..none
    }
}

/// The pod's control group under `parent`.
pub(crate) fn cgroup_path(parent: &str, pod: &Pod) -> String {
    format!("{}/pod{}", class_path(parent, pod::qos_class(pod)), pod.uid())
}

/// The control group under `parent` that pods of a class are in.
pub(crate) fn class_path(parent: &str, class: QosClass) -> String {
    let class = match class {
        QosClass::Guaranteed => "",
        QosClass::Burstable => "/burstable",
        QosClass::BestEffort => "/besteffort",
    };
    format!("{parent}{class}")
}

/// The weight of so many thousandths of a processor.
pub(crate) fn shares(milli: i64) -> u64 {
    (u64::try_from(milli).unwrap_or(0).saturating_mul(1024) / 1000).clamp(2, 262_144)
}

fn quota(milli: i64) -> i64 {
    // The kernel refuses less than a millisecond.
    (milli * 100).max(1000)
}

/// What a pod asks for beyond its containers is shared by them. A sidecar goes no earlier than those that need it.
///
/// Source: `GetContainerOOMScoreAdjust` of `pkg/kubelet/qos`.
fn oom_score_adj(pod: &Pod, container: &Container, node_memory: u64) -> i64 {
    let spec = pod::spec(pod);
    if spec.priority_class_name.as_deref() == Some(NODE_CRITICAL) && spec.priority.unwrap_or(0) >= CRITICAL {
        return OOM_GUARANTEED;
    }
    match pod::qos_class(pod) {
        QosClass::Guaranteed => OOM_GUARANTEED,
        QosClass::BestEffort => OOM_BEST_EFFORT,
        QosClass::Burstable => {
            let request = |container: &Container| {
                quantity::memory_bytes(container.resources.as_ref().and_then(|it| it.requests.as_ref())).unwrap_or(0)
            };
            let mut own = request(container);
            let is_sidecar = pod::container(pod, &container.name).is_some_and(|(role, _)| role == Role::Sidecar);
            if is_sidecar {
                own = own.max(spec.containers.iter().map(request).min().unwrap_or(0));
            }
            let node_memory = i64::try_from(node_memory).unwrap_or(i64::MAX).max(1);
            let share = i128::from(own + unshared_request(pod)) * 1000 / i128::from(node_memory);
            (1000 - i64::try_from(share).unwrap_or(1000)).clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
        }
    }
}

/// Each container's part of the memory that a pod asks for as a whole and its containers do not.
fn unshared_request(pod: &Pod) -> i64 {
    let spec = pod::spec(pod);
    let whole = quantity::memory_bytes(spec.resources.as_ref().and_then(|whole| whole.requests.as_ref()));
    let Some(whole) = whole.filter(|whole| *whole > 0) else { return 0 };
    let shared = whole::container_requests(pod).get("memory").map_or(0, Quantity::value);
    let count = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    (whole - shared) / i64::try_from(count).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("the test's pod is valid")
    }

    fn numbers(resources: &Resources) -> (u64, i64, u64, i64) {
        (resources.cpu_shares, resources.cpu_quota_us, resources.memory_limit, resources.oom_score_adj)
    }

    #[test]
    fn limits_follow_the_specification() {
        let cases = [
            (json!({}), (2, 0, 0, 1000)),
            (json!({"requests": {"cpu": "500m"}}), (512, 0, 0, 999)),
            (json!({"limits": {"cpu": "250m", "memory": "64Mi"}}), (256, 25_000, 67_108_864, -997)),
            (json!({"requests": {"memory": "1Gi"}}), (2, 0, 0, 750)),
        ];
        for (resources, expected) in cases {
            let pod = pod(&json!({"containers": [{"name": "a", "resources": resources}]}));
            assert_eq!(numbers(&of_container(&pod, &pod::spec(&pod).containers[0], 4 << 30)), expected);
        }
    }

    #[test]
    fn a_container_has_what_its_pod_has_as_a_whole() {
        let cases = [
            // Without a limit of its own it has the pod's.
            (json!({"limits": {"cpu": "2", "memory": "64Mi"}}), json!({}), (2048, 200_000, 67_108_864, -997)),
            (
                json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
                json!({"requests": {"cpu": "500m"}, "limits": {"memory": "1Mi"}}),
                (512, 200_000, 1_048_576, 999),
            ),
            // Two containers share what neither asks for: a quarter of the machine each.
            (json!({"requests": {"memory": "2Gi"}}), json!({}), (2, 0, 0, 750)),
            (json!({"requests": {"memory": "2Gi"}}), json!({"requests": {"memory": "1Gi"}}), (2, 0, 0, 625)),
            (json!({"requests": {"cpu": "1"}}), json!({"requests": {"memory": "1Gi"}}), (2, 0, 0, 750)),
        ];
        for (whole, own, expected) in cases {
            let spec = json!({"containers": [{"name": "a", "resources": own}, {"name": "b"}], "resources": whole});
            let pod = pod(&spec);
            assert_eq!(numbers(&of_container(&pod, &pod::spec(&pod).containers[0], 4 << 30)), expected, "{spec}");
        }
    }

    #[test]
    fn sidecars_and_critical_pods_are_spared_by_the_kernel() {
        let memory = |amount: &str| json!({"requests": {"memory": amount}});
        let cases = [
            (json!("512Mi"), json!("1Gi"), json!({}), 750),
            (json!("2Gi"), json!("1Gi"), json!({}), 500),
            (json!("1Gi"), json!("1Gi"), json!({"priorityClassName": NODE_CRITICAL, "priority": 2_000_001_000}), -997),
            (json!("1Gi"), json!("1Gi"), json!({"priorityClassName": NODE_CRITICAL, "priority": 1}), 750),
        ];
        for (own, app, more, expected) in cases {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let mut spec = json!({
                "containers": [{"name": "a", "resources": memory(&text(&app))}],
                "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": memory(&text(&own))}],
            });
            spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let pod = pod(&spec);
            let sidecar = pod::container(&pod, "s").expect("it is there").1;
            assert_eq!(of_container(&pod, &sidecar, 4 << 30).oom_score_adj, expected, "{spec}");
        }
    }

    #[test]
    fn a_pods_group_is_limited_to_what_it_may_use_as_a_whole() {
        let both = |amount: &str| json!({"limits": {"cpu": amount, "memory": "1Mi"}, "requests": {"cpu": "250m"}});
        let cases = [
            // The sum of the containers.
            (
                json!({"containers": [{"name": "a", "resources": both("1")}, {"name": "b", "resources": both("2")}]}),
                (512, 300_000, 2 << 20),
            ),
            // One without a limit is enough to have none.
            (json!({"containers": [{"name": "a", "resources": both("1")}, {"name": "b"}]}), (256, 0, 0)),
            // But for a limit as a whole.
            (
                json!({"containers": [{"name": "a", "resources": both("1")}, {"name": "b"}],
                    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "4", "memory": "8Mi"}}}),
                (1024, 400_000, 8 << 20),
            ),
            (json!({"containers": [{"name": "a"}], "resources": {"limits": {"memory": "8Mi"}}}), (2, 0, 8 << 20)),
            // An init container may need more than all that follow it, beside its sidecars.
            (
                json!({"containers": [{"name": "a", "resources": both("1")}],
                    "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": both("1")},
                                       {"name": "i", "resources": both("5")}]}),
                (512, 600_000, 2 << 20),
            ),
            // What the sandbox itself takes comes on top.
            (
                json!({"containers": [{"name": "a", "resources": both("1")}], "overhead": {"cpu": "250m", "memory": "1Mi"}}),
                (512, 125_000, 2 << 20),
            ),
            (json!({"containers": [{"name": "a"}], "overhead": {"cpu": "1"}}), (2, 0, 0)),
        ];
        for (spec, (shares, quota, memory)) in cases {
            assert_eq!(numbers(&of_pod(&pod(&spec))), (shares, quota, memory, 0), "{spec}");
        }
    }
}

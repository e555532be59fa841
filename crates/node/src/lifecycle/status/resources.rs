//! What a pod has as a whole.
//!
//! Source: `convertToAPIPodLevelResourcesStatus` of `pkg/kubelet`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use portolan_api::quantity::{Format, Quantity};
use portolan_api::quota::Amounts;
use portolan_runtime::Resources;

use super::{Phase, reported_phase};
use crate::container::resources;
use crate::pod::quantity::{cpu_milli, milli};
use crate::pod::{self, whole};

type List = BTreeMap<String, Text>;

/// Requests that the kernel does not tell apart from none, in thousandths of a processor.
const LEAST_REQUEST: i64 = 2;
/// The least limit that the kernel takes, in thousandths of a processor.
const LEAST_LIMIT: i64 = 10;

/// What the pod may have, and what it has: while it runs, what its control group has, or what was told of that last.
pub(super) fn resources(pod: &Pod, group: Option<&Resources>) -> (Option<List>, ResourceRequirements) {
    let totals = whole::totals(pod);
    let requests = non_empty(list(&totals.requests));
    let is_running = reported_phase(pod) == Some(Phase::Running);
    let told = pod.status.as_ref().and_then(|status| status.resources.clone());
    let has = match (group, told) {
        _ if !is_running => ResourceRequirements {
            requests: requests.clone(),
            limits: non_empty(list(&totals.limits)),
            ..pod::spec(pod).resources.clone().unwrap_or_default()
        },
        (Some(group), _) => running(pod, group, &totals),
        (None, Some(told)) => told,
        (None, None) => running(pod, &resources::of_pod(pod), &totals),
    };
    (requests, has)
}

fn running(pod: &Pod, group: &Resources, totals: &whole::Totals) -> ResourceRequirements {
    let mut has = pod::spec(pod).resources.clone().unwrap_or_default();
    let (mut requests, mut limits) = (has.requests.take().unwrap_or_default(), has.limits.take().unwrap_or_default());
    let set = |list: &mut List, name: &str, amount: Quantity| {
        list.insert(name.to_owned(), Text(amount.to_string()));
    };
    let request = i64::try_from((group.cpu_shares * 1000).div_ceil(1024)).unwrap_or(i64::MAX);
    if request.max(cpu_milli(Some(&requests)).unwrap_or(0)) > LEAST_REQUEST {
        set(&mut requests, "cpu", Quantity::from_milli_value(request, Format::DecimalSi));
    }
    if milli(Some(&requests), "memory").is_none()
        && let Some(memory) = totals.requests.get("memory")
    {
        // No group knows it.
        set(&mut requests, "memory", memory);
    }
    let limit = group.cpu_quota_us * 1000 / i64::try_from(group.cpu_period_us).unwrap_or(1).max(1);
    if limit > 0 && limit.max(cpu_milli(Some(&limits)).unwrap_or(0)) > LEAST_LIMIT {
        set(&mut limits, "cpu", Quantity::from_milli_value(limit, Format::DecimalSi));
    }
    if group.memory_limit > 0 {
        let bytes = i64::try_from(group.memory_limit).unwrap_or(i64::MAX);
        set(&mut limits, "memory", Quantity::from_value(bytes, Format::BinarySi));
    }
    ResourceRequirements { requests: non_empty(requests), limits: non_empty(limits), ..has }
}

fn list(amounts: &Amounts) -> List {
    amounts.iter().map(|(name, amount)| (name.to_owned(), Text(amount.to_string()))).collect()
}

fn non_empty(list: List) -> Option<List> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_was_told_stands_until_the_group_is_known() {
        let (told, own) = (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}}));
        let pod = |phase: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {}, "spec": {"containers": [{"name": "c", "resources": own}]},
                "status": {"phase": phase, "resources": told},
            }))
            .expect("a pod")
        };
        for (phase, is_known, expected) in [("Running", false, "1"), ("Running", true, "2"), ("Pending", false, "2")] {
            let pod = pod(phase);
            let group = is_known.then(|| resources::of_pod(&pod));
            let (_, has) = resources(&pod, group.as_ref());
            assert_eq!(json!(has.limits), json!({"cpu": expected}), "{phase} {is_known}");
        }
    }

    #[test]
    fn a_pod_tells_what_it_may_have_and_what_its_group_has() {
        let both = json!({"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "32M"}});
        let cases = [
            // (containers' resources, the pod's, whether it runs) and what is told.
            (json!([{}]), json!(null), false, json!(null), json!({})),
            (json!([{}]), json!(null), true, json!(null), json!({})),
            (
                json!([both, {}]),
                json!(null),
                false,
                json!({"cpu": "100m", "memory": "16Mi"}),
                json!({"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "32M"}}),
            ),
            // One without a limit: the group has none.
            (
                json!([both, {}]),
                json!(null),
                true,
                json!({"cpu": "100m", "memory": "16Mi"}),
                json!({"requests": {"cpu": "100m", "memory": "16Mi"}}),
            ),
            (
                json!([both, {}]),
                json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "128Mi"}}),
                true,
                json!({"cpu": "1", "memory": "64Mi"}),
                json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "128Mi"}}),
            ),
            (
                json!([both]),
                json!(null),
                true,
                json!({"cpu": "100m", "memory": "16Mi"}),
                json!({"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "31250Ki"}}),
            ),
            // Less than the kernel can tell is told as it was asked for.
            (
                json!([{"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}]),
                json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}),
                true,
                json!({"cpu": "1m"}),
                json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}),
            ),
        ];
        for (containers, whole, is_running, allocated, expected) in cases {
            let containers: Vec<Value> = containers
                .as_array()
                .expect("a list")
                .iter()
                .enumerate()
                .map(|(index, own)| json!({"name": format!("c{index}"), "resources": own}))
                .collect();
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {}, "spec": {"containers": containers, "resources": whole},
                "status": {"phase": if is_running { "Running" } else { "Pending" }},
            }))
            .expect("a pod");
            let (requests, has) = resources(&pod, None);
            assert_eq!((json!(requests), json!(has)), (allocated, expected), "{pod:?}");
        }
    }
}

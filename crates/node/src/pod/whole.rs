//! What a pod is as a whole: its containers together, or what it says of itself. Pure.
//!
//! Source: `PodRequests` and `PodLimits` of `k8s.io/component-helpers/resource`; KEP-2837.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use portolan_api::quota::{Amounts, pod_limits, pod_requests};
use serde_json::{Value, json};

use super::{Role, containers, quantity, spec};

/// Requests and limits of a pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) requests: Amounts,
    pub(crate) limits: Amounts,
}

/// What a pod asks for and may use at most, overhead included.
pub(crate) fn totals(pod: &Pod) -> Totals {
    let mut described = described(pod);
    described["spec"]["overhead"] = json!(spec(pod).overhead);
    Totals { requests: pod_requests(&described), limits: pod_limits(&described) }
}

/// What the containers of a pod ask for together, whatever it says as a whole.
pub(crate) fn container_requests(pod: &Pod) -> Amounts {
    pod_requests(&resources(pod))
}

/// The part of a specification that says how much a pod needs, but for its overhead. What statuses say is left out.
pub(super) fn described(pod: &Pod) -> Value {
    let mut described = resources(pod);
    described["spec"]["resources"] = json!(spec(pod).resources);
    described
}

/// What of it the containers say.
fn resources(pod: &Pod) -> Value {
    let of =
        |container: &Container| json!({"resources": container.resources, "restartPolicy": container.restart_policy});
    let list = |containers: &[Container]| containers.iter().map(of).collect::<Vec<_>>();
    let spec = spec(pod);
    let init = spec.init_containers.as_deref().unwrap_or_default();
    json!({"spec": {"containers": list(&spec.containers), "initContainers": list(init)}})
}

/// What a container of the pod may have, the pod's limits included.
pub(crate) fn allowed(pod: &Pod, container: &Container) -> ResourceRequirements {
    limited(spec(pod).resources.as_ref(), &container.resources.clone().unwrap_or_default())
}

/// What holds for a container: the pod's limits where it has none of its own.
pub(crate) fn limited(whole: Option<&ResourceRequirements>, own: &ResourceRequirements) -> ResourceRequirements {
    let mut limited = own.clone();
    for (name, limit) in whole.and_then(|whole| whole.limits.as_ref()).into_iter().flatten() {
        let is_set = |list| quantity::milli(list, name).is_some_and(|amount| amount > 0);
        let counts = matches!(name.as_str(), "cpu" | "memory") && is_set(whole.and_then(|it| it.limits.as_ref()));
        if counts && !is_set(own.limits.as_ref()) {
            limited.limits.get_or_insert_default().insert(name.clone(), limit.clone());
        }
    }
    limited
}

/// Whether whatever runs in a pod is limited in `name`: by the pod, or each container for itself.
pub(crate) fn is_limited(pod: &Pod, name: &str) -> bool {
    let has_limit = |resources: Option<&ResourceRequirements>| {
        quantity::milli(resources.and_then(|it| it.limits.as_ref()), name).is_some_and(|limit| limit > 0)
    };
    if has_limit(spec(pod).resources.as_ref()) {
        return true;
    }
    // Init containers run beside the sidecars before them, and count with them as one.
    let mut sidecars = false;
    containers(pod).iter().all(|(role, container)| {
        let own = has_limit(container.resources.as_ref());
        sidecars |= *role == Role::Sidecar && own;
        match role {
            Role::Ephemeral => true,
            Role::App => own,
            Role::Init | Role::Sidecar => own || sidecars,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements(value: &Value) -> ResourceRequirements {
        serde_json::from_value(value.clone()).expect("valid")
    }

    #[test]
    fn a_container_has_the_limits_of_its_pod_where_it_has_none() {
        let cases = [
            (json!(null), json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1"}})),
            (
                json!({"limits": {"cpu": "2", "memory": "1Gi"}}),
                json!({"requests": {"cpu": "1"}}),
                json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}),
            ),
            (
                json!({"limits": {"cpu": "2", "memory": "1Gi"}}),
                json!({"limits": {"cpu": "1", "memory": "0"}}),
                json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
            ),
            (json!({"limits": {"cpu": "0", "hugepages-2Mi": "4Mi"}}), json!({}), json!({})),
            (json!({"requests": {"cpu": "2"}}), json!({}), json!({})),
        ];
        for (whole, own, expected) in cases {
            let whole = (!whole.is_null()).then(|| requirements(&whole));
            assert_eq!(json!(limited(whole.as_ref(), &requirements(&own))), expected, "{whole:?} {own}");
        }
    }

    #[test]
    fn a_pod_is_limited_if_all_that_runs_in_it_is() {
        let (own, none) = (json!({"limits": {"cpu": "1"}}), json!({}));
        let (sidecar, plain) = (json!("Always"), json!(null));
        let cases = [
            (json!({}), vec![&own], vec![], true),
            (json!({}), vec![&own, &none], vec![], false),
            (json!({"limits": {"cpu": "1"}}), vec![&none], vec![], true),
            (json!({"limits": {"memory": "1"}}), vec![&none], vec![], false),
            (json!({}), vec![&own], vec![(&none, &plain)], false),
            (json!({}), vec![&own], vec![(&own, &sidecar), (&none, &plain)], true),
            (json!({}), vec![&own], vec![(&none, &plain), (&own, &sidecar)], false),
        ];
        for (whole, apps, init, expected) in cases {
            let apps: Vec<Value> = apps.into_iter().map(|own| json!({"name": "a", "resources": own})).collect();
            let init: Vec<Value> = init
                .into_iter()
                .map(|(own, policy)| json!({"name": "i", "resources": own, "restartPolicy": policy}))
                .collect();
            let pod = json!({"metadata": {}, "spec": {"containers": apps, "initContainers": init, "resources": whole}});
            let pod: Pod = serde_json::from_value(pod).expect("the test's pod is valid");
            assert_eq!(is_limited(&pod, "cpu"), expected, "{pod:?}");
        }
    }
}

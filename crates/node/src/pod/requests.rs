//! What a pod asks of its node.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{quantity, spec};

/// Amounts that a node shares out among its pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) cpu_milli: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) ephemeral_storage_bytes: i64,
}

impl Requests {
    fn of(resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>) -> Self {
        let list = resources.and_then(|resources| resources.requests.as_ref());
        Self {
            cpu_milli: quantity::cpu_milli(list).unwrap_or(0),
            memory_bytes: quantity::memory_bytes(list).unwrap_or(0),
            ephemeral_storage_bytes: quantity::units(list, "ephemeral-storage").unwrap_or(0),
        }
    }

    /// Adds or compares amount by amount.
    pub(crate) fn combine(self, other: Self, with: fn(i64, i64) -> i64) -> Self {
        Self {
            cpu_milli: with(self.cpu_milli, other.cpu_milli),
            memory_bytes: with(self.memory_bytes, other.memory_bytes),
            ephemeral_storage_bytes: with(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes),
        }
    }
}

/// What a pod needs on its node: all containers together, or the largest need during initialisation.
///
/// Sidecars stay, so they count with the containers and with every init container after them.
/// <https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/753-sidecar-containers>
pub(crate) fn requests(pod: &Pod) -> Requests {
    let request = |container: &Container| Requests::of(container.resources.as_ref());
    let spec = spec(pod);
    let containers = spec.containers.iter().map(request);
    let mut running = containers.fold(Requests::default(), |sum, one| sum.combine(one, i64::saturating_add));
    let (mut starting, mut sidecars) = (Requests::default(), Requests::default());
    for container in spec.init_containers.iter().flatten() {
        let with_sidecars = request(container).combine(sidecars, i64::saturating_add);
        if container.restart_policy.as_deref() == Some("Always") {
            running = running.combine(request(container), i64::saturating_add);
            sidecars = with_sidecars;
        }
        starting = starting.combine(with_sidecars, i64::max);
    }
    let mut needed = running.combine(starting, i64::max);
    if let Some(resources) = &spec.resources {
        // A budget for the pod as a whole takes the place of the sum for the resources it names.
        let (whole, list) = (Requests::of(Some(resources)), resources.requests.as_ref());
        let named = |name: &str| list.is_some_and(|list| list.contains_key(name));
        if named("cpu") {
            needed.cpu_milli = whole.cpu_milli;
        }
        if named("memory") {
            needed.memory_bytes = whole.memory_bytes;
        }
    }
    let overhead = spec.overhead.as_ref();
    let overhead = Requests {
        cpu_milli: quantity::cpu_milli(overhead).unwrap_or(0),
        memory_bytes: quantity::memory_bytes(overhead).unwrap_or(0),
        ephemeral_storage_bytes: quantity::units(overhead, "ephemeral-storage").unwrap_or(0),
    };
    needed.combine(overhead, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_stay() {
        let container = |cpu: &str, restart: Option<&str>| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}, "restartPolicy": restart});
        let cases = [
            (vec![container("1", None), container("500m", None)], vec![], 1500),
            (vec![container("1", None)], vec![container("3", None)], 3000),
            (vec![container("1", None)], vec![container("1", Some("Always")), container("3", None)], 4000),
            (vec![container("1", None)], vec![container("1", None), container("2", Some("Always"))], 3000),
        ];
        for (containers, init, expected) in cases {
            let pod = json!({"metadata": {}, "spec": {"containers": containers, "initContainers": init, "overhead": {"memory": "1Ki"}}});
            let pod: Pod = serde_json::from_value(pod).expect("it is a pod");
            let requests = requests(&pod);
            assert_eq!((requests.cpu_milli, requests.memory_bytes), (expected, 1024));
        }
    }
}

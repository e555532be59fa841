//! Amounts of what nodes have and pods ask for: the scheduler and the node that admits a pod must count alike.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;
use crate::typed::kinds::core::v1::{Container, Pod, ResourceRequirements};

/// Amounts by resource. CPU counts in thousandths, everything else in whole units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Devices and the like; nearly always empty.
    pub extended: BTreeMap<String, i64>,
}

type Quantities = BTreeMap<String, Quantity>;

impl Resources {
    /// Reads a resource list. The API server lets in only well-formed quantities; others count as nothing.
    pub fn of(quantities: Option<&Quantities>) -> Self {
        let mut resources = Self::default();
        for (name, amount) in quantities.into_iter().flatten() {
            let Ok(amount) = quantity::Quantity::parse(&amount.0) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = amount.milli_value(),
                "memory" => resources.memory = amount.value(),
                "ephemeral-storage" => resources.ephemeral_storage = amount.value(),
                "pods" => {}
                _ => drop(resources.extended.insert(name.clone(), amount.value())),
            }
        }
        resources
    }

    /// Adds amount by amount; stops at the largest number.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a.saturating_add(b));
    }

    /// Subtracts amount by amount.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a.saturating_sub(b));
    }

    fn maximum(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_default();
            *mine = with(*mine, *amount);
        }
    }
}

/// What a pod and its containers have by their statuses, which differs from what they ask for while a resize waits or
/// is being made. See KEP-1287.
struct Statuses<'a> {
    pod: &'a Pod,
    /// The node will never give what is asked for, so that does not count.
    infeasible: bool,
}

impl<'a> Statuses<'a> {
    fn of(pod: &'a Pod) -> Self {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let infeasible = conditions.iter().any(|condition| {
            condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
        });
        Self { pod, infeasible }
    }

    /// What a container counts with.
    fn of_container(&self, name: &str, asked: Resources) -> Resources {
        let Some(status) = &self.pod.status else { return asked };
        let lists = [&status.container_statuses, &status.init_container_statuses];
        match lists.into_iter().flatten().flatten().find(|status| status.name == name) {
            Some(status) => self.raised(status.allocated_resources.as_ref(), status.resources.as_ref(), asked),
            None => asked,
        }
    }

    /// What the pod as a whole counts with.
    fn of_whole(&self, asked: Resources) -> Resources {
        match &self.pod.status {
            Some(status) => self.raised(status.allocated_resources.as_ref(), status.resources.as_ref(), asked),
            None => asked,
        }
    }

    /// The most of what is asked for, was given and is had.
    fn raised(
        &self,
        allocated: Option<&Quantities>,
        resources: Option<&ResourceRequirements>,
        asked: Resources,
    ) -> Resources {
        if allocated.is_none() && resources.is_none() {
            return asked;
        }
        let mut most = Resources::of(resources.and_then(|resources| resources.requests.as_ref()));
        most.maximum(&Resources::of(allocated));
        if !self.infeasible {
            most.maximum(&asked);
        }
        most
    }
}

/// What a pod needs on its node: all containers together, or the largest need during initialisation.
///
/// Init containers that restart (sidecars) stay, so they count with the containers and with every init
/// container after them. See KEP-753.
pub fn requests(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let statuses = Statuses::of(pod);
    let request = |container: &Container| {
        let asked = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        statuses.of_container(&container.name, Resources::of(asked))
    };
    let mut running = Resources::default();
    let mut starting = Resources::default();
    let mut sidecars = Resources::default();
    for container in &spec.containers {
        running.add(&request(container));
    }
    for container in spec.init_containers.iter().flatten() {
        let mut need = request(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&need);
            sidecars.add(&need);
            need = sidecars.clone();
        } else {
            need.add(&sidecars);
        }
        starting.maximum(&need);
    }
    running.maximum(&starting);
    if let Some(resources) = &spec.resources {
        // A budget for the pod as a whole takes the place of the sum for the resources it names.
        let whole = statuses.of_whole(Resources::of(resources.requests.as_ref()));
        let named = |name: &str| resources.requests.as_ref().is_some_and(|requests| requests.contains_key(name));
        if named("cpu") {
            running.milli_cpu = whole.milli_cpu;
        }
        if named("memory") {
            running.memory = whole.memory;
        }
        for (name, amount) in whole.extended.into_iter().filter(|(name, _)| name.starts_with("hugepages-")) {
            if named(&name) {
                running.extended.insert(name, amount);
            }
        }
    }
    running.add(&Resources::of(spec.overhead.as_ref()));
    running
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
            assert_eq!((requests.milli_cpu, requests.memory), (expected, 1024), "{pod:?}");
        }
    }

    #[test]
    fn a_pod_as_a_whole_counts_with_what_it_names() {
        let cases = [
            (json!({"cpu": "3"}), json!(null), None, (3000, 1 << 20, 0)),
            (json!({"memory": "4Mi", "hugepages-2Mi": "8Mi"}), json!(null), None, (1000, 4 << 20, 8 << 20)),
            (json!({"cpu": "3"}), json!({"cpu": "2", "memory": "9Mi"}), None, (3000, 1 << 20, 0)),
            (json!({"cpu": "3"}), json!({"cpu": "5"}), None, (5000, 1 << 20, 0)),
            (json!({"cpu": "3"}), json!({"cpu": "2"}), Some("Infeasible"), (2000, 1 << 20, 0)),
        ];
        for (asked, has, reason, expected) in cases {
            let pod = json!({
                "metadata": {},
                "spec": {
                    "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}],
                    "resources": {"requests": asked},
                },
                "status": {
                    "conditions": reason.map(|reason| json!([
                        {"type": "PodResizePending", "status": "True", "reason": reason}])),
                    "allocatedResources": has, "resources": (!has.is_null()).then(|| json!({"requests": has})),
                },
            });
            let typed: Pod = serde_json::from_value(pod.clone()).expect("it is a pod");
            let counted = requests(&typed);
            let huge = counted.extended.get("hugepages-2Mi").copied().unwrap_or_default();
            assert_eq!((counted.milli_cpu, counted.memory, huge), expected, "{pod}");
        }
    }

    #[test]
    fn a_pod_that_is_resized_counts_with_the_most_that_it_asks_for_was_given_or_has() {
        let cases = [
            (json!(null), json!(null), None, 1000),
            (json!({"cpu": "2"}), json!({"requests": {"cpu": "500m"}}), None, 2000),
            (json!({"cpu": "500m"}), json!({"requests": {"cpu": "500m"}}), Some("Deferred"), 1000),
            (json!({"cpu": "500m"}), json!({"requests": {"cpu": "700m"}}), Some("Infeasible"), 700),
            (json!({"cpu": "1"}), json!({"requests": {"cpu": "3"}}), None, 3000),
        ];
        for (allocated, resources, reason, expected) in cases {
            let conditions: Vec<_> = reason
                .iter()
                .map(|reason| json!({"type": "PodResizePending", "status": "True", "reason": reason}))
                .collect();
            let pod = json!({
                "metadata": {}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
                "status": {"conditions": conditions, "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": allocated, "resources": resources}]},
            });
            let counted = crate::quota::pod_requests(&pod).get("cpu").map(|it| it.milli_value());
            assert_eq!(counted, Some(expected), "by quotas: {pod}");
            let typed: Pod = serde_json::from_value(pod.clone()).expect("it is a pod");
            assert_eq!(requests(&typed).milli_cpu, expected, "{pod}");
        }
    }
}

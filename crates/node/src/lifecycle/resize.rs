//! Resizing a running pod and its containers in place. Pure.
//!
//! What the API asks for becomes the pod's *allocation* once the node has room for it, and the allocation is then
//! *applied* to the pod's control group and to each container, without a restart where its policy allows that. See
//! KEP-1287 and, for the pod as a whole, KEP-5419.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use portolan_runtime::{ContainerState, ContainerStatus};
use serde::Serialize;

use super::labels::{Memory, container_uri};
use super::state::{Failure, Local, PodRuntime};
use crate::cgroup::is_less;
use crate::container::resources;
use crate::pod::{self, quantity, whole};

/// Conditions by which a pod tells how its resize is going.
pub(crate) const PENDING: &str = "PodResizePending";
pub(crate) const IN_PROGRESS: &str = "PodResizeInProgress";

/// What a pod may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Allocation {
    /// As a whole.
    pub(crate) whole: Option<ResourceRequirements>,
    /// Each of its containers, by name.
    pub(crate) containers: BTreeMap<String, ResourceRequirements>,
}

impl Allocation {
    /// Whether `asked` is something else, of what can be resized.
    pub(crate) fn differs(&self, asked: &Self) -> bool {
        let nothing = Difference::default();
        let of_whole = |it: &Self| it.whole.clone().unwrap_or_default();
        let waits = |(name, asked): (&String, &ResourceRequirements)| {
            self.containers.get(name).is_some_and(|own| differ(own, asked) != nothing)
        };
        differ(&of_whole(self), &of_whole(asked)) != nothing || asked.containers.iter().any(waits)
    }
}

/// Whether the node has room for what a pod asks for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Room {
    /// It has.
    #[default]
    Enough,
    /// Not as long as others have it.
    Later(String),
    /// It never will.
    Never(String),
}

impl Room {
    /// Reason and message of the condition that tells it.
    pub(crate) fn refusal(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Enough => None,
            Self::Later(message) => Some(("Deferred", message)),
            Self::Never(message) => Some(("Infeasible", message)),
        }
    }
}

/// The containers that ask for something: those for debugging do not.
fn asking(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod::spec(pod);
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// What the specification asks for.
pub(crate) fn asked(pod: &Pod) -> Allocation {
    let of = |container: &Container| (container.name.clone(), container.resources.clone().unwrap_or_default());
    Allocation { whole: pod::spec(pod).resources.clone(), containers: asking(pod).map(of).collect() }
}

/// What a pod had when the agent first saw it: what it asks for, but for a resize that waited or that no agent saw.
pub(crate) fn allocation(pod: &Pod) -> Allocation {
    let seen = pod.status.as_ref().and_then(|status| status.observed_generation);
    let is_unseen = seen.is_some_and(|seen| pod.metadata.generation.is_some_and(|generation| seen < generation));
    let asked = asked(pod);
    if is_pending(pod) || is_unseen { reported(pod, &asked) } else { asked }
}

/// What the API was told last that a pod has; what it was not told of is as it is asked for.
fn reported(pod: &Pod, asked: &Allocation) -> Allocation {
    let of = |(name, asked): (&String, &ResourceRequirements)| {
        let told = pod::reported_status(pod, name).and_then(|status| status.resources.as_ref());
        (name.clone(), told.map_or_else(|| asked.clone(), |told| of_those_asked(told, asked)))
    };
    Allocation {
        whole: reported_whole(pod).or_else(|| asked.whole.clone()),
        containers: asked.containers.iter().map(of).collect(),
    }
}

/// The same of the pod as a whole: of what it was told to have, what it says of itself.
fn reported_whole(pod: &Pod) -> Option<ResourceRequirements> {
    let asked = pod::spec(pod).resources.as_ref()?;
    Some(of_those_asked(pod.status.as_ref()?.resources.as_ref()?, asked))
}

/// Of what was told, that of which an amount is asked for: the rest follows from elsewhere, as the pod's limits do.
fn of_those_asked(told: &ResourceRequirements, asked: &ResourceRequirements) -> ResourceRequirements {
    type List = BTreeMap<String, Quantity>;
    let common = |told: Option<&List>, asked: Option<&List>| -> Option<List> {
        let is_asked = |name: &str| asked.is_some_and(|asked| asked.contains_key(name));
        let common = told?.iter().filter(|(name, _)| is_asked(name));
        Some(common.map(|(name, amount)| (name.clone(), amount.clone())).collect())
    };
    ResourceRequirements {
        limits: common(told.limits.as_ref(), asked.limits.as_ref()),
        requests: common(told.requests.as_ref(), asked.requests.as_ref()),
        claims: asked.claims.clone(),
    }
}

/// Whether the API knows that a resize of the pod waits.
pub(crate) fn is_pending(pod: &Pod) -> bool {
    told(pod, PENDING).is_some()
}

/// A condition that holds, as the API was told last.
fn told<'a>(pod: &'a Pod, name: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == name && condition.status == "True")
}

/// Whether a pod may have something else than it asks for, by what the API knows.
pub(crate) fn is_wanted(pod: &Pod) -> bool {
    let asked = asked(pod);
    is_pending(pod) || reported(pod, &asked).differs(&asked)
}

/// The pod with what it may have instead of what it asks for.
pub(crate) fn with(pod: &Arc<Pod>, allocation: &Allocation) -> Arc<Pod> {
    let differs = |container: &Container| {
        let own = allocation.containers.get(&container.name);
        own.is_some_and(|own| *own != container.resources.clone().unwrap_or_default())
    };
    let is_same = allocation.whole == pod::spec(pod).resources && !asking(pod).any(differs);
    // Nothing is known of a pod that only the runtime has.
    if is_same || allocation.containers.is_empty() {
        return pod.clone();
    }
    let mut pod = Pod::clone(pod);
    let spec = pod.spec.get_or_insert_default();
    spec.resources.clone_from(&allocation.whole);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        if let Some(own) = allocation.containers.get(&container.name) {
            container.resources = Some(own.clone());
        }
    }
    Arc::new(pod)
}

/// Which resources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Difference {
    cpu: bool,
    memory: bool,
}

/// Compares what can be resized.
pub(crate) fn differ(one: &ResourceRequirements, other: &ResourceRequirements) -> Difference {
    type Amount = fn(Option<&BTreeMap<String, Quantity>>) -> Option<i64>;
    let differs = |amount: Amount| {
        amount(one.requests.as_ref()) != amount(other.requests.as_ref())
            || amount(one.limits.as_ref()) != amount(other.limits.as_ref())
    };
    Difference { cpu: differs(quantity::cpu_milli), memory: differs(quantity::memory_bytes) }
}

/// What a start of a container has, the pod's limits included: as the agent remembers it, as the API was told, or as
/// it was started. One that an earlier agent started without a note has what is asked for, which could not change then,
/// and nothing of the pod's limits, which that agent did not give.
pub(crate) fn applied(pod: &Pod, local: &Local, status: &ContainerStatus) -> Option<ResourceRequirements> {
    let remembered = local.containers.get(&status.name).and_then(|local| local.applied.as_ref());
    if let Some((_, resources)) = remembered.filter(|(id, _)| *id == status.id) {
        return Some(resources.clone());
    }
    let uri = container_uri(&status.id);
    let reported = pod::reported_status(pod, &status.name).filter(|known| known.container_id.as_deref() == Some(&uri));
    let reported = reported.and_then(|reported| reported.resources.as_ref());
    let started = Memory::of(status).resources;
    let reported = reported.map(|own| {
        let has_limit = |name: &String| {
            [Some(own), started.as_ref()]
                .into_iter()
                .flatten()
                .any(|of| of.limits.iter().any(|it| it.contains_key(name)))
        };
        let mut has = whole::limited(reported_whole(pod).as_ref(), own);
        has.limits.iter_mut().for_each(|limits| limits.retain(|name, _| has_limit(name)));
        has
    });
    let asked = || Some(pod::container(pod, &status.name)?.1.resources.unwrap_or_default());
    reported.or(started).or_else(asked)
}

/// What is to be done with a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It has what it may have.
    Nothing,
    /// Its limits change while it runs.
    Update,
    /// It asked to be started anew for such a change.
    Restart,
}

/// Compares what a start of a container has with what it may have now.
pub(crate) fn action(pod: &Pod, local: &Local, container: &Container, status: &ContainerStatus) -> Action {
    let Some(applied) = applied(pod, local, status) else { return Action::Nothing };
    let allowed = whole::allowed(pod, container);
    if differ(&applied, &allowed) == Difference::default() {
        return Action::Nothing;
    }
    // What it is restarted for changes only with a start, which has its note; what the API was told of the pod may be
    // what its group, that could not follow, still has.
    let started_with = Memory::of(status).resources.unwrap_or(applied);
    if restarts_for(container, differ(&started_with, &allowed)) { Action::Restart } else { Action::Update }
}

/// Whether an ended container was stopped because its resources changed.
pub(crate) fn ended_for_resize(pod: &Pod, container: &Container, status: &ContainerStatus) -> bool {
    let Some(started_with) = Memory::of(status).resources else { return false };
    restarts_for(container, differ(&started_with, &whole::allowed(pod, container)))
}

/// Whether the pod's control group has other limits than the pod may have, or may have others: what an earlier agent
/// told of it says neither whether that one came to limit it, nor whether it knew how.
pub(crate) fn is_group_stale(pod: &Pod, local: &Local) -> bool {
    local.group.as_ref() != Some(&resources::of_pod(pod))
}

/// Why the pod's control group is not to be limited before another try: the last one failed, or it is to have less
/// while a container did not take less.
pub(crate) fn group_failure<'a>(pod: &Pod, local: &'a Local) -> Option<&'a Failure> {
    let wanted = resources::of_pod(pod);
    let is_decrease = local.group.as_ref().is_some_and(|has| {
        is_less(wanted.cpu_quota_us, has.cpu_quota_us) || is_less(wanted.memory_limit, has.memory_limit)
    });
    let of_container =
        || local.containers.values().filter_map(|it| it.resize_failure.as_ref()).max_by_key(|it| it.retry_at);
    local.group_failure.as_ref().or_else(|| of_container().filter(|_| is_decrease))
}

fn restarts_for(container: &Container, difference: Difference) -> bool {
    container.resize_policy.iter().flatten().any(|policy| {
        let is_meant = match policy.resource_name.as_str() {
            "cpu" => difference.cpu,
            "memory" => difference.memory,
            _ => false,
        };
        is_meant && policy.restart_policy == "RestartContainer"
    })
}

/// Whether the pod or one of its containers that run does not have yet what it may have; the reason why not, if the
/// last try failed.
pub(crate) fn in_progress(effective: &Pod, runtime: &PodRuntime, local: &Local) -> Option<String> {
    let mut found = None;
    let has_group = runtime.sandbox().is_some_and(|sandbox| sandbox.ready);
    if has_group && is_group_stale(effective, local) {
        found = match (&local.group_failure, &local.group) {
            (Some(failure), _) => Some(failure.message.clone()),
            (None, Some(_)) => Some(String::new()),
            // What was told stands until more is known.
            (None, None) => told(effective, IN_PROGRESS).map(|told| told.message.clone().unwrap_or_default()),
        };
    }
    for container in asking(effective) {
        let Some(status) = runtime.current(&container.name) else { continue };
        if matches!(status.state, ContainerState::Running { .. })
            && action(effective, local, container, status) != Action::Nothing
        {
            let failure = local.containers.get(&container.name).and_then(|local| local.resize_failure.as_ref());
            let message: &mut String = found.get_or_insert_default();
            message.push_str(failure.map_or("", |failure| &failure.message));
        }
    }
    found
}

/// Whether the containers of a resized pod run with what they may have. One that has ended for good has nothing.
pub(crate) fn is_done(effective: &Pod, runtime: &PodRuntime, local: &Local) -> bool {
    let has = |container: &Container| {
        let Some(status) = runtime.current(&container.name) else { return false };
        let has = action(effective, local, container, status) == Action::Nothing;
        has && (matches!(status.state, ContainerState::Running { .. })
            || !ended_for_resize(effective, container, status))
    };
    !is_group_stale(effective, local) && asking(effective).all(has)
}

/// What a resize is about, as its events tell it: `error` is why it waits or failed.
///
/// Source: `podResourceSummary` of `pkg/kubelet/events`, which leaves the pod as a whole out.
pub(crate) fn summary(pod: &Pod, error: &str) -> String {
    #[derive(Serialize)]
    struct Of<'a> {
        name: &'a str,
        resources: ResourceRequirements,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        init_containers: Vec<Of<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        containers: Vec<Of<'a>>,
        generation: i64,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'a str,
    }
    fn of(container: &Container) -> Of<'_> {
        Of { name: &container.name, resources: container.resources.clone().unwrap_or_default() }
    }
    let spec = pod::spec(pod);
    serde_json::to_string(&Summary {
        init_containers: spec.init_containers.iter().flatten().map(of).collect(),
        containers: spec.containers.iter().map(of).collect(),
        generation: pod.metadata.generation.unwrap_or(0),
        error,
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use portolan_runtime::ContainerId;
    use serde_json::{Value, json};

    use super::*;
    use crate::lifecycle::state::LocalContainer;

    fn requirements(value: &Value) -> ResourceRequirements {
        serde_json::from_value(value.clone()).expect("valid")
    }

    #[test]
    fn a_container_is_restarted_only_for_what_it_says() {
        let has = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}});
        let policies = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"},
                              {"resourceName": "cpu", "restartPolicy": "NotRequired"}]);
        let cases = [
            (json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": "2"}}), Action::Nothing),
            (json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "3"}}), Action::Update),
            (json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2"}}), Action::Update),
            (json!({"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2"}}), Action::Restart),
            (json!({"requests": {"cpu": "3", "memory": "2Gi"}, "limits": {"cpu": "3"}}), Action::Restart),
        ];
        for (asked, expected) in cases {
            let pod = json!({"metadata": {}, "spec": {"containers": [
                {"name": "c", "resources": asked, "resizePolicy": policies}]}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            let status = super::super::tests::running("c", 0);
            let mut local = Local::default();
            let applied = Some((ContainerId(status.id.0.clone()), requirements(&has)));
            local.containers.insert("c".into(), LocalContainer { applied, ..LocalContainer::default() });
            assert_eq!(action(&pod, &local, &pod::spec(&pod).containers[0], &status), expected, "{asked}");
        }
    }

    #[test]
    fn a_container_has_the_limits_of_its_pod_only_if_it_was_started_with_such() {
        let (own, both) = (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1", "memory": "1Gi"}}));
        let of_pod = json!({"limits": {"memory": "1Gi"}});
        // (what it was told to have, what is noted on it) and what it has beside a pod's limit of memory.
        let cases = [
            (json!({}), json!(null), json!({})),
            (json!({}), of_pod.clone(), of_pod.clone()),
            (own.clone(), json!(null), own.clone()),
            (own.clone(), own.clone(), own.clone()),
            (own.clone(), both.clone(), both.clone()),
            (both.clone(), json!(null), both.clone()),
            (json!(null), json!(null), own.clone()),
            (json!(null), both.clone(), both),
        ];
        for (told, noted, expected) in cases {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {}, "spec": {"containers": [{"name": "c", "resources": own}], "resources": of_pod},
                "status": {"resources": of_pod, "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": "containerd://c-0", "resources": told}]},
            }))
            .expect("a pod");
            let mut status = super::super::tests::running("c", 0);
            if !noted.is_null() {
                status.annotations.insert("portolan.dev/resources".into(), noted.to_string());
            }
            let has = applied(&pod, &Local::default(), &status).expect("it is known");
            let has = ResourceRequirements { limits: has.limits.filter(|it| !it.is_empty()), ..has };
            assert_eq!(json!(has), expected, "{told} {noted}");
        }
    }

    #[test]
    fn a_resize_that_waited_or_that_no_agent_saw_is_decided_after_the_agent_was_away() {
        let pod = |conditions: Value, seen: i64| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"generation": 2},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]},
                // The limit is the pod's.
                "status": {"observedGeneration": seen, "conditions": conditions, "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}]},
            }))
            .expect("a pod")
        };
        let pending = json!([{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]);
        for (conditions, seen, expected) in [(json!([]), 2, "9"), (pending, 2, "1"), (json!([]), 1, "1")] {
            let pod = Arc::new(pod(conditions, seen));
            assert!(is_wanted(&pod));
            let allocation = allocation(&pod);
            assert_eq!(
                allocation.containers["c"].requests,
                requirements(&json!({"requests": {"cpu": expected}})).requests
            );
            assert_eq!(allocation.containers["c"].limits.clone().unwrap_or_default(), BTreeMap::new());
            let effective = with(&pod, &allocation);
            assert_eq!(asked(&effective), allocation);
            assert_eq!(Arc::ptr_eq(&effective, &pod), expected == "9");
        }
    }
}

//! Decides how many pods a set needs and which must go.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Timestamp;
use portolan_base::clock::later;

use super::PodSet;
use crate::meta::{condition_true_since, is_active, is_deleting, phase};

/// Pods created or deleted at most in one go.
const BURST: usize = 500;

/// What a set needs.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// How many pods to create.
    pub(super) create: usize,
    /// Which pods to delete, in this order.
    pub(super) delete: Vec<Arc<Pod>>,
    /// The status as observed, before the above takes effect.
    pub(super) status: ReplicaSetStatus,
    /// When a pod becomes available by the passing of time.
    pub(super) requeue_at: Option<Timestamp>,
}

/// Returns what must change so that `set` has `spec.replicas` active pods.
///
/// `pods` are those it controls. Finished pods and pods being deleted do not count as active.
pub(super) fn plan<S: PodSet>(set: &S, pods: &[Arc<Pod>], now: Timestamp) -> Plan {
    let active: Vec<&Arc<Pod>> = pods.iter().filter(|pod| is_active(pod)).collect();
    let (status, requeue_at) = status(set, pods, &active, now);
    let (mut create, mut delete) = (0, Vec::new());
    if !is_deleting(set) {
        let wanted = usize::try_from(set.replicas()).unwrap_or(0);
        create = wanted.saturating_sub(active.len()).min(BURST);
        let excess = active.len().saturating_sub(wanted).min(BURST);
        delete = by_deletion_order(active);
        delete.truncate(excess);
    }
    Plan { create, delete, status, requeue_at }
}

fn status<S: PodSet>(
    set: &S,
    pods: &[Arc<Pod>],
    active: &[&Arc<Pod>],
    now: Timestamp,
) -> (ReplicaSetStatus, Option<Timestamp>) {
    let template = set.template().and_then(|template| template.metadata.as_ref());
    let template_labels = template.and_then(|metadata| metadata.labels.as_ref());
    let min_ready = i64::from(set.min_ready_seconds());
    let fully_labeled = |pod: &&&Arc<Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .into_iter()
            .flatten()
            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let (mut ready, mut available, mut requeue_at) = (0, 0, None::<Timestamp>);
    for pod in active {
        let Some(since) = condition_true_since(pod, "Ready") else { continue };
        ready += 1;
        let from = since.map_or(now, |since| later(*since, std::time::Duration::from_secs(min_ready.max(0) as u64)));
        if min_ready == 0 || from <= now {
            available += 1;
        } else {
            requeue_at = Some(requeue_at.map_or(from, |earlier| earlier.min(from)));
        }
    }
    let old = set.status();
    let terminating = pods.iter().filter(|pod| is_deleting(&***pod)).count();
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        // What is stored has no zeros here: with them the status would differ from it for ever.
        fully_labeled_replicas: positive(count(active.iter().filter(fully_labeled).count())),
        ready_replicas: positive(ready),
        available_replicas: positive(available),
        terminating_replicas: S::COUNTS_TERMINATING.then(|| count(terminating)),
        observed_generation: set.metadata().generation,
        conditions: old.and_then(|status| status.into_owned().conditions),
    };
    (status, requeue_at)
}

fn positive(count: i32) -> Option<i32> {
    (count > 0).then_some(count)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Notes in the status that creating or deleting failed, or that it works again.
pub(super) fn with_failure(
    mut status: ReplicaSetStatus,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let mut conditions = status.conditions.take().unwrap_or_default();
    let known = conditions.iter().position(|condition| condition.type_ == "ReplicaFailure");
    match (failure, known) {
        (None, Some(index)) => drop(conditions.remove(index)),
        (Some((reason, message)), None) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now)),
        }),
        // Upstream keeps the first reason until the failure is over.
        (Some(_), Some(_)) | (None, None) => {}
    }
    status.conditions = (!conditions.is_empty()).then_some(conditions);
    status
}

/// Pods in the order in which they may go, the least missed first.
fn by_deletion_order(pods: Vec<&Arc<Pod>>) -> Vec<Arc<Pod>> {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut per_node: HashMap<Option<String>, usize> = HashMap::new();
    for pod in &pods {
        *per_node.entry(node(pod)).or_default() += 1;
    }
    let mut ranked: Vec<(&Arc<Pod>, usize)> = pods.iter().map(|pod| (*pod, per_node[&node(pod)])).collect();
    ranked.sort_by(|(a, a_rank), (b, b_rank)| compare(a, *a_rank, b, *b_rank));
    ranked.into_iter().map(|(pod, _)| pod.clone()).collect()
}

/// The order of `kubernetes/pkg/controller/controller_utils.go`, `ActivePodsWithRanks`.
fn compare(a: &Pod, a_rank: usize, b: &Pod, b_rank: usize) -> Ordering {
    let assigned = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let phase_order = |pod: &Pod| match phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let ready_since = |pod: &Pod| condition_true_since(pod, "Ready").map(|since| since.copied());
    let cost = |pod: &Pod| -> i32 {
        let annotations = pod.metadata.annotations.as_ref();
        let cost = annotations.and_then(|all| all.get("controller.kubernetes.io/pod-deletion-cost"));
        cost.and_then(|cost| cost.parse().ok()).unwrap_or_default()
    };
    let restarts = |pod: &Pod| -> i32 {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        containers.unwrap_or_default().iter().map(|container| container.restart_count).max().unwrap_or_default()
    };
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase_order(a).cmp(&phase_order(b)))
        .then_with(|| ready_since(a).is_some().cmp(&ready_since(b).is_some()))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| b_rank.cmp(&a_rank))
        .then_with(|| ready_since(b).cmp(&ready_since(a)))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| created(b).cmp(&created(a)))
        .then_with(|| a.name().cmp(b.name()))
}

#[cfg(test)]
mod tests;

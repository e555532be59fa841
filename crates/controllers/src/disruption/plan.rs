//! How many pods of a budget are healthy, how many must be, and how many may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::time::whole_seconds;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_api::typed::kinds::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use portolan_base::Timestamp;
use portolan_base::clock::later;

use crate::meta::{controller_of, is_deleting, is_ready};

/// How long an eviction may take to show in the pod; after that it counts as not done.
const EVICTION_SHOWS_WITHIN: Duration = Duration::from_secs(120);

const ALLOWED: &str = "DisruptionAllowed";

/// What is known about a budget.
pub(super) struct View<'a> {
    pub(super) budget: &'a PodDisruptionBudget,
    /// The pods that it selects.
    pub(super) pods: &'a [Arc<Pod>],
    /// By the owner of pods: who decides about their number, and how many there should be.
    pub(super) scales: &'a BTreeMap<String, (String, i32)>,
    /// Why the number of some pods is unknown.
    pub(super) problem: Option<String>,
    pub(super) now: Timestamp,
}

/// What follows.
#[derive(Debug, PartialEq)]
pub(super) struct Planned {
    /// The status to write; nothing if it says so already.
    pub(super) status: Option<PodDisruptionBudgetStatus>,
    /// When an eviction that did not show stops to count.
    pub(super) again: Option<Timestamp>,
    /// Whether pods without owner cannot be counted although they should be.
    pub(super) unmanaged: bool,
}

pub(super) fn plan(view: &View<'_>) -> Planned {
    let before = view.budget.status.clone().unwrap_or_default();
    let spec = view.budget.spec.clone().unwrap_or_default();
    let by_number = matches!(spec.min_available, Some(IntOrString::Int(_)) | None) && spec.max_unavailable.is_none();
    let mut problem = view.problem.clone().filter(|_| !by_number);
    let (expected, desired) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let expected = expected_scale(view);
            (expected, (expected - scaled(most, expected)).max(0))
        }
        (None, Some(IntOrString::Int(least))) => (count(view.pods.len()), *least),
        (None, Some(least)) => {
            let expected = expected_scale(view);
            (expected, scaled(least, expected))
        }
        // Without a number nothing is demanded.
        (None, None) => (count(view.pods.len()), 0),
    };
    let (disrupted, again) = still_disrupted(view, &before);
    let healthy =
        view.pods.iter().filter(|pod| !is_deleting(&***pod) && is_ready(pod) && !disrupted.contains_key(pod.name()));
    let healthy = count(healthy.count());
    let mut allowed = (healthy - desired).max(0);
    if expected <= 0 || problem.is_some() {
        allowed = 0;
    }
    let unmanaged = !by_number && view.pods.iter().any(|pod| controller_of(&**pod).is_none());
    let generation = view.budget.metadata.generation;
    let conditions = conditions(&before, allowed, problem.take(), generation, view.now);
    let status = PodDisruptionBudgetStatus {
        conditions: Some(conditions),
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        observed_generation: generation,
    };
    let unmanaged = unmanaged && view.budget.status.is_none();
    Planned { status: (status != before).then_some(status), again, unmanaged }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// How many pods there should be: each decider once.
fn expected_scale(view: &View<'_>) -> i32 {
    let owners = view.pods.iter().filter_map(|pod| controller_of(&**pod));
    let deciders: BTreeMap<&str, i32> =
        owners.filter_map(|owner| view.scales.get(&owner.uid)).map(|(uid, scale)| (uid.as_str(), *scale)).collect();
    deciders.values().fold(0, |sum, scale| sum.saturating_add(*scale))
}

/// A number, or a percentage of `total` rounded up.
fn scaled(value: &IntOrString, total: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            i32::try_from((percent * i64::from(total) + 99) / 100).unwrap_or(i32::MAX)
        }
    }
}

/// Evictions that the pods do not show yet, and when the first of them is given up.
fn still_disrupted(view: &View<'_>, before: &PodDisruptionBudgetStatus) -> (BTreeMap<String, Time>, Option<Timestamp>) {
    let mut still = BTreeMap::new();
    let mut again = None;
    for (name, at) in before.disrupted_pods.iter().flatten() {
        let waits = view.pods.iter().any(|pod| pod.name() == name && !is_deleting(&**pod));
        let end = later(at.0, EVICTION_SHOWS_WITHIN);
        if waits && end > view.now {
            still.insert(name.clone(), at.clone());
            again = Some(again.map_or(end, |known: Timestamp| known.min(end)));
        }
    }
    (still, again)
}

fn conditions(
    before: &PodDisruptionBudgetStatus,
    allowed: i32,
    problem: Option<String>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = before.conditions.clone().unwrap_or_default();
    let (status, reason, message) = match problem {
        Some(why) => ("False", "SyncFailed", why),
        None if allowed > 0 => ("True", "SufficientPods", String::new()),
        None => ("False", "InsufficientPods", String::new()),
    };
    let known = conditions.iter().find(|condition| condition.type_ == ALLOWED && condition.status == status);
    let since = known.map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone());
    conditions.retain(|condition| condition.type_ != ALLOWED);
    conditions.push(Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: generation,
    });
    conditions
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, ready: bool) -> Arc<Pod> {
        let status = if ready { "True" } else { "False" };
        let pod = json!({
            "metadata": {"name": name, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": "s1", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn summary(spec: Value, status: Value, pods: &[Arc<Pod>]) -> String {
        let budget: PodDisruptionBudget =
            serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": spec, "status": status}))
                .expect("a budget");
        let scales = BTreeMap::from([("s1".to_owned(), ("d1".to_owned(), 10))]);
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        let planned = plan(&View { budget: &budget, pods, scales: &scales, problem: None, now });
        let status = planned.status.expect("it is new");
        format!(
            "expected {} desired {} healthy {} allowed {} disrupted {}",
            status.expected_pods.unwrap_or_default(),
            status.desired_healthy.unwrap_or_default(),
            status.current_healthy.unwrap_or_default(),
            status.disruptions_allowed.unwrap_or_default(),
            status.disrupted_pods.unwrap_or_default().len()
        )
    }

    #[test]
    fn budgets_allow_what_is_healthy_beyond_what_must_be() {
        let pods: Vec<Arc<Pod>> = (0..8).map(|index| pod(&format!("p{index}"), index != 0)).collect();
        let fresh = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        let cases = [
            (json!({"minAvailable": 3}), "expected 8 desired 3 healthy 7 allowed 4 disrupted 0"),
            (json!({"minAvailable": "75%"}), "expected 10 desired 8 healthy 7 allowed 0 disrupted 0"),
            (json!({"maxUnavailable": 4}), "expected 10 desired 6 healthy 7 allowed 1 disrupted 0"),
            (json!({"maxUnavailable": "35%"}), "expected 10 desired 6 healthy 7 allowed 1 disrupted 0"),
            (json!({"minAvailable": 20}), "expected 8 desired 20 healthy 7 allowed 0 disrupted 0"),
        ];
        for (spec, expected) in cases {
            assert_eq!(summary(spec, fresh.clone(), &pods), expected);
        }
        let evicting = json!({
            "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
            "disruptedPods": {"p1": "2026-01-02T03:04:00Z", "p2": "2026-01-02T03:00:00Z", "gone": "2026-01-02T03:04:00Z"},
        });
        let expected = "expected 8 desired 3 healthy 6 allowed 3 disrupted 1";
        assert_eq!(summary(json!({"minAvailable": 3}), evicting, &pods), expected);
    }
}

//! What a deployment reports; reasons and texts are those that `kubectl rollout` looks for.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus};
use portolan_base::Timestamp;
use portolan_base::clock::later;

use super::limits::Limits;
use super::plan::Set;

const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const PAUSED: &str = "DeploymentPaused";

/// Whether everything runs the current template and nothing old is left.
pub(super) fn is_complete(deployment: &Deployment, limits: &Limits, new: Option<&Set>, old: &[Set]) -> bool {
    let counts = Counts::of(limits, new, old);
    counts.updated == limits.replicas
        && counts.total == limits.replicas
        && counts.available == limits.replicas
        && deployment.spec.is_some()
}

struct Counts {
    total: i32,
    updated: i32,
    ready: i32,
    available: i32,
    unavailable: i32,
    terminating: i32,
}

impl Counts {
    fn of(_: &Limits, new: Option<&Set>, old: &[Set]) -> Self {
        let all = || new.into_iter().chain(old);
        let status = |set: &Set, field: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> Option<i32>| {
            set.original.status.as_ref().and_then(field).unwrap_or_default()
        };
        let available = all().map(Set::available).sum();
        let asked: i32 = all().map(|set| set.replicas).sum();
        Self {
            total: all().map(Set::actual).sum(),
            updated: new.map_or(0, Set::actual),
            ready: all().map(|set| status(set, |status| status.ready_replicas)).sum(),
            available,
            unavailable: (asked - available).max(0),
            terminating: all().map(|set| status(set, |status| status.terminating_replicas)).sum(),
        }
    }
}

/// The status, and when the progress deadline passes if nothing happens.
pub(super) fn observe(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    limits: &Limits,
    new: Option<&Set>,
    old: &[Set],
    now: Timestamp,
) -> (DeploymentStatus, Option<Timestamp>) {
    let counts = Counts::of(limits, new, old);
    let before = deployment.status.clone().unwrap_or_default();
    let mut conditions = Conditions { list: before.conditions.clone().unwrap_or_default(), now };
    if counts.available >= limits.min_available() {
        conditions.set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.");
    } else {
        let text = "Deployment does not have minimum availability.";
        conditions.set("Available", "False", "MinimumReplicasUnavailable", text);
    }
    let requeue_at = progress(deployment, spec, limits, new, old, &before, &counts, &mut conditions);
    let mut failures = new.into_iter().chain(old).filter_map(|set| {
        let conditions = set.original.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
    });
    match failures.next_back() {
        Some(failure) => {
            let reason = failure.reason.as_deref().unwrap_or_default();
            conditions.set("ReplicaFailure", "True", reason, failure.message.as_deref().unwrap_or_default());
        }
        None => conditions.list.retain(|condition| condition.type_ != "ReplicaFailure"),
    }
    let some = |number: i32| (number != 0).then_some(number);
    let status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(counts.total),
        updated_replicas: some(counts.updated),
        ready_replicas: some(counts.ready),
        available_replicas: some(counts.available),
        unavailable_replicas: some(counts.unavailable),
        terminating_replicas: Some(counts.terminating),
        collision_count: before.collision_count,
        conditions: Some(conditions.list),
    };
    (status, requeue_at)
}

#[expect(clippy::too_many_arguments, reason = "one step of `observe`, split off for reading only")]
fn progress(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    limits: &Limits,
    new: Option<&Set>,
    old: &[Set],
    before: &DeploymentStatus,
    counts: &Counts,
    conditions: &mut Conditions,
) -> Option<Timestamp> {
    // The deadline of the API's default is 600 s; i32::MAX means none.
    let deadline = spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)?;
    let current = conditions.get("Progressing").cloned();
    let reason = current.as_ref().and_then(|current| current.reason.as_deref()).unwrap_or_default().to_owned();
    if spec.paused == Some(true) {
        if reason != PAUSED && reason != NEW_AVAILABLE {
            conditions.set("Progressing", "Unknown", PAUSED, "Deployment is paused");
        }
        return None;
    }
    if reason == PAUSED {
        conditions.set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
    }
    let name = new.map(|set| set.original.name().to_owned());
    let subject = name
        .as_ref()
        .map_or_else(|| format!("Deployment \"{}\"", deployment.name()), |name| format!("ReplicaSet \"{name}\""));
    if new.is_some_and(|set| set.is_new) {
        let text = format!("Created new replica set \"{}\"", name.unwrap_or_default());
        conditions.progress("True", "NewReplicaSetCreated", &text);
    } else if is_complete(deployment, limits, new, old) {
        if reason != NEW_AVAILABLE {
            conditions.set("Progressing", "True", NEW_AVAILABLE, &format!("{subject} has successfully progressed."));
        }
        return None;
    } else if has_progressed(before, counts) || (reason == NEW_AVAILABLE && counts.updated != limits.replicas) {
        conditions.progress("True", "ReplicaSetUpdated", &format!("{subject} is progressing."));
    } else if current.is_none() {
        let text = name.map(|name| format!("Found new replica set \"{name}\""));
        let text = text.unwrap_or_else(|| format!("{subject} is progressing."));
        conditions.progress("True", "FoundNewReplicaSet", &text);
    }
    let current = conditions.get("Progressing")?;
    let reason = current.reason.as_deref().unwrap_or_default();
    if reason == NEW_AVAILABLE || reason == TIMED_OUT {
        return None;
    }
    let from = current.last_update_time.as_ref().map_or(conditions.now, |time| time.0);
    let at = later(from, Duration::from_secs(u64::try_from(deadline).unwrap_or_default()));
    if at > conditions.now {
        return Some(at);
    }
    conditions.set("Progressing", "False", TIMED_OUT, &format!("{subject} has timed out progressing."));
    None
}

fn has_progressed(before: &DeploymentStatus, counts: &Counts) -> bool {
    let number = |value: Option<i32>| value.unwrap_or_default();
    let old_before = number(before.replicas) - number(before.updated_replicas);
    counts.updated > number(before.updated_replicas)
        || counts.total - counts.updated < old_before
        || counts.ready > number(before.ready_replicas)
        || counts.available > number(before.available_replicas)
}

struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|condition| condition.type_ == kind)
    }

    /// Sets a condition; an equal one keeps its times.
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let old = self.get(kind);
        if old.is_some_and(|old| old.status == status && old.reason.as_deref() == Some(reason)) {
            return;
        }
        let kept = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
        let condition = DeploymentCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_update_time: Some(Time(self.now)),
            last_transition_time: Some(kept.unwrap_or(Time(self.now))),
        };
        self.list.retain(|condition| condition.type_ != kind);
        self.list.push(condition);
    }

    /// Like `set` for `Progressing`, but restarts the deadline even if only time passed.
    fn progress(&mut self, status: &str, reason: &str, message: &str) {
        self.set("Progressing", status, reason, message);
        let now = self.now;
        if let Some(condition) = self.list.iter_mut().find(|condition| condition.type_ == "Progressing") {
            condition.last_update_time = Some(Time(now));
            condition.message = Some(message.to_owned());
        }
    }
}

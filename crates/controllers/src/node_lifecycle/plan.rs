//! Decides what the silence of a node means for it and its pods.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::kinds::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use portolan_base::Timestamp;
use portolan_base::clock::later;
use portolan_client::tolerates;

use crate::meta::is_deleting;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away, and their taints.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// A look at a node's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// When the node last showed a sign of life, by our clock.
    pub(super) at: Timestamp,
    /// The lease's time then, by the node's clock, which may be wrong; `None` without a lease.
    pub(super) renewed: Option<Timestamp>,
}

/// What a look at a node's lease tells, after an earlier look.
///
/// The first look starts the count. From then on the node's time counts as far as its clock went on: a
/// look that comes late does not make an old sign of life a new one.
pub(super) fn hear(before: Option<Heard>, renewed: Option<Timestamp>, now: Timestamp) -> Heard {
    let at = match before {
        None => now,
        Some(before) if before.renewed == renewed => before.at,
        Some(before) => match (before.renewed, renewed) {
            (Some(earlier), Some(later)) if later > earlier => {
                before.at.checked_add(later.duration_since(earlier)).map_or(now, |at| at.min(now))
            }
            // The node's clock was set back, or the lease is another one.
            _ => now,
        },
    };
    Heard { at, renewed }
}

/// What a node needs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// New conditions, if they change.
    pub(super) conditions: Option<Vec<NodeCondition>>,
    /// New taints, if they change.
    pub(super) taints: Option<Vec<Taint>>,
    /// When its silence becomes too long.
    pub(super) requeue_at: Option<Timestamp>,
}

/// Returns what must change for a node last heard of at `heard`.
pub(super) fn plan_node(node: &Node, heard: Timestamp, grace: Duration, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let present = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut conditions = present.clone();
    if heard + grace > now {
        plan.requeue_at = Some(heard + grace);
    } else {
        for kind in CONDITIONS {
            lose(&mut conditions, kind, now);
        }
    }
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").map(|found| found.status.as_str());
    let key = match ready {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        Some(_) => Some(NOT_READY),
        // Never reported yet.
        None => Some(NOT_READY),
    };
    if conditions != present {
        plan.conditions = Some(conditions);
    }
    let spec = node.spec.as_ref();
    let before = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let cordoned = spec.and_then(|spec| spec.unschedulable) == Some(true);
    let mut after = before.clone();
    for known in [NOT_READY, UNREACHABLE] {
        for effect in ["NoSchedule", "NoExecute"] {
            set_taint(&mut after, known, effect, key == Some(known), now);
        }
    }
    set_taint(&mut after, UNSCHEDULABLE, "NoSchedule", cordoned, now);
    for (condition, known) in PRESSURES {
        let current = plan.conditions.as_ref().unwrap_or(&present);
        let holds = current.iter().any(|found| found.type_ == condition && found.status == "True");
        set_taint(&mut after, known, "NoSchedule", holds, now);
    }
    plan.taints = (after != before).then_some(after);
    plan
}

fn lose(conditions: &mut Vec<NodeCondition>, kind: &str, now: Timestamp) {
    let index = conditions.iter().position(|condition| condition.type_ == kind);
    if index.is_some_and(|index| conditions[index].status == "Unknown") {
        return;
    }
    let (reason, message) = match index {
        Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
    };
    let condition = NodeCondition {
        type_: kind.to_owned(),
        status: "Unknown".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: index.and_then(|index| conditions[index].last_heartbeat_time.clone()),
        last_transition_time: Some(Time(now)),
    };
    match index {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

fn set_taint(taints: &mut Vec<Taint>, key: &str, effect: &str, wanted: bool, now: Timestamp) {
    let index = taints.iter().position(|taint| taint.key == key && taint.effect == effect);
    match (index, wanted) {
        (Some(index), false) => drop(taints.remove(index)),
        (None, true) => taints.push(Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            value: None,
            time_added: Some(Time(now)),
        }),
        (Some(_), true) | (None, false) => {}
    }
}

/// Whether the node drives out pods.
pub(super) fn evicts(node: &Node) -> bool {
    taints(node).next().is_some()
}

fn taints(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == "NoExecute")
}

/// The pods that must leave a tainted node now, and when the next one must.
pub(super) fn plan_evictions(node: &Node, pods: &[Arc<Pod>], now: Timestamp) -> (Vec<Arc<Pod>>, Option<Timestamp>) {
    let (mut leave, mut next) = (Vec::new(), None::<Timestamp>);
    for pod in pods.iter().filter(|pod| !is_deleting(&***pod)) {
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        match taints(node).filter_map(|taint| leaves_at(taint, tolerations, now)).min() {
            Some(at) if at <= now => leave.push(pod.clone()),
            Some(at) => next = Some(next.map_or(at, |earlier| earlier.min(at))),
            None => {}
        }
    }
    (leave, next)
}

/// When a taint drives a pod out; `None` if never.
fn leaves_at(taint: &Taint, tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    let matching: Vec<&Toleration> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
    if matching.is_empty() {
        return Some(now);
    }
    let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    let added = taint.time_added.as_ref().map_or(now, |time| time.0);
    Some(later(added, Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

#[cfg(test)]
mod tests;

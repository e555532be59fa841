//! The status of a pod, from what the runtime has and the agent remembers.

mod conditions;
mod containers;
mod resources;

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_base::Timestamp;
use portolan_base::clock::later;
use portolan_runtime::{ContainerId, ContainerState};

use super::state::{Cause, Local, PodRuntime, Verdict};
use crate::pod::{self, Role};
use conditions::conditions;
use containers::container_statuses;

/// What a status needs besides the pod and its containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Addresses of the node, the primary one first.
    pub(crate) host_addresses: Vec<IpAddr>,
    /// What ended containers left at their termination message path.
    pub(crate) messages: std::collections::BTreeMap<ContainerId, String>,
}

/// Phases of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// When the pod's `activeDeadlineSeconds` run out.
pub(crate) fn deadline_at(pod: &Pod) -> Option<Timestamp> {
    let seconds = pod::spec(pod).active_deadline_seconds?;
    let started = pod.status.as_ref()?.start_time.as_ref()?;
    Some(later(started.0, Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

/// Whether the pod's active deadline is over.
fn exceeded(pod: &Pod, now: Timestamp) -> bool {
    deadline_at(pod).is_some_and(|deadline| deadline <= now)
}

/// Whether the pod has ended for good, so that whatever still runs is to be stopped.
pub(crate) fn is_terminal(pod: &Pod, runtime: &PodRuntime, local: &Local, now: Timestamp) -> bool {
    pod::has_ended(pod) || local.verdict.is_some() || exceeded(pod, now) || outcome(pod, runtime, local).is_some()
}

/// The phase, as upstream defines it; a terminal one only once nothing runs any more.
pub(crate) fn phase(pod: &Pod, runtime: &PodRuntime, local: &Local, now: Timestamp) -> Phase {
    if let Some(reported) = reported_phase(pod).filter(|phase| phase.is_terminal()) {
        // A terminal phase is never left.
        return reported;
    }
    let stopped = runtime.alive().next().is_none();
    if stopped && (local.verdict.is_some() || exceeded(pod, now)) {
        return Phase::Failed;
    }
    if let Some(outcome) = outcome(pod, runtime, local).filter(|_| stopped) {
        return outcome;
    }
    let containers = pod::containers(pod);
    let app = || containers.iter().filter(|(role, _)| *role == Role::App);
    if app().count() > 0 && app().all(|(_, container)| was_started(runtime, &container.name)) {
        Phase::Running
    } else {
        Phase::Pending
    }
}

/// The status that should stand in the API, of a pod with what it may have.
pub(crate) fn status(
    pod: &Pod,
    runtime: &PodRuntime,
    local: &Local,
    around: &Surroundings,
    now: Timestamp,
) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    let phase = phase(pod, runtime, local, now);
    if let Some(verdict) = local.verdict.as_ref().filter(|verdict| verdict.cause == Cause::Refused) {
        return refused(pod, verdict, now);
    }
    let statuses = container_statuses(pod, runtime, local, around, phase);
    let mut conditions = conditions(pod, runtime, local, &statuses, phase, now);
    conditions.extend(disruption(pod, local.verdict.as_ref(), &conditions, now));
    let [init_container_statuses, container_statuses, ephemeral_container_statuses] = statuses;

    let host: Vec<String> = around.host_addresses.iter().map(ToString::to_string).collect();
    let addresses: Vec<String> = if pod::host_network(pod) {
        host.clone()
    } else {
        let sandbox = runtime.sandbox().filter(|sandbox| sandbox.ready);
        match sandbox {
            Some(sandbox) => sandbox.addresses.iter().map(ToString::to_string).collect(),
            // A pod that ended keeps the address that it had, as upstream.
            None => before.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
        }
    };
    let verdict = local.verdict.as_ref().filter(|_| phase == Phase::Failed && before.reason.is_none());
    let (reason, message) = if let Some(verdict) = verdict {
        (Some(verdict.reason.clone()), Some(verdict.message.clone()))
    } else if phase == Phase::Failed && exceeded(pod, now) && before.reason.is_none() {
        let message = "Pod was active on the node longer than the specified deadline";
        (Some("DeadlineExceeded".to_owned()), Some(message.to_owned()))
    } else {
        (before.reason, before.message)
    };
    let (allocated_resources, resources) = resources::resources(pod, local.group.as_ref());
    PodStatus {
        allocated_resources,
        resources: Some(resources),
        conditions: Some(conditions),
        container_statuses: Some(container_statuses),
        ephemeral_container_statuses: non_empty(ephemeral_container_statuses),
        host_ip: host.first().cloned(),
        host_ips: non_empty(host.into_iter().map(|ip| HostIP { ip }).collect()),
        init_container_statuses: non_empty(init_container_statuses),
        message,
        observed_generation: pod.metadata.generation,
        phase: Some(phase.name().to_owned()),
        pod_ip: addresses.first().cloned(),
        pod_ips: non_empty(addresses.into_iter().map(|ip| PodIP { ip }).collect()),
        qos_class: Some(before.qos_class.unwrap_or_else(|| pod::qos_class(pod).name().to_owned())),
        reason,
        start_time: Some(before.start_time.unwrap_or(Time(now))),
        ..pod.status.clone().unwrap_or_default()
    }
}

/// The status of a pod that never began: nothing is known of its containers.
fn refused(pod: &Pod, verdict: &Verdict, now: Timestamp) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    PodStatus {
        phase: before.phase.clone().filter(|_| pod::has_ended(pod)).or_else(|| Some(Phase::Failed.name().to_owned())),
        reason: before.reason.clone().or_else(|| Some(verdict.reason.clone())),
        message: before.message.clone().or_else(|| Some(format!("Pod was rejected: {}", verdict.message))),
        qos_class: Some(before.qos_class.clone().unwrap_or_else(|| pod::qos_class(pod).name().to_owned())),
        start_time: Some(before.start_time.clone().unwrap_or(Time(now))),
        observed_generation: pod.metadata.generation,
        ..before
    }
}

/// Says to whoever owns the pod that it did not fail by itself.
fn disruption(pod: &Pod, verdict: Option<&Verdict>, known: &[PodCondition], now: Timestamp) -> Option<PodCondition> {
    const NAME: &str = "DisruptionTarget";
    let verdict = verdict?;
    if known.iter().any(|condition| condition.type_ == NAME) {
        return None;
    }
    Some(PodCondition {
        type_: NAME.to_owned(),
        status: "True".to_owned(),
        reason: Some("TerminationByKubelet".to_owned()),
        message: Some(verdict.message.clone()),
        last_transition_time: Some(Time(now)),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    })
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn reported_phase(pod: &Pod) -> Option<Phase> {
    match pod.status.as_ref()?.phase.as_deref()? {
        "Succeeded" => Some(Phase::Succeeded),
        "Failed" => Some(Phase::Failed),
        "Running" => Some(Phase::Running),
        _ => Some(Phase::Pending),
    }
}

/// How the pod ended, if its containers will not run again.
fn outcome(pod: &Pod, runtime: &PodRuntime, local: &Local) -> Option<Phase> {
    let busy = |name: &str| local.in_flight.contains(&super::state::Work::Start(name.to_owned()));
    // The exit code of a container that is not started again.
    let ended = |role: Role, container: &k8s_openapi::api::core::v1::Container| {
        if busy(&container.name) {
            return None;
        }
        let ContainerState::Exited { exit_code, .. } = &runtime.latest(&container.name)?.state else { return None };
        let policy = pod::restart_policy(pod, role, container);
        (!policy.restarts(*exit_code)).then_some(*exit_code)
    };
    let containers = pod::containers(pod);
    for (_, container) in containers.iter().filter(|(role, _)| *role == Role::Init) {
        if ended(Role::Init, container).is_some_and(|code| code != 0) {
            return Some(Phase::Failed);
        }
    }
    let mut apps = containers.iter().filter(|(role, _)| *role == Role::App).peekable();
    apps.peek()?;
    let codes: Option<Vec<i32>> = apps.map(|(role, container)| ended(*role, container)).collect();
    Some(if codes?.iter().all(|code| *code == 0) { Phase::Succeeded } else { Phase::Failed })
}

/// Whether a container has ever been started here.
fn was_started(runtime: &PodRuntime, name: &str) -> bool {
    runtime
        .latest(name)
        .is_some_and(|status| matches!(status.state, ContainerState::Running { .. } | ContainerState::Exited { .. }))
        || runtime.previous(name).is_some()
}

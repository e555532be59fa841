//! Conditions of a pod.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_base::Timestamp;

use super::Phase;
use crate::lifecycle::resize;
use crate::lifecycle::state::{Local, PodRuntime, Volumes};
use crate::pod::{self, Role};

/// Those this agent decides.
const OWN: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    resize::PENDING,
    resize::IN_PROGRESS,
];

struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Self { holds: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: false, reason, message: message.into() }
    }
}

/// All conditions; those of others are passed on unchanged.
pub(super) fn conditions(
    pod: &Pod,
    runtime: &PodRuntime,
    local: &Local,
    statuses: &[Vec<ContainerStatus>; 3],
    phase: Phase,
    now: Timestamp,
) -> Vec<PodCondition> {
    let known = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let sandbox_ready = runtime.sandbox().is_some_and(|sandbox| sandbox.ready) && local.volumes != Volumes::TornDown;
    let containers_ready = containers_ready(pod, statuses, phase);
    let ready = ready(pod, known, &containers_ready);
    let mut verdicts = vec![
        ("PodReadyToStartContainers", if sandbox_ready { Verdict::yes() } else { Verdict::no("", "") }),
        ("Initialized", initialized(pod, runtime, statuses, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Verdict::yes()),
    ];
    if !phase.is_terminal() {
        verdicts.extend(resizing(pod, runtime, local));
    }
    let mut conditions: Vec<PodCondition> = verdicts
        .into_iter()
        .map(|(name, verdict)| {
            let status = if verdict.holds { "True" } else { "False" };
            let before = known.iter().find(|condition| condition.type_ == name);
            let since = before.filter(|before| before.status == status).and_then(|c| c.last_transition_time.clone());
            PodCondition {
                type_: name.to_owned(),
                status: status.to_owned(),
                reason: (!verdict.reason.is_empty()).then(|| verdict.reason.to_owned()),
                message: (!verdict.message.is_empty()).then_some(verdict.message),
                last_transition_time: Some(since.unwrap_or(Time(now))),
                last_probe_time: None,
                observed_generation: pod.metadata.generation,
            }
        })
        .collect();
    conditions.extend(known.iter().filter(|condition| !OWN.contains(&condition.type_.as_str())).cloned());
    conditions
}

/// How far a resize is; nothing if there is none.
fn resizing(pod: &Pod, runtime: &PodRuntime, local: &Local) -> Vec<(&'static str, Verdict)> {
    let mut verdicts = Vec::new();
    if let Some((reason, message)) = local.room.refusal() {
        verdicts.push((resize::PENDING, Verdict { reason, message: message.to_owned(), ..Verdict::yes() }));
    }
    if let Some(message) = resize::in_progress(pod, runtime, local) {
        let reason = if message.is_empty() { "" } else { "Error" };
        verdicts.push((resize::IN_PROGRESS, Verdict { reason, message, ..Verdict::yes() }));
    }
    verdicts
}

fn initialized(pod: &Pod, runtime: &PodRuntime, statuses: &[Vec<ContainerStatus>; 3], phase: Phase) -> Verdict {
    if phase == Phase::Succeeded {
        return Verdict { reason: "PodCompleted", ..Verdict::yes() };
    }
    let running = pod::containers(pod)
        .iter()
        .any(|(role, container)| *role == Role::App && runtime.current(&container.name).is_some());
    let waiting: Vec<&str> = statuses[0]
        .iter()
        .filter(|status| match pod::container(pod, &status.name) {
            Some((Role::Sidecar, _)) => status.started != Some(true),
            _ => !status.ready,
        })
        .map(|status| status.name.as_str())
        .collect();
    if running || waiting.is_empty() {
        Verdict::yes()
    } else {
        let message = format!("containers with incomplete status: [{}]", waiting.join(" "));
        Verdict::no("ContainersNotInitialized", message)
    }
}

fn containers_ready(pod: &Pod, statuses: &[Vec<ContainerStatus>; 3], phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", ""),
        Phase::Failed => return Verdict::no("PodFailed", ""),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars =
        statuses[0].iter().filter(|status| matches!(pod::container(pod, &status.name), Some((Role::Sidecar, _))));
    let unready: Vec<&str> =
        sidecars.chain(&statuses[1]).filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
    }
}

fn ready(pod: &Pod, known: &[PodCondition], containers_ready: &Verdict) -> Verdict {
    if !containers_ready.holds {
        return Verdict::no(containers_ready.reason, containers_ready.message.clone());
    }
    for gate in pod::spec(pod).readiness_gates.iter().flatten() {
        match known.iter().find(|condition| condition.type_ == gate.condition_type) {
            Some(condition) if condition.status == "True" => {}
            Some(_) => {
                let message =
                    format!("the status of pod readiness gate \"{}\" is not \"True\", but False", gate.condition_type);
                return Verdict::no("ReadinessGatesNotReady", message);
            }
            None => {
                let message = format!(
                    "corresponding condition of pod readiness gate \"{}\" does not exist.",
                    gate.condition_type
                );
                return Verdict::no("ReadinessGatesNotReady", message);
            }
        }
    }
    Verdict::yes()
}

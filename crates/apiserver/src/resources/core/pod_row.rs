//! The row of a pod in `kubectl get pods`.
//!
//! Source: `k8s.io/kubernetes/pkg/printers/internalversion`, `printPod`.

use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::json::{is_set, items, text};
use crate::resources::print;

/// What the containers of a pod add up to.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += print::integer(&status["restartCount"]);
        self.last = self.last.max(print::time(&status["lastState"]["terminated"]["finishedAt"]));
    }
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarise(pod);
    let restarts = match summary.restarts {
        Restarts { count, last: Some(last) } if count != 0 => {
            format!("{count} ({} ago)", print::human_duration(now.as_second() - last.as_second()))
        }
        Restarts { count, .. } => count.to_string(),
    };
    let or_none = |value: &Value| Value::from(value.as_str().filter(|text| !text.is_empty()).unwrap_or(print::NONE));
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let ip = if is_set(&status["podIPs"]) { &status["podIPs"][0]["ip"] } else { &status["podIP"] };
    vec![
        print::name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        print::age(pod, now),
        or_none(ip),
        or_none(&spec["nodeName"]),
        or_none(&status["nominatedNodeName"]),
        readiness_gates(pod).into(),
    ]
}

fn summarise(pod: &Value) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let init_containers = items(&spec["initContainers"]);
    let sidecars = init_containers.iter().filter(|container| is_sidecar(container)).count();
    let mut summary = Summary {
        ready: 0,
        total: items(&spec["containers"]).len() + sidecars,
        reason: text(if is_set(&status["reason"]) { &status["reason"] } else { &status["phase"] }).to_owned(),
        restarts: Restarts::default(),
    };
    if condition(pod, "PodScheduled").is_some_and(|found| text(&found["reason"]) == "SchedulingGated") {
        summary.reason = "SchedulingGated".to_owned();
    }
    let (initializing, sidecar_restarts) = summarise_init(pod, &mut summary);
    if !initializing || has_condition(pod, "Initialized") {
        summary.restarts = sidecar_restarts;
        summarise_main(pod, &mut summary);
    }
    if is_set(&pod["metadata"]["deletionTimestamp"]) {
        let phase = text(&status["phase"]);
        if text(&status["reason"]) == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if phase != "Failed" && phase != "Succeeded" {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary
}

/// Whether initialisation is still under way or failed, and the restarts of sidecars so far.
fn summarise_init(pod: &Value, summary: &mut Summary) -> (bool, Restarts) {
    let containers = items(&pod["spec"]["initContainers"]);
    let mut sidecar_restarts = Restarts::default();
    for (index, container) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        summary.restarts.add(container);
        let sidecar = containers
            .iter()
            .any(|candidate| text(&candidate["name"]) == text(&container["name"]) && is_sidecar(candidate));
        if sidecar {
            sidecar_restarts.add(container);
        }
        let (terminated, waiting) = (&container["state"]["terminated"], text(&container["state"]["waiting"]["reason"]));
        if !terminated.is_null() && print::integer(&terminated["exitCode"]) == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        summary.reason = if !terminated.is_null() {
            format!("Init:{}", termination(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", containers.len())
        };
        return (true, sidecar_restarts);
    }
    (false, sidecar_restarts)
}

fn summarise_main(pod: &Value, summary: &mut Summary) {
    let mut running = false;
    for container in items(&pod["status"]["containerStatuses"]).iter().rev() {
        summary.restarts.add(container);
        let state = &container["state"];
        let waiting = text(&state["waiting"]["reason"]);
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if !state["terminated"].is_null() {
            summary.reason = termination(&state["terminated"]);
        } else if container["ready"] == true && !state["running"].is_null() {
            running = true;
            summary.ready += 1;
        }
    }
    if running && summary.reason == "Completed" {
        summary.reason = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
    }
}

fn termination(terminated: &Value) -> String {
    match (text(&terminated["reason"]), print::integer(&terminated["signal"])) {
        ("", 0) => format!("ExitCode:{}", print::integer(&terminated["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return print::NONE.to_owned();
    }
    let passed = gates.iter().filter(|gate| has_condition(pod, text(&gate["conditionType"]))).count();
    format!("{passed}/{}", gates.len())
}

fn is_sidecar(container: &Value) -> bool {
    text(&container["restartPolicy"]) == "Always"
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&pod["status"]["conditions"]).iter().find(|condition| text(&condition["type"]) == kind)
}

fn has_condition(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| text(&condition["status"]) == "True")
}

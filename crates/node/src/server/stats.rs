//! What the node and its pods use: `/stats/summary` and `/metrics/resource` as the kubelet has them, and what the
//! API server reads to answer for `metrics.k8s.io`.

use std::fmt::Write as _;

use http::{HeaderValue, Response, StatusCode, header};
use portolan_api::time;
use portolan_api::usage::{ContainerUsage, NodeUsage, PodUsage, Usage};
use portolan_base::Timestamp;
use portolan_base::error::chain;
use portolan_runtime::ContainerStatus;
use serde_json::{Value, json};

use super::{Body, Refusal, Shared, text};
use crate::lifecycle::PodRuntime;
use crate::usage::{Counters, Measured, Sample, started_at};

/// The form of Prometheus' text, with units and times.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn summary(shared: &Shared) -> Result<Value, Refusal> {
    let measured = shared.meter.measure().await.map_err(failed)?;
    let at = time::format(measured.now.at);
    let processor = |usage: Option<Usage>, counters: Option<&Counters>| {
        json!({
            "time": at, "usageNanoCores": usage.map_or(0, |usage| usage.cpu_nanocores),
            "usageCoreNanoSeconds": counters.map_or(0, nanoseconds),
        })
    };
    let memory = |bytes: u64| json!({"time": at, "workingSetBytes": bytes});
    let mut pods = Vec::new();
    for pod in shared.context.view.latest().pods() {
        let Some(sandbox) = pod.sandbox() else { continue };
        let found: Vec<_> = running(pod, &measured.now).collect();
        let usages: Vec<Option<Usage>> = found.iter().map(|(container, _)| measured.container(container)).collect();
        let containers: Vec<Value> = found
            .iter()
            .zip(&usages)
            .map(|((container, counters), usage)| {
                json!({
                    "name": container.name,
                    "startTime": time::format(container.created_at),
                    "cpu": processor(*usage, Some(counters)),
                    "memory": memory(counters.memory_bytes),
                    "rootfs": {"time": at, "usedBytes": counters.writable_layer_bytes},
                })
            })
            .collect();
        pods.push(json!({
            "podRef": {"name": sandbox.pod.name, "namespace": sandbox.pod.namespace, "uid": sandbox.pod.uid},
            "startTime": time::format(sandbox.created_at),
            "containers": containers,
            "cpu": {
                "time": at, "usageNanoCores": usages.iter().flatten().map(|usage| usage.cpu_nanocores).sum::<u64>(),
                "usageCoreNanoSeconds": found.iter().map(|(_, counters)| nanoseconds(counters)).sum::<u64>(),
            },
            "memory": memory(found.iter().map(|(_, counters)| counters.memory_bytes).sum()),
        }));
    }
    let node = measured.now.node.as_ref();
    Ok(json!({
        "node": {
            "nodeName": shared.context.config.node_name,
            "cpu": processor(measured.node(), node),
            "memory": memory(node.map_or(0, |counters| counters.memory_bytes)),
        },
        "pods": pods,
    }))
}

/// What the API server asks for.
pub(super) async fn usage(shared: &Shared) -> Result<Value, Refusal> {
    let measured = shared.meter.measure().await.map_err(failed)?;
    let latest = shared.context.view.latest();
    let pods = latest.pods().filter_map(|pod| pod_usage(pod, &measured)).collect();
    serde_json::to_value(NodeUsage { node: measured.node(), pods })
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn pod_usage(pod: &PodRuntime, measured: &Measured) -> Option<PodUsage> {
    let sandbox = pod.sandbox()?;
    let containers: Vec<ContainerUsage> = pod
        .alive()
        .filter_map(|container| {
            Some(ContainerUsage { name: container.name.clone(), usage: measured.container(container)? })
        })
        .collect();
    (!containers.is_empty()).then(|| PodUsage {
        namespace: sandbox.pod.namespace.clone(),
        name: sandbox.pod.name.clone(),
        uid: sandbox.pod.uid.clone(),
        containers,
    })
}

/// Counters for collectors that compute rates themselves.
pub(super) async fn resource_metrics(shared: &Shared) -> Result<Response<Body>, Refusal> {
    let now = shared.meter.read().await.map_err(failed)?;
    let latest = shared.context.view.latest();
    let mut rows = Rows { at: now.at, ..Rows::default() };
    if let Some(node) = &now.node {
        rows.usage("node", "", node);
    }
    for pod in latest.pods() {
        let Some(sandbox) = pod.sandbox() else { continue };
        let name = format!("namespace=\"{}\",pod=\"{}\"", sandbox.pod.namespace, sandbox.pod.name);
        let mut sum = Counters::default();
        for (container, counters) in running(pod, &now) {
            let labels = format!("container=\"{}\",{name}", container.name);
            rows.usage("container", &labels, counters);
            if let Some(started_at) = started_at(container) {
                rows.add("container_start_time_seconds", &labels, started_at.as_millisecond() as f64 / 1000.0);
            }
            sum.cpu += counters.cpu;
            sum.memory_bytes += counters.memory_bytes;
        }
        rows.usage("pod", &name, &sum);
    }
    rows.add("resource_scrape_error", "", 0.0);
    let mut response = text(StatusCode::OK, rows.text());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS));
    Ok(response)
}

/// Name, type and explanation of each metric, in the order in which they are shown.
const FAMILIES: [(&str, &str, &str); 8] = [
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds"),
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"),
    ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds"),
    ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
    ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
];

/// Rows of metrics by family.
#[derive(Default)]
struct Rows {
    at: Timestamp,
    rows: [String; FAMILIES.len()],
}

impl Rows {
    fn usage(&mut self, of: &str, labels: &str, counters: &Counters) {
        self.add(&format!("{of}_cpu_usage_seconds_total"), labels, counters.cpu.as_secs_f64());
        self.add(&format!("{of}_memory_working_set_bytes"), labels, counters.memory_bytes as f64);
    }

    fn add(&mut self, family: &str, labels: &str, value: f64) {
        let Some(index) = FAMILIES.iter().position(|(name, ..)| *name == family) else { return };
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        // An error is one at all times.
        let at =
            if family == "resource_scrape_error" { String::new() } else { format!(" {}", self.at.as_millisecond()) };
        // Writing to a string succeeds.
        let _ = writeln!(self.rows[index], "{family}{labels} {value}{at}");
    }

    fn text(self) -> String {
        let families = FAMILIES.iter().zip(self.rows).filter(|(_, rows)| !rows.is_empty());
        families
            .map(|((name, kind, help), rows)| format!("# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}\n{rows}"))
            .collect()
    }
}

/// The containers of a pod that run, with their counters.
fn running<'a>(pod: &'a PodRuntime, now: &'a Sample) -> impl Iterator<Item = (&'a ContainerStatus, &'a Counters)> {
    pod.alive().filter_map(|container| Some((container, now.containers.get(&container.id.0)?)))
}

fn nanoseconds(counters: &Counters) -> u64 {
    u64::try_from(counters.cpu.as_nanos()).unwrap_or(u64::MAX)
}

fn failed(error: portolan_runtime::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, chain(&error).to_string())
}

//! `/stats/summary`: what metrics collectors read.

use std::collections::HashMap;

use http::StatusCode;
use portolan_api::time;
use portolan_base::error::chain;
use portolan_runtime::ContainerStats;
use serde_json::{Value, json};

use super::{Refusal, Shared};

pub(super) async fn summary(shared: &Shared) -> Result<Value, Refusal> {
    let config = &shared.context.config;
    let failed =
        |error: portolan_runtime::Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, chain(&error).to_string());
    let stats: Vec<ContainerStats> = config.runtime.stats().await.map_err(failed)?;
    let by_container: HashMap<&str, &ContainerStats> =
        stats.iter().map(|stats| (stats.container.as_str(), stats)).collect();
    let now = time::format(config.clock.now());
    let mut pods = Vec::new();
    for pod in shared.context.view.latest().pods() {
        let Some(sandbox) = pod.sandbox() else { continue };
        let containers: Vec<Value> = pod
            .alive()
            .filter_map(|container| Some((container, by_container.get(container.id.0.as_str())?)))
            .map(|(container, stats)| {
                json!({
                    "name": container.name,
                    "startTime": time::format(container.created_at),
                    "cpu": {"time": now, "usageCoreNanoSeconds": u64::try_from(stats.cpu.as_nanos()).unwrap_or(u64::MAX)},
                    "memory": {"time": now, "workingSetBytes": stats.working_set_bytes},
                    "rootfs": {"time": now, "usedBytes": stats.writable_layer_bytes},
                })
            })
            .collect();
        pods.push(json!({
            "podRef": {"name": sandbox.pod.name, "namespace": sandbox.pod.namespace, "uid": sandbox.pod.uid},
            "startTime": time::format(sandbox.created_at),
            "containers": containers,
        }));
    }
    Ok(json!({"node": {"nodeName": config.node_name}, "pods": pods}))
}

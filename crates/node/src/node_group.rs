//! The control groups above those of pods: what all pods may have together, and how the classes of pods share it.
//!
//! Source: `enforceNodeAllocatableCgroups` and `setCPUCgroupConfig` of `pkg/kubelet/cm`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use portolan_api::resources::requests;
use portolan_base::Shutdown;
use portolan_base::timer::sleep_until;
use portolan_client::{EventType, Informer};
use portolan_runtime::Resources;
use tokio::time::Instant;

use crate::cgroup;
use crate::config::{Capacity, CgroupConfig};
use crate::container::resources::{class_path, shares};
use crate::pod::{QosClass, has_ended, qos_class};
use crate::registration::about;
use crate::worker::Context;

/// How long to wait after the limit of all pods could not be set: they may use more than it right now.
const RETRY: Duration = Duration::from_secs(60);

/// Keeps the groups as the node and its pods need them, until shutdown.
pub(crate) async fn run(context: Arc<Context>, config: CgroupConfig, pods: Informer<Pod>, shutdown: Shutdown) {
    shutdown.run(keep(&context, &config, &pods)).await;
}

async fn keep(context: &Context, config: &CgroupConfig, pods: &Informer<Pod>) {
    let mut enforce_at = enforce(context, config).await;
    pods.synced().await;
    let mut changes = pods.changes();
    let mut known = None;
    loop {
        changes.borrow_and_update();
        let classes = of_classes(&pods.list());
        if known.as_ref() != Some(&classes) {
            for (class, limits) in &classes {
                if let Err(error) = cgroup::ensure(Some(config), &class_path(&config.parent, *class), limits).await {
                    tracing::warn!(class = class.name(), "set the share of a class of pods: {error}");
                }
            }
            known = Some(classes);
        }
        tokio::select! {
            // Sent by a task that outlives this one.
            _ = changes.changed() => {}
            () = sleep_until(enforce_at) => enforce_at = enforce(context, config).await,
        }
    }
}

/// Limits all pods together; returns when to try again, if that failed.
async fn enforce(context: &Context, config: &CgroupConfig) -> Option<Instant> {
    let node = about(&context.config.node_name);
    match cgroup::ensure(Some(config), &config.parent, &of_all(&context.capacity)).await {
        Ok(()) => {
            let message = "Updated Node Allocatable limit across pods";
            context.events.event(&node, EventType::Normal, "NodeAllocatableEnforced", message);
            None
        }
        Err(error) => {
            let group = config.parent.trim_start_matches('/');
            let message = format!("Failed to update Node Allocatable Limits [{group:?}]: {error}");
            context.events.event(&node, EventType::Warning, "FailedNodeAllocatableEnforcement", message);
            Some(Instant::now() + RETRY)
        }
    }
}

/// What all pods may have together: all of the node. What must be left of it lets pods make room before this limit
/// ends one of them.
fn of_all(capacity: &Capacity) -> Resources {
    let cpu = i64::try_from(capacity.cpu_milli).unwrap_or(i64::MAX / 1024);
    Resources { cpu_shares: shares(cpu), memory_limit: capacity.memory_bytes, ..Resources::default() }
}

/// What the classes have beside guaranteed pods, which need none: as much as their pods ask for.
fn of_classes(pods: &[Arc<Pod>]) -> [(QosClass, Resources); 2] {
    let running = pods.iter().filter(|pod| !has_ended(pod) && qos_class(pod) == QosClass::Burstable);
    let asked = running.map(|pod| requests(pod).milli_cpu).fold(0, i64::saturating_add);
    let with = |milli| Resources { cpu_shares: shares(milli), ..Resources::default() };
    [(QosClass::Burstable, with(asked)), (QosClass::BestEffort, with(0))]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_pods_together_may_have_the_node() {
        let capacity =
            Capacity { cpu_milli: 2500, memory_bytes: 4 << 30, ephemeral_storage_bytes: 1, ..Capacity::default() };
        let limits = of_all(&capacity);
        assert_eq!((limits.cpu_shares, limits.cpu_quota_us, limits.memory_limit), (2560, 0, 4 << 30));
    }

    #[test]
    fn a_class_has_as_much_as_its_pods_ask_for() {
        let pod = |cpu: &str, phase: &str, class: &str| -> Arc<Pod> {
            let pod = json!({
                "metadata": {}, "status": {"phase": phase, "qosClass": class},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
            });
            Arc::new(serde_json::from_value(pod).expect("a pod"))
        };
        let cases = [
            (vec![], 2),
            (vec![pod("500m", "Running", "Burstable"), pod("250m", "Pending", "Burstable")], 768),
            (vec![pod("500m", "Running", "Guaranteed"), pod("1", "Succeeded", "Burstable")], 2),
        ];
        for (pods, expected) in cases {
            let classes = of_classes(&pods).map(|(class, limits)| (class, limits.cpu_shares));
            assert_eq!(classes, [(QosClass::Burstable, expected), (QosClass::BestEffort, 2)]);
        }
    }
}

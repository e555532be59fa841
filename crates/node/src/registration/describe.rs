//! The node object. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use portolan_base::Timestamp;
use portolan_runtime::Image;

use super::amounts;
use super::machine::{Machine, architecture};
use crate::config::Config;
use crate::pressure::Pressures;

/// Version reported to clients: what `kubectl get nodes` shows.
pub(crate) const VERSION: &str = "v1.36.0+portolan";
/// What this agent does that an older one does not, for whoever has to know before it asks for that.
///
/// Source: `k8s.io/component-helpers/nodedeclaredfeatures`; KEP-5328.
const DECLARED_FEATURES: [&str; 3] =
    ["ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"];
/// Images named in the status; more make the object heavy.
const IMAGES_REPORTED: usize = 50;

/// What the status is made of.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) machine: &'a Machine,
    /// Name and version of the runtime, or why it does not answer.
    pub(crate) runtime: Result<String, String>,
    pub(crate) images: Vec<Image>,
    pub(crate) server_port: Option<u16>,
    pub(crate) pressures: Pressures,
}

/// The labels every node has, besides those that were asked for.
pub(crate) fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    for (name, value) in [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels
}

/// The node as it is registered, without status.
pub(crate) fn node(config: &Config) -> Node {
    let pod_cidr = (!config.pod_cidr.is_empty()).then(|| config.pod_cidr.clone());
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidrs: pod_cidr.clone().map(|cidr| vec![cidr]),
            pod_cidr,
            taints: (!config.taints.is_empty()).then(|| config.taints.clone()),
            provider_id: Some(format!("portolan://{}", config.node_name)),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// The status. Times of conditions that did not change are taken from `before`.
pub(crate) fn status(facts: &Facts<'_>, before: Option<&NodeStatus>, now: Timestamp) -> NodeStatus {
    let config = facts.config;
    let capacity = config.capacity.as_ref().unwrap_or(&facts.machine.capacity);
    let others = amounts::of_others(before);
    let of_all = |own| others.clone().into_iter().chain(amounts::own(own, config.max_pods)).collect();
    let mut addresses: Vec<NodeAddress> = config
        .addresses
        .iter()
        .map(|address| NodeAddress { type_: "InternalIP".into(), address: address.to_string() })
        .collect();
    addresses.push(NodeAddress { type_: "Hostname".into(), address: config.node_name.clone() });
    let mut images: Vec<ContainerImage> = facts
        .images
        .iter()
        .map(|image| ContainerImage {
            names: Some(image.digests.iter().chain(&image.tags).cloned().collect()),
            size_bytes: i64::try_from(image.size_bytes).ok(),
        })
        .collect();
    images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.names.cmp(&b.names)));
    images.truncate(IMAGES_REPORTED);

    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(of_all(capacity)),
        allocatable: Some(of_all(&config.allocatable(capacity))),
        conditions: Some(conditions(facts, before, now)),
        daemon_endpoints: facts
            .server_port
            .map(|port| NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(port) }) }),
        // What the runtime could do besides is not asked of it by this agent.
        declared_features: Some(DECLARED_FEATURES.map(str::to_owned).into()),
        features: Some(NodeFeatures { supplemental_groups_policy: Some(false) }),
        runtime_handlers: Some(vec![NodeRuntimeHandler {
            // The default handler's name is empty, and shown: without it this would differ from what is read back.
            name: Some(String::new()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(false),
                user_namespaces: Some(false),
            }),
        }]),
        images: (!images.is_empty()).then_some(images),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().into(),
            boot_id: facts.machine.boot_id.clone(),
            container_runtime_version: facts.runtime.clone().unwrap_or_else(|_| "unknown://".into()),
            kernel_version: facts.machine.kernel.clone(),
            kube_proxy_version: VERSION.into(),
            kubelet_version: VERSION.into(),
            machine_id: facts.machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: facts.machine.os_image.clone(),
            swap: None,
            system_uuid: facts.machine.system_uuid.clone(),
        }),
        ..NodeStatus::default()
    }
}

fn conditions(facts: &Facts<'_>, before: Option<&NodeStatus>, now: Timestamp) -> Vec<NodeCondition> {
    let ready = match &facts.runtime {
        Ok(_) => ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Err(reason) => ("Ready", "False", "KubeletNotReady", reason.clone()),
    };
    let Pressures { memory, disk, pid } = facts.pressures;
    let pressure = |name, holds, relaxed: (&'static str, &str), short: (&'static str, &str)| {
        let (status, (reason, message)) = if holds { ("True", short) } else { ("False", relaxed) };
        (name, status, reason, message.to_owned())
    };
    let ours = [
        pressure(
            "MemoryPressure",
            memory,
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ),
        pressure(
            "DiskPressure",
            disk,
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ),
        pressure(
            "PIDPressure",
            pid,
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ),
        ready,
    ];
    let known = before.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let mut conditions: Vec<NodeCondition> =
        known.iter().filter(|condition| ours.iter().all(|(name, ..)| condition.type_ != *name)).cloned().collect();
    for (name, status, reason, message) in ours {
        let since = known
            .iter()
            .find(|condition| condition.type_ == name && condition.status == status)
            .and_then(|condition| condition.last_transition_time.clone());
        conditions.push(NodeCondition {
            type_: name.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: Some(since.unwrap_or(Time(now))),
        });
    }
    conditions
}

/// Whether two statuses differ in more than the time they were made.
pub(crate) fn differ(a: &NodeStatus, b: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    timeless(a) != timeless(b)
}

/// What a condition of a node says: `True`, `False` or nothing.
pub(crate) fn condition<'a>(status: Option<&'a NodeStatus>, name: &str) -> Option<&'a str> {
    let mut conditions = status?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == name).map(|condition| condition.status.as_str())
}

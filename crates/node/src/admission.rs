//! Whether a pod may begin on this node. Pure.
//!
//! The scheduler decides from what it knows; pods can also name their node themselves, and the node may
//! have become short of something since. A pod that is refused fails at once, with upstream's reason, and
//! whoever owns it makes another one.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::config::Capacity;
use crate::lifecycle::resize::Room;
use crate::lifecycle::{Cause, Verdict};
use crate::pod::{self, QosClass, Role, qos_class, quantity};
use crate::pressure::Pressures;
use portolan_api::resources::{Resources, requests};

/// Pods from this priority on are what the node needs itself: they are never refused or ended for others.
pub(crate) const CRITICAL: i32 = 2_000_000_000;

/// What the node has for pods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    /// Without what is kept back.
    pub(crate) capacity: &'a Capacity,
    pub(crate) max_pods: u32,
    pub(crate) pressures: Pressures,
}

/// Returns why `pod` may not begin beside `others`, the pods that have begun and not ended.
pub(crate) fn admit(pod: &Pod, others: &[Arc<Pod>], offer: &Offer<'_>) -> Result<(), Verdict> {
    let refuse =
        |reason: &str, message: String| Err(Verdict { cause: Cause::Refused, reason: reason.to_owned(), message });
    if let Some(names) = under_pressure(pod, offer.pressures) {
        return refuse("Evicted", format!("The node had condition: [{names}]. "));
    }
    if let Some((resource, requested, used, capacity)) = missing(pod, others, offer) {
        let message = format!(
            "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        return refuse(&format!("OutOf{resource}"), message);
    }
    let taken: Vec<HostPort> = others.iter().flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|wanted| taken.iter().any(|port| wanted.conflicts(port))) {
        let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return refuse("NodePorts", message.to_owned());
    }
    Ok(())
}

/// Returns whether `pod`, which runs, can have what it asks for beside `others`.
pub(crate) fn fits(pod: &Pod, others: &[Arc<Pod>], offer: &Offer<'_>) -> Room {
    // What counts is what it asks for, not what it was told before.
    let pod = &Pod { status: None, ..pod.clone() };
    // Upstream's words differ: alone it is a lack of capacity.
    if let Some((resource, requested, _, capacity)) = missing(pod, &[], offer) {
        let amounts = format!("{resource}, requested: {requested}, capacity: {capacity}");
        return Room::Never(format!("Node didn't have enough capacity: {amounts}"));
    }
    match missing(pod, others, offer) {
        Some((resource, requested, used, capacity)) => Room::Later(format!(
            "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        )),
        None => Room::Enough,
    }
}

/// The conditions of the node that keep a pod away, if any do.
///
/// A node short of memory still takes pods that say how much they need, or that tolerate it.
fn under_pressure(pod: &Pod, pressures: Pressures) -> Option<String> {
    let names = pressures.names();
    if names.is_empty() || pod::spec(pod).priority.unwrap_or(0) >= CRITICAL {
        return None;
    }
    if names == ["MemoryPressure"] {
        let tolerates = pod::spec(pod).tolerations.iter().flatten().any(|toleration| {
            let key = toleration.key.as_deref().unwrap_or_default();
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let exists = toleration.operator.as_deref() == Some("Exists");
            (key == "node.kubernetes.io/memory-pressure" || key.is_empty() && exists)
                && matches!(effect, "" | "NoSchedule")
        });
        if tolerates || qos_class(pod) != QosClass::BestEffort {
            return None;
        }
    }
    Some(names.join(" "))
}

/// The first resource that is not left in the amount that the pod asks for.
fn missing(pod: &Pod, others: &[Arc<Pod>], offer: &Offer<'_>) -> Option<(String, i64, i64, i64)> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let pods = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let wanted = requests(pod);
    let mut used = Resources::default();
    others.iter().for_each(|other| used.add(&requests(other)));
    let Capacity { cpu_milli, memory_bytes, ephemeral_storage_bytes, huge_pages } = offer.capacity;
    let amounts = [
        ("pods", 1, pods, i64::from(offer.max_pods)),
        ("cpu", wanted.milli_cpu, used.milli_cpu, number(*cpu_milli)),
        ("memory", wanted.memory, used.memory, number(*memory_bytes)),
        ("ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, number(*ephemeral_storage_bytes)),
    ];
    let huge_pages = wanted.extended.iter().filter_map(|(name, wanted)| {
        let pool = huge_pages.get(&quantity::page_size(name)?).copied().unwrap_or(0);
        Some((name.as_str(), *wanted, used.extended.get(name).copied().unwrap_or(0), number(pool)))
    });
    let mut amounts = amounts.into_iter().chain(huge_pages);
    let (name, wanted, used, capacity) =
        amounts.find(|(_, wanted, used, capacity)| *wanted > 0 && used.saturating_add(*wanted) > *capacity)?;
    Some((name.to_owned(), wanted, used, capacity))
}

/// A port of the machine that a container takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort {
    protocol: String,
    address: String,
    port: i32,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let any = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.address) || any(&other.address) || self.address == other.address)
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod::containers(pod).into_iter().filter(|(role, _)| matches!(role, Role::App | Role::Sidecar));
    let ports = containers.flat_map(|(_, container)| container.ports.unwrap_or_default());
    ports
        .filter_map(|port| {
            Some(HostPort {
                protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
                address: port.host_ip.unwrap_or_default(),
                port: port.host_port.filter(|port| *port > 0)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(container: Value, spec: Value) -> Pod {
        let mut object = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        object["spec"]["containers"][0]
            .as_object_mut()
            .expect("an object")
            .extend(container.as_object().expect("an object").clone());
        object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        serde_json::from_value(object).expect("the test's pod is valid")
    }

    #[test]
    fn a_pod_is_refused_with_the_reason_that_people_know() {
        let asks =
            |resource: &str, amount: &str| pod(json!({"resources": {"requests": {resource: amount}}}), json!({}));
        let port = |port: i32, address: &str, protocol: &str| {
            pod(
                json!({"ports": [{"containerPort": 1, "hostPort": port, "hostIP": address, "protocol": protocol}]}),
                json!({}),
            )
        };
        let (none, memory, disk) = (
            Pressures::default(),
            Pressures { memory: true, ..Pressures::default() },
            Pressures { memory: true, disk: true, pid: false },
        );
        let exists = json!({"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]});
        let ports = "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        let cases = [
            (asks("cpu", "1500m"), vec![asks("cpu", "500m")], none, ""),
            (
                asks("cpu", "1501m"),
                vec![asks("cpu", "500m")],
                none,
                "OutOfcpu: Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
            ),
            (
                asks("memory", "5Gi"),
                vec![],
                none,
                "OutOfmemory: Node didn't have enough resource: memory, requested: 5368709120, used: 0, capacity: 4294967296",
            ),
            (
                asks("cpu", "0"),
                vec![asks("cpu", "2"), asks("cpu", "0"), asks("cpu", "0")],
                none,
                "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
            ),
            (asks("cpu", "0"), vec![asks("cpu", "9")], none, ""),
            (asks("hugepages-2Mi", "512Mi"), vec![asks("hugepages-2Mi", "512Mi")], none, ""),
            (
                asks("hugepages-2Mi", "514Mi"),
                vec![asks("hugepages-2Mi", "512Mi")],
                none,
                "OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi, requested: 538968064, \
                 used: 536870912, capacity: 1073741824",
            ),
            (
                asks("hugepages-1Gi", "1Gi"),
                vec![],
                none,
                "OutOfhugepages-1Gi: Node didn't have enough resource: hugepages-1Gi, requested: 1073741824, \
                 used: 0, capacity: 0",
            ),
            (port(80, "", "TCP"), vec![port(80, "", "TCP")], none, ports),
            (port(80, "", "TCP"), vec![port(80, "10.0.0.1", "TCP")], none, ports),
            (port(80, "10.0.0.1", "TCP"), vec![port(80, "10.0.0.2", "TCP")], none, ""),
            (port(80, "", "TCP"), vec![port(80, "", "UDP")], none, ""),
            (port(0, "", "TCP"), vec![port(0, "", "TCP")], none, ""),
            (pod(json!({}), json!({})), vec![], memory, "Evicted: The node had condition: [MemoryPressure]. "),
            (pod(json!({}), exists), vec![], memory, ""),
            (asks("cpu", "1"), vec![], memory, ""),
            (asks("cpu", "1"), vec![], disk, "Evicted: The node had condition: [MemoryPressure DiskPressure]. "),
            (pod(json!({}), json!({"priority": 2_000_001_000})), vec![], disk, ""),
        ];
        let huge_pages = [(2 << 20, 1 << 30)].into();
        let capacity =
            Capacity { cpu_milli: 2000, memory_bytes: 4 << 30, ephemeral_storage_bytes: 10 << 30, huge_pages };
        for (index, (pod, others, pressures, expected)) in cases.into_iter().enumerate() {
            let others: Vec<Arc<Pod>> = others.into_iter().map(Arc::new).collect();
            let offer = Offer { capacity: &capacity, max_pods: 3, pressures };
            let said = admit(&pod, &others, &offer).err();
            let said = said.map_or(String::new(), |verdict| format!("{}: {}", verdict.reason, verdict.message));
            assert_eq!(said, expected, "case {index}");
        }
    }
}

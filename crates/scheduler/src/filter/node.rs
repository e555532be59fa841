//! What a node is and has.

use portolan_api::typed::kinds::core::v1::{Taint, Toleration};
use portolan_client::tolerates;

use super::{Reason, Room};
use crate::snapshot::{NodeInfo, PodInfo};

const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

fn tolerations(info: &PodInfo) -> &[Toleration] {
    info.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

pub(super) fn unschedulable(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    if node.node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true) {
        return Vec::new();
    }
    let taint = Taint { key: UNSCHEDULABLE_TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    if tolerated(tolerations(info), &taint) { Vec::new() } else { vec![Reason::Unschedulable] }
}

pub(super) fn node_name(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let wanted = info.spec().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
    if wanted.is_none_or(|wanted| wanted == node.name()) { Vec::new() } else { vec![Reason::NodeName] }
}

pub(super) fn taints(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let taints = node.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let mut hard = taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    if hard.all(|taint| tolerated(tolerations(info), taint)) { Vec::new() } else { vec![Reason::Taint] }
}

/// Whether one of the tolerations covers the taint.
pub(crate) fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

pub(super) fn host_ports(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    if info.host_ports.is_empty() {
        return Vec::new();
    }
    let mut taken = node.pods.values().flat_map(|pod| &pod.host_ports);
    let conflict = taken.any(|taken| info.host_ports.iter().any(|wanted| wanted.conflicts(taken)));
    if conflict { vec![Reason::HostPorts] } else { Vec::new() }
}

pub(super) fn resources(info: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if node.pods.len() as i64 + 1 > node.allowed_pods {
        reasons.push(Reason::TooManyPods);
    }
    let (wanted, has, used) = (&info.requests, &node.allocatable, &node.requested);
    let mut check = |name: &str, wanted: i64, has: i64, used: i64| {
        // Who asks for nothing fits even where too much is given away already.
        if wanted > 0 && wanted > has - used {
            let room = if wanted > has { Room::Never } else { Room::Taken };
            reasons.push(Reason::Insufficient { resource: name.to_owned(), room });
        }
    };
    check("cpu", wanted.milli_cpu, has.milli_cpu, used.milli_cpu);
    check("memory", wanted.memory, has.memory, used.memory);
    check("ephemeral-storage", wanted.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage);
    for (name, amount) in &wanted.extended {
        let amount_of = |resources: &portolan_api::resources::Resources| resources.extended.get(name).copied();
        check(name, *amount, amount_of(has).unwrap_or_default(), amount_of(used).unwrap_or_default());
    }
    reasons
}

//! Puts filters and scores together.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, Pod};

use crate::filter::{Prepared, Reason, all_rejections, first_rejection};
use crate::score::{best, score};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Onto this node.
    Bind(String),
    /// Nowhere; the text says why, node by node counted.
    Unschedulable(String),
}

/// Decides where a pod goes.
pub(crate) fn decide(info: &PodInfo, snapshot: &Snapshot) -> Decision {
    let prepared = Prepared::new(info, snapshot);
    let mut rejected: Vec<(&NodeInfo, Vec<Reason>)> = Vec::new();
    let mut feasible = Vec::new();
    for node in snapshot.nodes() {
        let reasons = first_rejection(&prepared, node);
        if reasons.is_empty() {
            feasible.push(node);
        } else {
            rejected.push((node, reasons));
        }
    }
    match best(info, &feasible) {
        Some(node) => Decision::Bind(node.name().to_owned()),
        None => Decision::Unschedulable(message(info, &rejected)),
    }
}

/// Upstream's sentence: how many nodes fail for which reason.
fn message(info: &PodInfo, rejected: &[(&NodeInfo, Vec<Reason>)]) -> String {
    if rejected.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons = counted(rejected.iter().flat_map(|(_, reasons)| reasons).map(Reason::to_string));
    let never = info.spec().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never");
    let preemption = if never {
        "not eligible due to preemptionPolicy=Never.".to_owned()
    } else {
        available(rejected, &counted(rejected.iter().map(|(node, reasons)| without_others(info, node, reasons))))
    };
    format!("{} preemption: {preemption}", available(rejected, &reasons))
}

fn available(rejected: &[(&NodeInfo, Vec<Reason>)], reasons: &str) -> String {
    format!("0/{} nodes are available: {reasons}.", rejected.len())
}

/// Whether the pod would fit if others left the node for its sake.
fn without_others(info: &PodInfo, node: &NodeInfo, reasons: &[Reason]) -> String {
    let text = if !reasons.iter().all(Reason::is_resolvable) {
        "Preemption is not helpful for scheduling"
    } else if node.pods.values().any(|pod| pod.priority < info.priority) {
        "Preemption is not supported"
    } else {
        "No preemption victims found for incoming pod"
    };
    text.to_owned()
}

/// How often each text occurs, sorted as text.
fn counted(texts: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.iter().map(|(text, count)| format!("{count} {text}")).collect();
    parts.sort();
    parts.join(", ")
}

/// What the scheduler thinks of one node for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Name of the node.
    pub node: String,
    /// Why it cannot take the pod; empty if it can.
    pub reasons: Vec<String>,
    /// How good it is among those that can; more is better.
    pub score: Option<i64>,
}

/// Explains, node by node, where a pod could go in a cluster of these nodes and pods.
///
/// Nodes that can take it come first, the best one at the top. The pod itself does not count as present.
pub fn explain(pod: &Pod, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Vec<Explanation> {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.set_node(node.clone());
    }
    for other in pods.iter().filter(|other| other.uid() != pod.uid()) {
        if let Some(node) = occupied_node(other) {
            let node = node.to_owned();
            snapshot.place(&node, PodInfo::new(other.clone()));
        }
    }
    let mut unplaced = pod.clone();
    if let Some(spec) = &mut unplaced.spec {
        spec.node_name = None;
    }
    let info = PodInfo::new(Arc::new(unplaced));
    let prepared = Prepared::new(&info, &snapshot);
    let verdicts: Vec<(&NodeInfo, Vec<Reason>)> =
        snapshot.nodes().map(|node| (node, all_rejections(&prepared, node))).collect();
    let feasible: Vec<&NodeInfo> =
        verdicts.iter().filter(|(_, reasons)| reasons.is_empty()).map(|(node, _)| *node).collect();
    let scores: BTreeMap<&str, i64> = feasible.iter().map(|node| node.name()).zip(score(&info, &feasible)).collect();
    let mut explanations: Vec<Explanation> = verdicts
        .iter()
        .map(|(node, reasons)| Explanation {
            node: node.name().to_owned(),
            reasons: reasons.iter().map(Reason::to_string).collect(),
            score: scores.get(node.name()).copied(),
        })
        .collect();
    explanations.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.node.cmp(&b.node)));
    explanations
}

/// The node whose resources a pod holds: finished pods hold none.
pub(crate) fn occupied_node(pod: &Pod) -> Option<&str> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

#[cfg(test)]
mod tests;

//! Why a pod has no node yet, node by node.

use std::sync::Arc;

use anyhow::Context;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, Pod};
use serde_json::Value;

use crate::Api;

/// What the scheduler thinks of one node for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVerdict {
    /// Name of the node.
    pub node: String,
    /// Why it cannot take the pod; empty if it can.
    pub reasons: Vec<String>,
}

/// The scheduler's judgement of a pod in a cluster of these nodes and pods.
pub type ExplainPlacement = fn(&Pod, &[Arc<Node>], &[Arc<Pod>]) -> Vec<NodeVerdict>;

/// Asks for the nodes and pods of now, and judges.
pub(super) async fn reasons(api: &Api, pod: &Value, explain: ExplainPlacement) -> anyhow::Result<Vec<String>> {
    let pod = Pod::decode(pod.to_string().as_bytes()).context("read the pod")?;
    let client = api.client();
    let nodes = client.list::<Node>("", &Default::default()).await?.items;
    let pods = client.list::<Pod>("", &Default::default()).await?.items;
    let nodes: Vec<Arc<Node>> = nodes.into_iter().map(Arc::new).collect();
    let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
    Ok(sentences(&explain(&pod, &nodes, &pods)))
}

fn sentences(verdicts: &[NodeVerdict]) -> Vec<String> {
    if verdicts.is_empty() {
        return vec!["the cluster has no nodes".to_owned()];
    }
    let sentence = |verdict: &NodeVerdict| match verdict.reasons.is_empty() {
        true => format!("node {} could take it now", verdict.node),
        false => format!("node {} cannot take it: {}", verdict.node, verdict.reasons.join("; ")),
    };
    verdicts.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_own_sentence() {
        let verdict = |node: &str, reasons: &[&str]| NodeVerdict {
            node: node.into(),
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        };
        assert_eq!(
            sentences(&[verdict("a", &[]), verdict("b", &["Insufficient cpu", "Insufficient memory"])]),
            ["node a could take it now", "node b cannot take it: Insufficient cpu; Insufficient memory"]
        );
        assert_eq!(sentences(&[]), ["the cluster has no nodes"]);
    }
}

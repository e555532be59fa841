//! Questions to agents.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use portolan_api::usage::{self, NodeUsage};

use super::Failed;
use crate::server::Server;
use crate::status::Status;
use crate::subresource;

/// How many agents are asked at a time.
const CONCURRENCY: usize = 64;
/// An agent that was not asked for a while needs a second for its answer; one that needs much more hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the agents of these nodes, by name.
pub(super) async fn agents(
    server: &Server,
    nodes: BTreeSet<String>,
    failed: Failed,
) -> Result<HashMap<String, NodeUsage>, Status> {
    let answers = nodes.into_iter().map(|node| async move {
        let usage = agent(server, &node).await.or_else(|status| failed(&node, status))?;
        Ok((node, usage))
    });
    stream::iter(answers).buffer_unordered(CONCURRENCY).try_collect().await
}

async fn agent(server: &Server, node: &str) -> Result<NodeUsage, Status> {
    let late = |_| Status::unavailable(format!("the agent of node \"{node}\" did not answer in time"));
    let answer = tokio::time::timeout(TIMEOUT, subresource::ask_agent(server, node, usage::PATH));
    let body = answer.await.map_err(late)??;
    serde_json::from_slice(&body)
        .map_err(|error| Status::internal(format!("the agent of node \"{node}\" cannot be understood: {error}")))
}

/// Refuses the request.
pub(super) fn or_why(_node: &str, status: Status) -> Result<NodeUsage, Status> {
    Err(status)
}

/// Leaves out what the agent would know, as upstream: the others are still of use.
pub(super) fn or_nothing(node: &str, status: Status) -> Result<NodeUsage, Status> {
    tracing::warn!(node, error = %status, "what a node uses is not known");
    Ok(NodeUsage::default())
}

//! Nodes without agents that count as alive: each has a lease, renewed as an agent does it.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use portolan_base::Timestamp;
use portolan_client::HttpsTransport;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cluster::{ControlPlane, send};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// How often an agent renews its lease.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long a lease lasts without being renewed.
const LEASE_SECONDS: u64 = 40;

/// Nodes whose leases are renewed as long as this value lives.
pub struct Nodes {
    renewals: JoinSet<anyhow::Result<()>>,
}

impl Nodes {
    /// Creates ready nodes and begins to renew their leases, one after the other within the interval.
    ///
    /// # Errors
    /// A request failed or was refused.
    pub async fn start(plane: &ControlPlane, count: usize) -> anyhow::Result<Self> {
        let transport = plane.connect()?;
        let mut leases = Vec::with_capacity(count);
        for index in 0..count {
            let name = format!("n{index:04}");
            send(&transport, "POST", "/api/v1/nodes", node(&name)).await?;
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now()},
            });
            let lease = send(&transport, "POST", LEASES, lease.to_string().into()).await?;
            leases.push((format!("{LEASES}/{name}"), serde_json::from_slice(&lease)?));
        }
        let mut renewals = JoinSet::new();
        renewals.spawn(renew(transport, leases));
        Ok(Self { renewals })
    }

    /// Ends the renewals.
    ///
    /// # Errors
    /// One of them had failed: from then on the nodes were silent.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.renewals.try_join_next() {
            ended?.context("renew the leases of the nodes")?;
        }
        self.renewals.shutdown().await;
        Ok(())
    }
}

async fn renew(transport: HttpsTransport, mut leases: Vec<(String, Value)>) -> anyhow::Result<()> {
    let share = RENEWAL / u32::try_from(leases.len().max(1))?;
    let mut ticks = tokio::time::interval(share);
    loop {
        for (path, lease) in &mut leases {
            ticks.tick().await;
            lease["spec"]["renewTime"] = now().into();
            let answer = send(&transport, "PUT", path, lease.to_string().into()).await?;
            *lease = serde_json::from_slice(&answer)?;
        }
    }
}

fn now() -> String {
    portolan_api::time::format_micro(Timestamp::now())
}

fn node(name: &str) -> Bytes {
    let amounts = json!({"cpu": "1000", "memory": "4Ti", "pods": "10000"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "Bench", "message": "its lease is renewed"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": [ready]},
    });
    node.to_string().into()
}

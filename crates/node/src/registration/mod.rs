//! The node's own objects: registration, status, heartbeat.

mod amounts;
mod describe;
mod machine;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use portolan_api::typed::Object;
use portolan_base::error::chain;
use portolan_base::{Backoff, Shutdown, Timestamp};
use portolan_client::{Client, EventRecorder, EventType, Informer, ObjectReference, Patch};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::patch::forget_all;
use crate::pressure::Pressures;
use describe::Facts;
pub(crate) use describe::VERSION;
pub(crate) use machine::Machine;

/// How often the lease is renewed, upstream's `nodeLeaseDurationSeconds / 4`.
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// How long a lease is good for.
const LEASE_SECONDS: i32 = 40;
/// How often an unchanged status is written again.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);
/// Namespace of the nodes' leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Keeps the node's objects up to date until shutdown.
pub(crate) struct Registration {
    config: Config,
    machine: Machine,
    server_port: Option<u16>,
    /// The node as the API has it.
    nodes: Informer<Node>,
    pressures: watch::Receiver<Pressures>,
    events: EventRecorder,
}

impl Registration {
    pub(crate) fn new(
        config: Config,
        machine: Machine,
        server_port: Option<u16>,
        nodes: Informer<Node>,
        pressures: watch::Receiver<Pressures>,
        events: EventRecorder,
    ) -> Self {
        Self { config, machine, server_port, nodes, pressures, events }
    }

    /// Registers, then renews the lease and keeps the status fresh.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        shutdown.run(self.keep()).await;
    }

    async fn keep(&self) {
        let starting = "Starting kubelet.";
        self.events.event(&about(&self.config.node_name), EventType::Normal, "Starting", starting);
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
        let mut node = loop {
            match self.register().await {
                Ok(node) => break node,
                Err(error) => {
                    tracing::warn!(node = self.config.node_name, "register the node: {}", chain(&error));
                    tokio::time::sleep(backoff.jittered()).await;
                }
            }
        };
        for reason in self.pressures.borrow().told() {
            tell(&self.events, &self.config.node_name, reason);
        }
        let (mut changes, mut pressures) = (self.nodes.changes(), self.pressures.clone());
        let (mut lease, mut written_at, mut seen) = (None, None, false);
        let mut renew_at = Instant::now();
        loop {
            changes.borrow_and_update();
            pressures.borrow_and_update();
            let mut failures = Vec::new();
            if self.take_newer(&mut node, &mut seen) {
                match self.register().await {
                    Ok(registered) => node = registered,
                    Err(error) => failures.push(("register the node again", error)),
                }
            }
            if renew_at <= Instant::now() {
                match self.renew(&mut lease, node.uid()).await {
                    Ok(()) => renew_at = Instant::now() + RENEW_INTERVAL,
                    Err(error) => failures.push(("renew the node's lease", error)),
                }
            }
            if let Err(error) = self.write_status(&mut node, &mut written_at).await {
                failures.push(("write the node's status", error));
            }
            for (what, error) in &failures {
                tracing::warn!(node = self.config.node_name, "{what}: {}", chain(error));
            }
            if !failures.is_empty() {
                // The lease outlives several failed tries, but not many.
                tokio::time::sleep(backoff.jittered()).await;
                continue;
            }
            backoff.reset();
            tokio::select! {
                () = tokio::time::sleep_until(renew_at) => {}
                // Somebody says something else about the node than its agent: that is put right at once.
                Ok(()) = changes.changed() => {}
                Ok(()) = pressures.changed() => {}
            }
        }
    }

    /// Takes over what others wrote to the node since; returns whether they deleted it.
    fn take_newer(&self, node: &mut Node, seen: &mut bool) -> bool {
        let version = |node: &Node| node.metadata.resource_version.as_deref().and_then(|it| it.parse::<u64>().ok());
        let Some(current) = self.nodes.get("", &self.config.node_name) else {
            // Before it was seen once, the view is only behind.
            return std::mem::take(seen);
        };
        *seen = true;
        if version(&current) > version(node) {
            *node = Node::clone(&current);
        }
        false
    }

    /// Creates the node, or brings the labels of the one that is there up to date.
    async fn register(&self) -> Result<Node, portolan_client::Error> {
        let client = &self.config.client;
        let mut wanted = describe::node(&self.config);
        wanted.status = Some(describe::status(&self.facts().await, None, self.config.clock.now()));
        match client.create(&wanted).await {
            Ok(node) => {
                self.tell_ready(None, node.status.as_ref());
                Ok(node)
            }
            Err(error) if error.is_already_exists() => {
                let mut patch = json!({"metadata": {"labels": describe::labels(&self.config)}});
                if !self.config.pod_cidr.is_empty() {
                    patch["spec"] = json!({"podCIDR": self.config.pod_cidr, "podCIDRs": [self.config.pod_cidr]});
                }
                client.patch("", &self.config.node_name, "", &Patch::Strategic(patch)).await
            }
            Err(error) => Err(error),
        }
    }

    async fn write_status(
        &self,
        node: &mut Node,
        written_at: &mut Option<Instant>,
    ) -> Result<(), portolan_client::Error> {
        let before = node.status.clone();
        let now = self.config.clock.now();
        let status = describe::status(&self.facts().await, before.as_ref(), now);
        let due = written_at.is_none_or(|at| at.elapsed() >= STATUS_INTERVAL);
        if !due && before.as_ref().is_some_and(|before| !describe::differ(before, &status)) {
            return Ok(());
        }
        let patch = Patch::Strategic(json!({"status": status_patch(before.as_ref(), &status)}));
        match self.config.client.patch("", &self.config.node_name, "status", &patch).await {
            Ok(written) => {
                self.tell_ready(before.as_ref(), Some(&status));
                *node = written;
            }
            // Somebody deleted the node while its agent is alive: it comes back.
            Err(error) if error.is_not_found() => *node = self.register().await?,
            Err(error) => return Err(error),
        }
        *written_at = Some(Instant::now());
        Ok(())
    }

    /// Tells when the node becomes ready, and when it no longer is.
    fn tell_ready(&self, before: Option<&NodeStatus>, after: Option<&NodeStatus>) {
        let [was, is] = [before, after].map(|status| describe::condition(status, "Ready") == Some("True"));
        if was != is {
            tell(&self.events, &self.config.node_name, if is { "NodeReady" } else { "NodeNotReady" });
        }
    }

    async fn renew(&self, lease: &mut Option<Lease>, node_uid: &str) -> Result<(), portolan_client::Error> {
        let client = &self.config.client;
        let now = self.config.clock.now();
        if let Some(current) = lease {
            let mut next = current.clone();
            next.spec = Some(self.lease_spec(now));
            match client.update(&next).await {
                Ok(updated) => {
                    *lease = Some(updated);
                    return Ok(());
                }
                // Changed by somebody else, or gone: look again below.
                Err(error) if error.is_conflict() || error.is_not_found() => *lease = None,
                Err(error) => return Err(error),
            }
        }
        *lease = Some(acquire(client, self.lease(node_uid, now)).await?);
        Ok(())
    }

    fn lease(&self, node_uid: &str, now: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.config.node_name.clone()),
                namespace: Some(LEASE_NAMESPACE.into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: self.config.node_name.clone(),
                    uid: node_uid.into(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(self.lease_spec(now)),
        }
    }

    fn lease_spec(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.config.node_name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }
    }

    async fn facts(&self) -> Facts<'_> {
        let runtime = &self.config.runtime;
        let version = runtime.version().await.map_err(|error| format!("container runtime is down: {}", chain(&error)));
        let images = match runtime.images().await {
            Ok(images) => images,
            Err(error) => {
                tracing::debug!("list images for the node's status: {}", chain(&error));
                Vec::new()
            }
        };
        Facts {
            config: &self.config,
            machine: &self.machine,
            runtime: version,
            images,
            server_port: self.server_port,
            pressures: *self.pressures.borrow(),
        }
    }
}

/// Records what has become of a condition of the node.
pub(crate) fn tell(events: &EventRecorder, node: &str, reason: &str) {
    events.event(&about(node), EventType::Normal, reason, format!("Node {node} status is now: {reason}"));
}

/// The node as its events name it: upstream's kubelet puts the name where others have the UID.
pub(crate) fn about(node: &str) -> ObjectReference {
    ObjectReference {
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    }
}

/// Creates the lease, or takes over the one that is there.
async fn acquire(client: &Client, wanted: Lease) -> Result<Lease, portolan_client::Error> {
    match client.create(&wanted).await {
        Err(error) if error.is_already_exists() => {
            let mut current: Lease = client.get(LEASE_NAMESPACE, wanted.name()).await?;
            current.spec = wanted.spec;
            client.update(&current).await
        }
        outcome => outcome,
    }
}

/// What to patch so that `before` becomes `after`. Lists whose merge key changed are replaced whole.
fn status_patch(before: Option<&NodeStatus>, after: &NodeStatus) -> Value {
    let mut patch = json!(after);
    let addresses_before = before.and_then(|status| status.addresses.as_ref());
    if addresses_before.is_some_and(|addresses| Some(addresses) != after.addresses.as_ref())
        && let Some(addresses) = patch["addresses"].as_array_mut()
    {
        // Upstream does the same: the merge key of addresses is their type, and a node may have two of a type.
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    // Amounts merge name by name.
    let known = json!(before);
    for list in ["capacity", "allocatable"] {
        forget_all(&mut patch[list], &known[list]);
    }
    if after.images.is_none() && before.is_some_and(|status| status.images.is_some()) {
        patch["images"] = Value::Null;
    }
    patch
}

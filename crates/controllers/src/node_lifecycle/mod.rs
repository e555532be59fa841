//! Notices nodes that fell silent, and moves their pods elsewhere.
//!
//! Nodes renew their leases in the API server's memory, which no watch shows. So each node has a timer
//! for the moment at which its silence would be too long, and only then its lease is looked at. The
//! silence is counted from what was seen here: after a restart every node gets its full time again.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use portolan_api::encoded::string_at;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::coordination::v1::Lease;
use portolan_api::typed::kinds::core::v1::{Node, Pod};
use portolan_base::{Shutdown, Timestamp};
use portolan_client::{
    DeleteOptions, Error, EventRecorder, EventType, Informer, Key, ObjectReference, Patch, WorkQueue, reference,
};
use serde_json::json;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_ready;
use plan::{Heard, evicts, hear, plan_evictions, plan_node};

const LEASE_NAMESPACE: &str = "kube-node-lease";

struct Controller {
    context: Context,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    /// What each node's lease said when it was last looked at, and which node of that name it was.
    heard: Mutex<HashMap<String, (ObjectReference, Heard)>>,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        nodes: context.informers.informer(),
        pods: context.informers.informer(),
        heard: Mutex::default(),
        events: context.recorder("node-controller"),
        context,
    };
    let ready = async { tokio::join!(controller.nodes.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.nodes.feed(&queue, |node| vec![Key::of(node)]);
    let nodes = controller.nodes.clone();
    controller.pods.feed_encoded(&queue, move |pod| {
        let node = pod.text(&["spec", "nodeName"]);
        let node = node.and_then(|node| nodes.get("", &node)).filter(|node| evicts(node));
        node.map(|_| pod.key()).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "nodelifecycle"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        // A pod that came onto a node concerns itself alone; keys of pods have a namespace, keys of nodes have none.
        if !key.namespace.is_empty() {
            return self.reconcile_pod(key).await;
        }
        let Some(node) = self.nodes.get("", &key.name) else {
            let removed = self.heard.lock().remove(&key.name);
            if let Some((node, _)) = removed {
                let message = format!("Node {0} event: Removing Node {0} from Controller", key.name);
                self.events.event(&node, EventType::Normal, "RemovingNode", message);
            }
            return Ok(Next::OnChange);
        };
        let now = self.context.clock.now();
        let grace = self.context.node_times.grace;
        let is_new = !self.heard.lock().contains_key(&key.name);
        let heard = self.listen(&node, grace, now).await?;
        if is_new {
            let message = format!("Node {0} event: Registered Node {0} in Controller", key.name);
            self.events.event(&reference(&*node), EventType::Normal, "RegisteredNode", message);
        }
        let plan = plan_node(&node, heard, grace, now);
        let client = &self.context.client;
        if let Some(conditions) = &plan.conditions {
            let mut changed = Node::clone(&node);
            changed.status.get_or_insert_default().conditions = Some(conditions.clone());
            client.update_status(&changed).await?;
            self.events.event(
                &reference(&*node),
                EventType::Normal,
                "NodeNotReady",
                format!("Node {} status is now: NodeNotReady", key.name),
            );
            self.mark_pods_unready(&key.name).await?;
        }
        if let Some(taints) = &plan.taints {
            // The list is replaced as a whole, so the version of the rest must not have moved; after a change
            // of conditions it has, and the watch brings us back here.
            let version = plan.conditions.is_none().then(|| node.metadata.resource_version.clone());
            let patch = json!({"metadata": {"resourceVersion": version.flatten()}, "spec": {"taints": taints}});
            client.patch::<Node>("", &key.name, "", &Patch::Merge(patch)).await?;
        }
        let mut next = plan.requeue_at;
        if evicts(&node) {
            let later = self.evict_from(&node, &self.pods_on(&key.name), now).await?;
            next = next.into_iter().chain(later).min();
        }
        Ok(next.into())
    }
}

impl Controller {
    /// When a node was last heard of; asks for its lease only if what is known is not recent enough.
    async fn listen(&self, node: &Node, grace: Duration, now: Timestamp) -> Result<Timestamp, Error> {
        let known = self.heard.lock().get(node.name()).map(|(_, heard)| *heard);
        if let Some(known) = known.filter(|known| known.at + grace > now) {
            return Ok(known.at);
        }
        let lease = match self.context.client.get::<Lease>(LEASE_NAMESPACE, node.name()).await {
            Ok(lease) => Some(lease),
            // It comes once the node has registered.
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let renewed = lease.and_then(|lease| lease.spec?.renew_time).map(|time| time.0);
        let heard = hear(known, renewed, now);
        self.heard.lock().insert(node.name().to_owned(), (reference(node), heard));
        Ok(heard.at)
    }

    async fn reconcile_pod(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let node = node.and_then(|node| self.nodes.get("", node)).filter(|node| evicts(node));
        let Some(node) = node else { return Ok(Next::OnChange) };
        Ok(self.evict_from(&node, &[pod], self.context.clock.now()).await?.into())
    }

    /// Moves those of a node's pods away whose time is over; returns when the next one's is.
    async fn evict_from(&self, node: &Node, pods: &[Arc<Pod>], now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let (leave, later) = plan_evictions(node, pods, now);
        for pod in leave {
            self.evict(&pod).await?;
        }
        Ok(later)
    }

    fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        self.pods.filter(None, |encoded| string_at(encoded, &["spec", "nodeName"]).as_deref() == Some(node))
    }

    /// Nobody can vouch for these pods any more, so services stop sending to them.
    async fn mark_pods_unready(&self, node: &str) -> Result<(), Error> {
        for pod in self.pods_on(node).into_iter().filter(|pod| is_ready(pod)) {
            let mut changed = Pod::clone(&pod);
            let conditions = changed.status.as_mut().and_then(|status| status.conditions.as_mut());
            for condition in conditions.into_iter().flatten().filter(|condition| condition.type_ == "Ready") {
                condition.status = "False".to_owned();
                condition.reason = Some("NodeNotReady".to_owned());
                condition.last_transition_time = Some(Time(self.context.clock.now()));
            }
            match self.context.client.update_status(&changed).await {
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }

    async fn evict(&self, pod: &Pod) -> Result<(), Error> {
        let message = format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name());
        self.events.event(&reference(pod), EventType::Normal, "TaintManagerEviction", message);
        let options = DeleteOptions::uid(pod.uid());
        match self.context.client.delete::<Pod>(pod.namespace(), pod.name(), &options).await {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            outcome => outcome,
        }
    }
}

//! Watches, decides, binds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, Pod};
use portolan_base::error::chain;
use portolan_base::{Backoff, Clock, Shutdown};
use portolan_client::{Client, Error, EventRecorder, EventType, Informer, Informers, Key, Patch, WorkQueue, reference};
use serde_json::json;
use tokio_util::time::DelayQueue;

use crate::decide::{Decision, decide, occupied_node};
use crate::queue::Pending;
use crate::snapshot::{PodInfo, Snapshot};

/// Requests on their way at the same time.
const IN_FLIGHT: usize = 128;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// Inputs of the scheduler.
#[derive(Debug, Clone)]
pub struct Config {
    /// Reads and writes objects.
    pub client: Client,
    /// Shared copies of objects; somebody else runs them.
    pub informers: Arc<Informers>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Pods with this `spec.schedulerName` are ours; `default-scheduler` unless there is a reason.
    pub name: String,
    /// Name of the machine that it runs on.
    pub host: String,
}

/// Runs the scheduler until shutdown. The informers must be running.
pub async fn run(config: Config, shutdown: Shutdown) {
    let pods: Informer<Pod> = config.informers.informer();
    let nodes: Informer<Node> = config.informers.informer();
    if shutdown.run(async { tokio::join!(pods.synced(), nodes.synced()) }).await.is_none() {
        return;
    }
    let (pod_keys, node_keys) = (WorkQueue::new(), WorkQueue::new());
    nodes.feed(&node_keys, |node| vec![Key::of(node)]);
    // Pods that wait for another scheduler concern nobody here until they have a node.
    let ours = config.name.clone();
    pods.feed_encoded(&pod_keys, move |pod| {
        let spec = |field| pod.text(&["spec", field]).unwrap_or_default();
        let concerned =
            !spec("nodeName").is_empty() || matches!(&*spec("schedulerName"), name if name.is_empty() || name == ours);
        concerned.then(|| pod.key()).into_iter().collect()
    });
    let events = EventRecorder::with_clock(config.client.clone(), &config.name, &config.host, config.clock.clone());
    let mut scheduler = Scheduler {
        config,
        pods,
        nodes,
        events,
        snapshot: Snapshot::default(),
        pending: Pending::default(),
        uids: HashMap::new(),
        assumed: HashMap::new(),
        retries: HashMap::new(),
        timers: DelayQueue::new(),
    };
    scheduler.take_nodes(node_keys.take());
    scheduler.take_pods(pod_keys.take());
    let mut in_flight: FuturesUnordered<BoxFuture<'static, Outcome>> = FuturesUnordered::new();
    loop {
        while in_flight.len() < IN_FLIGHT {
            let Some(request) = scheduler.schedule_one() else { break };
            in_flight.push(request);
        }
        tokio::select! {
            () = shutdown.requested() => break,
            keys = node_keys.next() => scheduler.take_nodes(keys),
            keys = pod_keys.next() => scheduler.take_pods(keys),
            Some(outcome) = in_flight.next(), if !in_flight.is_empty() => scheduler.finish(outcome),
            Some(expired) = scheduler.timers.next(), if !scheduler.timers.is_empty() => {
                scheduler.take_pods([expired.into_inner()]);
            }
        }
    }
    // Bindings on their way are finished, so that no pod is bound without its event.
    let drain = async { while in_flight.next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(2), drain).await.is_err() {
        tracing::warn!("bindings were still on their way at shutdown");
    }
}

/// How a request about a pod ended.
enum Outcome {
    Bound { pod: Arc<Pod>, node: String, result: Result<(), Error> },
    Explained { pod: Arc<Pod>, result: Result<(), Error> },
}

struct Scheduler {
    config: Config,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    events: EventRecorder,
    snapshot: Snapshot,
    pending: Pending,
    /// UIDs of the pods that are known, to recognise the next one of the same name.
    uids: HashMap<Key, String>,
    /// Pods whose binding was sent and is not visible yet, by UID.
    assumed: HashMap<String, String>,
    retries: HashMap<Key, Backoff>,
    timers: DelayQueue<Key>,
}

impl Scheduler {
    fn take_nodes(&mut self, keys: impl IntoIterator<Item = Key>) {
        let mut relevant = false;
        for key in keys {
            match self.nodes.get("", &key.name) {
                Some(node) => relevant |= self.snapshot.set_node(node),
                None => self.snapshot.remove_node(&key.name),
            }
        }
        if relevant {
            self.pending.retry_all();
        }
    }

    fn take_pods(&mut self, keys: impl IntoIterator<Item = Key>) {
        let mut relevant = false;
        for key in keys {
            let pod = self.pods.get(&key.namespace, &key.name);
            let known = self.uids.get(&key).cloned();
            if let Some(uid) = known.filter(|uid| pod.as_ref().is_none_or(|pod| pod.uid() != uid)) {
                relevant |= self.snapshot.remove_pod(&uid);
                self.assumed.remove(&uid);
                self.retries.remove(&key);
                self.pending.remove(&key);
            }
            let Some(pod) = pod else {
                self.uids.remove(&key);
                continue;
            };
            self.uids.insert(key.clone(), pod.uid().to_owned());
            relevant |= self.take_pod(&key, pod);
        }
        if relevant {
            self.pending.retry_all();
        }
    }

    /// Returns whether the change may let other pods fit.
    fn take_pod(&mut self, key: &Key, pod: Arc<Pod>) -> bool {
        if let Some(node) = occupied_node(&pod) {
            let moved = self.snapshot.place_of(pod.uid()) != Some(node);
            self.assumed.remove(pod.uid());
            self.pending.remove(key);
            self.retries.remove(key);
            let node = node.to_owned();
            self.snapshot.place(&node, PodInfo::new(pod));
            // A new neighbour can satisfy an affinity.
            return moved;
        }
        if self.assumed.contains_key(pod.uid()) {
            return false;
        }
        let freed = self.snapshot.remove_pod(pod.uid());
        if !self.is_ours(&pod) {
            self.pending.remove(key);
        } else if self
            .pending
            .get(key)
            .is_none_or(|known| known.spec != pod.spec || known.metadata.labels != pod.metadata.labels)
        {
            self.pending.add(pod);
        }
        freed
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return false };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == self.config.name
            && spec.node_name.as_deref().unwrap_or_default().is_empty()
            && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
            && pod.metadata.deletion_timestamp.is_none()
            && !matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// Decides about the next pod and returns the request that makes it so; `None` if no pod waits.
    fn schedule_one(&mut self) -> Option<BoxFuture<'static, Outcome>> {
        while self.pending.has_active() {
            let pod = self.pending.pop()?;
            let info = PodInfo::new(pod.clone());
            match decide(&info, &self.snapshot) {
                Decision::Bind(node) => {
                    self.snapshot.place(&node, info);
                    self.assumed.insert(pod.uid().to_owned(), node.clone());
                    let client = self.config.client.clone();
                    return Some(Box::pin(async move {
                        let result = client.bind(&pod, &node).await;
                        Outcome::Bound { pod, node, result }
                    }));
                }
                Decision::Unschedulable(message) => {
                    self.pending.park(pod.clone());
                    // The copy that waited may be older than our own last word about it.
                    let latest = self.pods.get(pod.namespace(), pod.name()).unwrap_or_else(|| pod.clone());
                    if latest.uid() == pod.uid() && !is_said(&latest, &message) {
                        let pod = latest;
                        return Some(self.say_unschedulable(pod, message));
                    }
                }
            }
        }
        None
    }

    fn say_unschedulable(&self, pod: Arc<Pod>, message: String) -> BoxFuture<'static, Outcome> {
        self.events.acted(&reference(&*pod), EventType::Warning, "FailedScheduling", "Scheduling", message.clone());
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
        let mut conditions = conditions.unwrap_or_default();
        let was = conditions.iter().position(|condition| condition.type_ == "PodScheduled");
        let since = was.map(|index| conditions.remove(index)).filter(|was| was.status == "False");
        let now = Time(self.config.clock.now());
        conditions.push(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("Unschedulable".to_owned()),
            message: Some(message),
            last_transition_time: since.and_then(|since| since.last_transition_time).or(Some(now)),
            ..PodCondition::default()
        });
        let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": conditions}}));
        let client = self.config.client.clone();
        Box::pin(async move {
            let result = client.patch::<Pod>(pod.namespace(), pod.name(), "status", &patch).await.map(drop);
            Outcome::Explained { pod, result }
        })
    }

    fn finish(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Bound { pod, node, result: Ok(()) } => {
                let message = format!("Successfully assigned {} to {node}", Key::of(&*pod));
                self.events.acted(&reference(&*pod), EventType::Normal, "Scheduled", "Binding", message);
            }
            Outcome::Bound { pod, node, result: Err(error) } => {
                let key = Key::of(&*pod);
                if self.assumed.remove(pod.uid()).is_some() {
                    self.snapshot.remove_pod(pod.uid());
                    self.pending.retry_all();
                }
                if !error.is_not_found() {
                    tracing::warn!(pod = %key, node, "binding failed: {}", chain(&error));
                    self.retry(key);
                }
            }
            Outcome::Explained { pod, result: Err(error) } if !error.is_not_found() => {
                tracing::warn!(pod = %Key::of(&*pod), "could not say why it waits: {}", chain(&error));
            }
            Outcome::Explained { .. } => {}
        }
    }

    /// Looks at a pod again after a while; by then our copy knows if somebody else bound it.
    fn retry(&mut self, key: Key) {
        let backoff = self.retries.entry(key.clone()).or_insert_with(|| Backoff::new(FIRST_RETRY, SLOWEST_RETRY));
        let delay = backoff.jittered();
        self.timers.insert(key, delay);
    }
}

/// Whether the pod's condition tells the reason already.
fn is_said(pod: &Pod, message: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.message.as_deref() == Some(message)
    })
}

#[cfg(test)]
mod tests;

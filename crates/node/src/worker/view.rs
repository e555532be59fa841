//! One shared view of the runtime: listed when something may have changed, for all pods at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portolan_base::error::chain;
use portolan_base::{Backoff, Shutdown};
use portolan_runtime::Runtime;
use tokio::sync::watch;

use crate::lifecycle::{PodRuntime, labels};

/// Lists even without a wake-up, in case one was lost.
const RELIST: Duration = Duration::from_secs(300);

/// What the runtime has, by UID of the pod.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The newest request that this answers.
    generation: u64,
    pods: BTreeMap<String, Arc<PodRuntime>>,
}

impl Snapshot {
    /// What the runtime has of one pod.
    pub(crate) fn pod(&self, uid: &str) -> Arc<PodRuntime> {
        self.pods.get(uid).cloned().unwrap_or_default()
    }

    /// UIDs of all pods that the runtime has something of.
    pub(crate) fn uids(&self) -> impl Iterator<Item = &String> {
        self.pods.keys()
    }

    /// All pods.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Arc<PodRuntime>> {
        self.pods.values()
    }

    /// Whether it was listed after the request with this number.
    pub(crate) fn answers(&self, request: u64) -> bool {
        self.generation >= request
    }
}

/// Where the view is read and asked for.
#[derive(Debug)]
pub(crate) struct RuntimeView {
    runtime: Arc<dyn Runtime>,
    requests: watch::Sender<u64>,
    published: watch::Sender<Arc<Snapshot>>,
}

impl RuntimeView {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        // The first listing is request 1, so that nobody mistakes the empty view for an answer.
        Self { runtime, requests: watch::Sender::new(1), published: watch::Sender::default() }
    }

    /// Asks for a listing that begins after now; its snapshot [answers](Snapshot::answers) the number.
    pub(crate) fn request(&self) -> u64 {
        let mut number = 0;
        self.requests.send_modify(|requests| {
            *requests += 1;
            number = *requests;
        });
        number
    }

    /// The newest snapshot and its successors.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.published.subscribe()
    }

    /// The newest snapshot.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        self.published.borrow().clone()
    }

    /// Lists until shutdown.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        shutdown.run(self.keep()).await;
    }

    async fn keep(&self) {
        let mut requests = self.requests.subscribe();
        let mut changes = self.runtime.changes();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            let generation = *requests.borrow_and_update();
            changes.borrow_and_update();
            match self.list().await {
                Ok(pods) => {
                    backoff.reset();
                    self.publish(generation, pods);
                    tokio::select! {
                        // Both senders outlive this loop: one is here, the other in the runtime.
                        _ = requests.changed() => {}
                        _ = changes.changed() => {}
                        () = tokio::time::sleep(RELIST) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!("list sandboxes and containers: {}", chain(&error));
                    tokio::time::sleep(backoff.jittered()).await;
                }
            }
        }
    }

    /// Pods that did not change keep their allocation, so that comparing them is cheap.
    fn publish(&self, generation: u64, mut pods: BTreeMap<String, Arc<PodRuntime>>) {
        let before = self.latest();
        for (uid, pod) in &mut pods {
            if let Some(old) = before.pods.get(uid).filter(|old| *old == pod) {
                *pod = old.clone();
            }
        }
        self.published.send_replace(Arc::new(Snapshot { generation, pods }));
    }

    async fn list(&self) -> Result<BTreeMap<String, Arc<PodRuntime>>, portolan_runtime::Error> {
        let sandboxes = self.runtime.sandboxes().await?;
        let containers = self.runtime.containers().await?;
        let mut pods: BTreeMap<String, PodRuntime> = BTreeMap::new();
        for sandbox in sandboxes {
            pods.entry(sandbox.pod.uid.clone()).or_default().sandboxes.push(sandbox);
        }
        for container in containers {
            if let Some(uid) = container.labels.get(labels::POD_UID) {
                pods.entry(uid.clone()).or_default().containers.push(container);
            }
        }
        Ok(pods.into_iter().map(|(uid, pod)| (uid, Arc::new(pod))).collect())
    }
}

//! Knows which pods there are and gives each one a worker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use portolan_base::Shutdown;
use portolan_client::{EventType, Informer};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

use super::context::Context;
use super::pod_worker::{self, Desired};
use crate::admission::{Offer, admit, fits};
use crate::lifecycle::resize::{self, Room};
use crate::lifecycle::{Cause, Verdict};
use crate::logs;
use crate::pod;
use crate::pressure::Eviction;

/// After a worker failed, its pod gets a new one not before this.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// One worker per pod of this node, and per orphan in the runtime.
pub(crate) struct Supervisor {
    context: Arc<Context>,
    pods: Informer<Pod>,
    /// UIDs of pods that must make room, and why.
    evictions: mpsc::Receiver<Eviction>,
    workers: HashMap<String, watch::Sender<Desired>>,
    tasks: JoinSet<()>,
    uids: HashMap<Id, String>,
}

impl Supervisor {
    pub(crate) fn new(context: Arc<Context>, pods: Informer<Pod>, evictions: mpsc::Receiver<Eviction>) -> Self {
        Self { context, pods, evictions, workers: HashMap::new(), tasks: JoinSet::new(), uids: HashMap::new() }
    }

    /// Runs until shutdown; the pods keep running after it.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        shutdown.clone().run(self.keep()).await;
        self.tasks.shutdown().await;
    }

    async fn keep(&mut self) {
        // Before the API has told which pods there are, everything in the runtime would look orphaned.
        self.pods.synced().await;
        self.context.services.synced().await;
        let mut changes = self.pods.changes();
        let mut snapshots = self.context.view.subscribe();
        let left_behind = self.context.volumes.known().into_iter().chain(logs::known(&self.context.config.log_dir));
        left_behind.for_each(|uid| self.adopt_orphan(uid));
        loop {
            changes.borrow_and_update();
            let snapshot = snapshots.borrow_and_update().clone();
            self.adjust();
            let orphans: Vec<String> =
                snapshot.uids().filter(|uid| !self.workers.contains_key(*uid)).cloned().collect();
            orphans.into_iter().for_each(|uid| self.adopt_orphan(uid));
            tokio::select! {
                // Both are sent by tasks that outlive this one.
                _ = changes.changed() => {}
                _ = snapshots.changed() => {}
                Some(eviction) = self.evictions.recv() => self.evict(&eviction),
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, failure) = match ended {
                        Ok((id, ())) => (id, None),
                        Err(error) => (error.id(), Some(error.to_string())),
                    };
                    let uid = self.uids.remove(&id).unwrap_or_default();
                    self.workers.remove(&uid);
                    if let Some(failure) = failure {
                        tracing::error!(uid, "the worker of a pod failed and is started again: {failure}");
                        tokio::time::sleep(PAUSE_AFTER_PANIC).await;
                    }
                }
            }
        }
    }

    /// Tells the workers what the API has; starts the missing ones.
    fn adjust(&mut self) {
        let pods = self.pods.list();
        let known: HashSet<&str> = pods.iter().map(|pod| pod.uid()).collect();
        for (uid, worker) in &self.workers {
            if !known.contains(uid.as_str()) {
                worker.send_if_modified(|desired| !std::mem::replace(&mut desired.gone, true));
            }
        }
        let mut new: Vec<Arc<Pod>> = pods.iter().filter(|pod| !self.workers.contains_key(pod.uid())).cloned().collect();
        let begun: Vec<Arc<Pod>> = new.iter().filter(|pod| has_begun(pod) && !pod::has_ended(pod)).cloned().collect();
        for pod in &pods {
            let Some(worker) = self.workers.get(pod.uid()) else { continue };
            let room = self.room(pod, &begun);
            worker.send_if_modified(|desired| {
                let new = !Arc::ptr_eq(&desired.pod, pod) || desired.gone || desired.room != room;
                desired.pod = pod.clone();
                desired.gone = false;
                desired.room = room;
                new
            });
        }
        // Those that began in an earlier life of the agent come first, then the oldest.
        new.sort_by_key(|pod| (!has_begun(pod), pod.metadata.creation_timestamp.clone(), pod.uid().to_owned()));
        for pod in new {
            let verdict = self.refusal(&pod, &begun);
            let room = self.room(&pod, &begun);
            self.spawn(pod.uid().to_owned(), Desired { pod, gone: false, verdict, room });
        }
    }

    /// Why a new pod may not begin, if it may not.
    fn refusal(&self, pod: &Pod, begun: &[Arc<Pod>]) -> Option<Verdict> {
        if has_begun(pod) || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let verdict = admit(pod, &self.others(pod, begun), &self.offer()).err()?;
        tracing::info!(pod = crate::pod::display(pod), reason = verdict.reason, "refusing a pod");
        self.context.pod_event(pod, EventType::Warning, &verdict.reason, verdict.message.clone());
        Some(verdict)
    }

    /// Whether a pod that runs can have what it asks for now.
    fn room(&self, pod: &Pod, begun: &[Arc<Pod>]) -> Room {
        if !resize::is_wanted(pod) {
            return Room::Enough;
        }
        fits(pod, &self.others(pod, begun), &self.offer())
    }

    /// The other pods that use something of the node, with what they may have. Those of `begun` use it already, if
    /// they have no worker yet.
    fn others(&self, pod: &Pod, begun: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let is_other = |other: &&Arc<Pod>| other.uid() != pod.uid() && !self.workers.contains_key(other.uid());
        let waiting = begun.iter().filter(is_other).map(|other| resize::with(other, &resize::allocation(other)));
        let others = self.workers.iter().filter(|(uid, _)| *uid != pod.uid()).map(|(_, worker)| worker.borrow());
        let others =
            others.filter(|desired| !desired.gone && desired.verdict.is_none() && !pod::has_ended(&desired.pod));
        let others = others.map(|desired| match desired.room {
            Room::Enough => desired.pod.clone(),
            _ => resize::with(&desired.pod, &resize::allocation(&desired.pod)),
        });
        others.chain(waiting).collect()
    }

    fn offer(&self) -> Offer<'_> {
        let Context { allocatable, config, pressures, .. } = &*self.context;
        Offer { capacity: allocatable, max_pods: config.max_pods, pressures: *pressures.borrow() }
    }

    /// Lets a running pod make room.
    fn evict(&self, eviction: &Eviction) {
        let Some(worker) = self.workers.get(&eviction.uid) else { return };
        worker.send_if_modified(|desired| {
            let new = !desired.gone && desired.verdict.is_none();
            if new {
                self.context.pod_event(&desired.pod, EventType::Warning, "Evicted", eviction.message.clone());
                let (reason, message) = ("Evicted".to_owned(), eviction.message.clone());
                desired.verdict = Some(Verdict { cause: Cause::Evicted, reason, message });
            }
            new
        });
    }

    /// Starts a worker for a pod that only the runtime or the disk knows.
    fn adopt_orphan(&mut self, uid: String) {
        if self.workers.contains_key(&uid) || self.pods.list().iter().any(|pod| pod.uid() == uid) {
            return;
        }
        let runtime = self.context.view.latest().pod(&uid);
        let identity = runtime.sandbox().map(|sandbox| sandbox.pod.clone());
        let pod = Pod {
            metadata: ObjectMeta {
                uid: Some(uid.clone()),
                name: identity.as_ref().map(|identity| identity.name.clone()),
                namespace: identity.map(|identity| identity.namespace),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        };
        tracing::info!(pod = crate::pod::display(&pod), "removing a pod that the API does not have");
        self.spawn(uid, Desired { pod: Arc::new(pod), gone: true, verdict: None, room: Room::Enough });
    }

    fn spawn(&mut self, uid: String, desired: Desired) {
        let (sender, receiver) = watch::channel(desired);
        let handle = self.tasks.spawn(pod_worker::run(self.context.clone(), receiver));
        self.uids.insert(handle.id(), uid.clone());
        self.workers.insert(uid, sender);
    }
}

/// Whether an agent has begun with the pod, so that it is not refused any more.
fn has_begun(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

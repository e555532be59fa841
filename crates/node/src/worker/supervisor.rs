//! Knows which pods there are and gives each one a worker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use portolan_base::Shutdown;
use portolan_client::Informer;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::context::Context;
use super::pod_worker::{self, Desired};

/// After a worker failed, its pod gets a new one not before this.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// One worker per pod of this node, and per orphan in the runtime.
pub(crate) struct Supervisor {
    context: Arc<Context>,
    pods: Informer<Pod>,
    workers: HashMap<String, watch::Sender<Desired>>,
    tasks: JoinSet<()>,
    uids: HashMap<Id, String>,
}

impl Supervisor {
    pub(crate) fn new(context: Arc<Context>, pods: Informer<Pod>) -> Self {
        Self { context, pods, workers: HashMap::new(), tasks: JoinSet::new(), uids: HashMap::new() }
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
        for uid in self.context.volumes.known() {
            self.adopt_orphan(uid);
        }
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
        for pod in &pods {
            match self.workers.get(pod.uid()) {
                Some(worker) => {
                    worker.send_if_modified(|desired| {
                        let new = !Arc::ptr_eq(&desired.pod, pod);
                        if new {
                            *desired = Desired { pod: pod.clone(), gone: false };
                        }
                        new
                    });
                }
                None => self.spawn(pod.uid().to_owned(), Desired { pod: pod.clone(), gone: false }),
            }
        }
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
        self.spawn(uid, Desired { pod: Arc::new(pod), gone: true });
    }

    fn spawn(&mut self, uid: String, desired: Desired) {
        let (sender, receiver) = watch::channel(desired);
        let handle = self.tasks.spawn(pod_worker::run(self.context.clone(), receiver));
        self.uids.insert(handle.id(), uid.clone());
        self.workers.insert(uid, sender);
    }
}

//! Keeps as many pods as a ReplicaSet, or a ReplicationController, asks for.

mod kind;
mod pending;
mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Shutdown;
use portolan_client::{DeleteOptions, Error, EventRecorder, EventType, Informer, Key, Patch, WorkQueue, reference};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::{adoption, controller_reference, encoded_controller_key, is_active, is_deleting, labels, release};
pub(crate) use kind::PodSet;
use pending::Pending;
use plan::{plan, with_failure};

/// First batch of creations; each following one is twice as large. A set whose pods are all refused
/// (quota, admission) so costs one request, not thousands.
const FIRST_BATCH: usize = 4;

struct Controller<S: PodSet> {
    context: Context,
    sets: Informer<S>,
    pods: Informer<Pod>,
    pending: Pending,
    events: EventRecorder,
}

pub(crate) async fn run<S: PodSet>(context: Context, shutdown: Shutdown) {
    let controller = Controller::<S> {
        sets: context.informers.informer(),
        pods: context.informers.informer(),
        pending: Pending::default(),
        events: context.recorder(S::COMPONENT),
        context,
    };
    let ready = async { tokio::join!(controller.sets.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.sets.feed(&queue, |set| vec![Key::of(set)]);
    let sets = controller.sets.clone();
    controller.pods.feed_encoded(&queue, move |pod| match pod.controller() {
        Some(_) => encoded_controller_key::<S>(pod).into_iter().collect(),
        // Somebody's label change may have made this pod a candidate for adoption.
        None => {
            let sets = sets.in_namespace(&pod.header().namespace);
            if sets.is_empty() {
                return Vec::new();
            }
            let labels = pod.labels();
            sets.iter().filter(|set| set.selects(Some(labels))).map(|set| Key::of(&**set)).collect()
        }
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl<S: PodSet> Reconciler for Controller<S> {
    fn name(&self) -> &'static str {
        S::CONTROLLER
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
        if set.selects_all() {
            // It would take every pod of the namespace for its own.
            tracing::warn!(set = %key, "ignored: it has no selector");
            return Ok(Next::OnChange);
        }
        let pods = self.claim(&set).await?;
        let now = self.context.clock.now();
        let (pods, check_again) = self.pending.correct(set.uid(), pods, now);
        let plan = plan(&*set, &pods, now);
        let outcome = match (plan.create, plan.delete.as_slice()) {
            (0, []) => Ok(()),
            (0, delete) => self.delete(&set, delete).await.map_err(|error| ("FailedDelete", error)),
            (create, _) => self.create(&set, create).await.map_err(|error| ("FailedCreate", error)),
        };
        let failure = outcome.as_ref().err().map(|(reason, error)| (*reason, error.to_string()));
        let status = with_failure(plan.status, failure, now);
        if set.status().as_deref() != Some(&status) {
            let mut changed = S::clone(&set);
            changed.set_status(status);
            match self.context.client.update_status(&changed).await {
                // Deleted meanwhile, or our copy is behind; the change that shows it wakes us.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                outcome => drop(outcome?),
            }
        }
        outcome.map_err(|(_, error)| error)?;
        if is_deleting(&*set) {
            self.pending.forget(set.uid());
        }
        Ok(plan.requeue_at.into_iter().chain(check_again).min().into())
    }
}

impl<S: PodSet> Controller<S> {
    /// The pods the set controls, after adopting what matches and letting go of what no longer does.
    async fn claim(&self, set: &Arc<S>) -> Result<Vec<Arc<Pod>>, Error> {
        let mut pods = Vec::new();
        for pod in self.pods.controlled_by(set.uid()) {
            if set.selects(pod.metadata.labels.as_ref()) || is_deleting(&**set) || is_deleting(&*pod) {
                pods.push(pod);
            } else {
                self.patch(&pod, release(&*pod, &**set)).await?;
            }
        }
        if !is_deleting(&**set) {
            let candidate = |encoded: &[u8]| set.selects(Some(&labels(encoded)));
            for pod in self.pods.orphans_where(set.namespace(), candidate) {
                if is_active(&pod) {
                    pods.extend(self.patch(&pod, adoption(&*pod, &**set)).await?.map(Arc::new));
                }
            }
        }
        Ok(pods)
    }

    async fn patch(&self, pod: &Pod, patch: serde_json::Value) -> Result<Option<Pod>, Error> {
        match self.context.client.patch(pod.namespace(), pod.name(), "", &Patch::Merge(patch)).await {
            Ok(pod) => Ok(Some(pod)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, set: &S, count: usize) -> Result<(), Error> {
        let pod = pod_for(set);
        let (mut left, mut batch) = (count, FIRST_BATCH);
        while left > 0 {
            let size = batch.min(left);
            let created = join_all((0..size).map(|_| self.context.client.create(&pod))).await;
            let now = self.context.clock.now();
            let mut failure = None;
            for outcome in created {
                match outcome {
                    Ok(pod) => {
                        let message = format!("Created pod: {}", pod.name());
                        self.events.event(&reference(set), EventType::Normal, "SuccessfulCreate", message);
                        if self.pods.get(pod.namespace(), pod.name()).is_none() {
                            self.pending.created(set.uid(), pod, now);
                        }
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                let message = format!("Error creating: {error}");
                self.events.event(&reference(set), EventType::Warning, "FailedCreate", message);
                return Err(error);
            }
            left -= size;
            batch *= 2;
        }
        Ok(())
    }

    async fn delete(&self, set: &S, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let client = &self.context.client;
        let deletions = pods.iter().map(|pod| async move {
            let options = DeleteOptions::uid(pod.uid());
            (pod, client.delete::<Pod>(pod.namespace(), pod.name(), &options).await)
        });
        let mut failure = None;
        for (pod, outcome) in join_all(deletions).await {
            match outcome {
                Ok(()) => {
                    self.pending.deleted(set.uid(), pod.uid(), self.context.clock.now());
                    let message = format!("Deleted pod: {}", pod.name());
                    self.events.event(&reference(set), EventType::Normal, "SuccessfulDelete", message);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    let message = format!("Error deleting: {error}");
                    self.events.event(&reference(set), EventType::Warning, "FailedDelete", message);
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// A new pod of a set.
fn pod_for<S: PodSet>(set: &S) -> Pod {
    let template = set.template().cloned().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.name())),
            namespace: Some(set.namespace().to_owned()),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![controller_reference(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

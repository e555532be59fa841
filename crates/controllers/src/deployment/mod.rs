//! Rolls pod templates out.

mod annotations;
mod limits;
mod plan;
mod scale;
mod status;
mod template;

use std::sync::Arc;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, ReplicaSet};
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Shutdown;
use portolan_client::{
    DeleteOptions, Error, EventRecorder, EventType, Informer, Key, Patch, Propagation, WorkQueue, is_empty, reference,
    selects,
};
use serde_json::json;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::{adoption, controller_key, controller_of, encoded_controller_key, is_deleting, phase, release};
use plan::{Action, OldPods, View, plan};

struct Controller {
    context: Context,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        deployments: context.informers.informer(),
        sets: context.informers.informer(),
        pods: context.informers.informer(),
        events: context.recorder("deployment-controller"),
        context,
    };
    let ready =
        async { tokio::join!(controller.deployments.synced(), controller.sets.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.deployments.feed(&queue, |deployment| vec![Key::of(deployment)]);
    let deployments = controller.deployments.clone();
    controller.sets.feed(&queue, move |set| match controller_of(set) {
        Some(_) => controller_key::<Deployment>(set).into_iter().collect(),
        None => {
            let deployments = deployments.in_namespace(set.namespace());
            deployments.iter().filter(|other| matches(other, set)).map(|other| Key::of(&**other)).collect()
        }
    });
    // Only a rollout by the Recreate strategy waits for single pods.
    let (deployments, sets) = (controller.deployments.clone(), controller.sets.clone());
    controller.pods.feed_encoded(&queue, move |pod| {
        let set = encoded_controller_key::<ReplicaSet>(pod).and_then(|key| sets.get(&key.namespace, &key.name));
        let key = set.and_then(|set| controller_key::<Deployment>(&*set));
        let recreate = |key: &Key| deployments.get(&key.namespace, &key.name).is_some_and(|found| is_recreate(&found));
        key.filter(recreate).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

fn matches(deployment: &Deployment, set: &ReplicaSet) -> bool {
    deployment
        .spec
        .as_ref()
        .is_some_and(|spec| !is_empty(&spec.selector) && selects(&spec.selector, set.metadata.labels.as_ref()))
}

fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "deployment"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(deployment) = self.deployments.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
        if deployment.spec.as_ref().is_some_and(|spec| is_empty(&spec.selector)) {
            let note = "This deployment is selecting all pods. A non-empty selector is required.";
            self.events.event(&reference(&*deployment), EventType::Warning, "SelectingAll", note);
            return Ok(Next::OnChange);
        }
        let sets = self.claim(&deployment).await?;
        let old_pods = self.old_pods(&deployment, &sets);
        let view = View { deployment: &deployment, sets: &sets, old_pods };
        let plan = plan(&view, self.context.clock.now());
        let mut status = plan.status;
        for action in &plan.actions {
            if let Applied::NameTaken = self.apply(&deployment, &sets, action).await? {
                status.collision_count = Some(status.collision_count.unwrap_or_default() + 1);
            }
        }
        if deployment.status.as_ref() != Some(&status) {
            // Conditions and counts belong to this controller alone, so the status is patched without a
            // version: the revision annotation may just have changed the object.
            let patch = Patch::Merge(json!({"metadata": {"uid": deployment.uid()}, "status": patch_of(&status)}));
            let name = deployment.name();
            match self.context.client.patch::<Deployment>(deployment.namespace(), name, "status", &patch).await {
                Err(error) if error.is_not_found() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(plan.requeue_at.into())
    }
}

/// A status as a merge patch: numbers that are absent must be removed, not left.
fn patch_of(status: &portolan_api::typed::kinds::apps::v1::DeploymentStatus) -> serde_json::Value {
    json!({
        "observedGeneration": status.observed_generation, "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas, "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas, "unavailableReplicas": status.unavailable_replicas,
        "terminatingReplicas": status.terminating_replicas, "collisionCount": status.collision_count,
        "conditions": status.conditions,
    })
}

enum Applied {
    Done,
    /// Another object has the name of the new ReplicaSet.
    NameTaken,
}

impl Controller {
    async fn claim(&self, deployment: &Arc<Deployment>) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        let deleting = is_deleting(&**deployment);
        let mut sets = Vec::new();
        for set in self.sets.controlled_by(deployment.uid()) {
            if deleting || matches(deployment, &set) {
                sets.push(set);
            } else {
                self.patch(&set, release(&*set, &**deployment)).await?;
            }
        }
        if !deleting {
            for set in self.sets.orphans(deployment.namespace()) {
                if matches(deployment, &set) && !is_deleting(&*set) {
                    sets.extend(self.patch(&set, adoption(&*set, &**deployment)).await?.map(Arc::new));
                }
            }
        }
        Ok(sets)
    }

    async fn patch(&self, set: &ReplicaSet, patch: serde_json::Value) -> Result<Option<ReplicaSet>, Error> {
        match self.context.client.patch(set.namespace(), set.name(), "", &Patch::Merge(patch)).await {
            Ok(set) => Ok(Some(set)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn old_pods(&self, deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> OldPods {
        let Some(spec) = deployment.spec.as_ref().filter(|_| is_recreate(deployment)) else { return OldPods::Gone };
        let current = template::find(&spec.template, sets);
        let old = sets.iter().filter(|set| current.is_none_or(|current| current.uid() != set.uid()));
        let mut pods = old.flat_map(|set| self.pods.controlled_by(set.uid()));
        if pods.any(|pod| !matches!(phase(&pod), "Succeeded" | "Failed")) { OldPods::Running } else { OldPods::Gone }
    }

    async fn apply(
        &self,
        deployment: &Deployment,
        sets: &[Arc<ReplicaSet>],
        action: &Action,
    ) -> Result<Applied, Error> {
        let client = &self.context.client;
        let namespace = deployment.namespace();
        match action {
            Action::Create(set) => match client.create::<ReplicaSet>(set).await {
                Ok(created) => {
                    let to = created.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
                    self.scaled(deployment, created.name(), 0, to);
                }
                Err(error) if error.is_already_exists() => {
                    let found: ReplicaSet = client.get(namespace, set.name()).await?;
                    let ours = controller_of(&found).is_some_and(|owner| owner.uid == deployment.uid());
                    let template = deployment.spec.as_ref().map(|spec| &spec.template);
                    // If it is what we wanted, our copy was behind and the change that shows it wakes us.
                    if !(ours && template.is_some_and(|template| template::same(template, &found))) {
                        return Ok(Applied::NameTaken);
                    }
                }
                Err(error) => return Err(error),
            },
            Action::Change { name, replicas, annotations } => {
                let Some(set) = sets.iter().find(|set| set.name() == name) else { return Ok(Applied::Done) };
                let mut changed = ReplicaSet::clone(set);
                changed.metadata.annotations = Some(annotations.clone());
                let spec = changed.spec.get_or_insert_default();
                let from = spec.replicas.replace(*replicas).unwrap_or(1);
                client.update(&changed).await?;
                self.scaled(deployment, name, from, *replicas);
            }
            Action::Delete(name) => {
                let Some(set) = sets.iter().find(|set| set.name() == name) else { return Ok(Applied::Done) };
                let options = DeleteOptions::uid(set.uid()).with_propagation(Propagation::Background);
                match client.delete::<ReplicaSet>(namespace, name, &options).await {
                    Err(error) if error.is_not_found() => {}
                    outcome => outcome?,
                }
            }
            Action::SetRevision(revision) => {
                let annotations = json!({annotations::REVISION: revision});
                let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
                client.patch::<Deployment>(namespace, deployment.name(), "", &patch).await?;
            }
        }
        Ok(Applied::Done)
    }

    fn scaled(&self, deployment: &Deployment, set: &str, from: i32, to: i32) {
        let direction = match to.cmp(&from) {
            std::cmp::Ordering::Greater => "up",
            std::cmp::Ordering::Less => "down",
            std::cmp::Ordering::Equal => return,
        };
        let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
        self.events.event(&reference(deployment), EventType::Normal, "ScalingReplicaSet", message);
    }
}

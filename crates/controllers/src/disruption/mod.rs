//! Says how many pods of each disruption budget may be evicted.

mod plan;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, ReplicaSet};
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_api::typed::kinds::policy::v1::PodDisruptionBudget;
use portolan_base::Shutdown;
use portolan_client::{ApiResource, Error, EventRecorder, EventType, Informer, Key, WorkQueue, reference};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::controller_of;
use plan::{Planned, View, plan};

struct Controller {
    context: Context,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        budgets: context.informers.informer(),
        pods: context.informers.informer(),
        sets: context.informers.informer(),
        deployments: context.informers.informer(),
        events: context.recorder("controllermanager"),
        context,
    };
    let ready = async {
        tokio::join!(
            controller.budgets.synced(),
            controller.pods.synced(),
            controller.sets.synced(),
            controller.deployments.synced()
        )
    };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.budgets.feed(&queue, |budget| vec![Key::of(budget)]);
    let budgets = controller.budgets.clone();
    controller.pods.feed_encoded(&queue, move |pod| {
        let of_namespace = budgets.in_namespace(&pod.header().namespace);
        if of_namespace.is_empty() {
            return Vec::new();
        }
        let labels = pod.labels();
        of_namespace.iter().filter(|budget| selects(budget, labels)).map(|budget| Key::of(&**budget)).collect()
    });
    // How many pods there should be is a matter of their owners.
    for_namespace(&controller.deployments, &controller.budgets, &queue);
    for_namespace(&controller.sets, &controller.budgets, &queue);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

fn for_namespace<K: Object>(owners: &Informer<K>, budgets: &Informer<PodDisruptionBudget>, queue: &WorkQueue) {
    let budgets = budgets.clone();
    owners.feed_encoded(queue, move |owner| {
        budgets.in_namespace(&owner.header().namespace).iter().map(|budget| Key::of(&**budget)).collect()
    });
}

/// Whether a budget speaks of pods with these labels; one without a selector speaks of none.
fn selects(budget: &PodDisruptionBudget, labels: &BTreeMap<String, String>) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| portolan_client::selects(selector, Some(labels)))
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "disruption"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(budget) = self.budgets.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
        let mut pods = self.pods.in_namespace(&key.namespace);
        let none = BTreeMap::new();
        pods.retain(|pod| selects(&budget, pod.metadata.labels.as_ref().unwrap_or(&none)));
        let mut scales = BTreeMap::new();
        let mut problem = None;
        for owner in pods.iter().filter_map(|pod| controller_of(&**pod)) {
            if !scales.contains_key(&owner.uid) {
                match self.scale(&key.namespace, owner).await? {
                    Some(scale) => drop(scales.insert(owner.uid.clone(), scale)),
                    None => problem = Some(format!("{} does not implement the scale subresource", owner.kind)),
                }
            }
        }
        let view = View { budget: &budget, pods: &pods, scales: &scales, problem, now: self.context.clock.now() };
        let Planned { status, again, unmanaged } = plan(&view);
        if unmanaged {
            let message = "Pods selected by this PodDisruptionBudget are not managed by a controller.";
            self.events.event(&reference(&*budget), EventType::Warning, "UnmanagedPods", message);
        }
        if let Some(status) = status {
            let changed = PodDisruptionBudget { status: Some(status), ..PodDisruptionBudget::clone(&budget) };
            match self.context.client.update_status(&changed).await {
                Err(error) if error.is_not_found() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(again.into())
    }
}

impl Controller {
    /// Who decides about the number of an owner's pods, and how many that are; `None` if nobody can tell.
    async fn scale(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, Error> {
        if owner.kind == ReplicaSet::KIND && owner.api_version == ReplicaSet::API_VERSION {
            let Some(set) = self.sets.get(namespace, &owner.name).filter(|set| set.uid() == owner.uid) else {
                return Ok(Some((owner.uid.clone(), 0)));
            };
            let above = controller_of(&*set).filter(|above| above.kind == Deployment::KIND);
            let deployment = above.and_then(|above| self.deployments.get(namespace, &above.name));
            if let Some(deployment) = deployment {
                let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                return Ok(Some((deployment.uid().to_owned(), replicas)));
            }
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            return Ok(Some((owner.uid.clone(), replicas)));
        }
        let all = self.context.client.discover().await?;
        let is_its = |it: &ApiResource| it.kind == owner.kind && it.api_version() == owner.api_version;
        let Some(resource) = all.into_iter().find(is_its) else { return Ok(None) };
        let path = resource.path().object(namespace, &owner.name, "scale");
        match self.context.client.raw(Method::GET, &path, None).await {
            Ok(scale) => {
                let replicas = scale["spec"]["replicas"].as_i64().and_then(|it| i32::try_from(it).ok()).unwrap_or(0);
                Ok(Some((owner.uid.clone(), replicas)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

//! Empties namespaces that are being deleted, then lets them go.

mod plan;

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use portolan_api::typed::kinds::core::v1::{Namespace, Pod};
use portolan_api::typed::{Object, Scope};
use portolan_base::Shutdown;
use portolan_base::error::chain;
use portolan_client::{ApiResource, DeleteOptions, Error, Informer, Key, WorkQueue};
use serde_json::{Value, json};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;
use plan::Left;

const FINALIZER: &str = "kubernetes";
/// Content with finalizers of its own goes when its owners say so; this is how often we look.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Controller {
    context: Context,
    namespaces: Informer<Namespace>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller { namespaces: context.informers.informer(), context };
    let pods: Informer<Pod> = controller.context.informers.informer();
    let ready = async { tokio::join!(controller.namespaces.synced(), pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    let is_leaving = |namespace: &Namespace| is_deleting(namespace) && !finalizers(namespace).is_empty();
    controller
        .namespaces
        .feed(&queue, move |namespace| is_leaving(namespace).then(|| Key::of(namespace)).into_iter().collect());
    // Pods take their time to stop; the last one that goes continues the work.
    let namespaces = controller.namespaces.clone();
    pods.feed_encoded(&queue, move |pod| {
        let namespace = namespaces.get("", &pod.header().namespace).filter(|namespace| is_leaving(namespace));
        namespace.map(|namespace| Key::of(&*namespace)).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

fn finalizers(namespace: &Namespace) -> &[String] {
    namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default()
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "namespace"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let namespace = self.namespaces.get("", &key.name);
        let Some(namespace) = namespace.filter(|namespace| is_deleting(&**namespace)) else {
            return Ok(Next::OnChange);
        };
        if !finalizers(&namespace).iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Next::OnChange);
        }
        let mut resources = self.context.client.discover().await?;
        resources
            .retain(|resource| resource.scope == Scope::Namespaced && resource.can("list") && resource.can("delete"));
        // Pods first: while they run they may need their secrets, accounts and policies.
        let (pods, others): (Vec<_>, Vec<_>) =
            resources.into_iter().partition(|resource| resource.group.is_empty() && resource.resource == Pod::RESOURCE);
        let again = Next::At(self.context.clock.now() + LOOK_AGAIN);
        for stage in [pods, others] {
            let mut left = Left::default();
            for resource in &stage {
                self.empty(&namespace, resource, &mut left).await?;
            }
            if left.count() > 0 || !left.failures.is_empty() {
                tracing::debug!(namespace = key.name, left = left.count(), "waiting for content to go");
                self.tell(&namespace, &left).await?;
                return Ok(again);
            }
        }
        self.finalize(&namespace).await?;
        Ok(Next::OnChange)
    }
}

impl Controller {
    /// Deletes all objects of a kind and notes what is left.
    async fn empty(&self, namespace: &Namespace, resource: &ApiResource, left: &mut Left) -> Result<(), Error> {
        let path = resource.path();
        for item in self.context.items(resource, namespace.name()).await? {
            let metadata = &item["metadata"];
            if !metadata["deletionTimestamp"].is_null() {
                continue;
            }
            let options = DeleteOptions::uid(metadata["uid"].as_str().unwrap_or_default());
            let name = metadata["name"].as_str().unwrap_or_default();
            match self.context.client.delete_at(&path, namespace.name(), name, &options).await {
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                // Somebody says no (a webhook): the rest goes nevertheless, and the namespace says why it stays.
                Err(error) if error.code().is_some() => left.failures.push(chain(&error).to_string()),
                outcome => outcome?,
            }
        }
        for item in self.context.items(resource, namespace.name()).await? {
            let finalizers = item["metadata"]["finalizers"].as_array().into_iter().flatten();
            left.add(&resource.resource, &resource.group, finalizers.filter_map(Value::as_str));
        }
        Ok(())
    }

    /// Writes into the namespace what it waits for.
    async fn tell(&self, namespace: &Namespace, left: &Left) -> Result<(), Error> {
        let before = namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let Some(conditions) = plan::conditions(before, left, self.context.clock.now()) else { return Ok(()) };
        let mut changed = namespace.clone();
        changed.status.get_or_insert_default().conditions = Some(conditions);
        match self.context.client.update_status(&changed).await {
            // The newest version wakes us again.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut finalized = namespace.clone();
        let finalizers = finalized.spec.get_or_insert_default().finalizers.get_or_insert_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let mut body: Value = serde_json::from_slice(&finalized.encode()).unwrap_or_default();
        if body["spec"]["finalizers"].is_null() {
            body["spec"]["finalizers"] = json!([]);
        }
        let path = format!("/api/v1/namespaces/{}/finalize", namespace.name());
        match self.context.client.raw(Method::PUT, &path, Some(body)).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

//! Removes pods that no node will ever remove: those of nodes that do not exist, and those that were
//! deleted before they had a node.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use portolan_api::encoded::string_at;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Node, Pod};
use portolan_base::{Shutdown, Timestamp};
use portolan_client::{DeleteOptions, Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;

/// How long a node must be missing: it may be registering itself anew.
const QUARANTINE: Duration = Duration::from_secs(40);

struct Controller {
    context: Context,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    missing: Mutex<HashMap<String, Timestamp>>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        nodes: context.informers.informer(),
        pods: context.informers.informer(),
        missing: Mutex::default(),
        context,
    };
    let ready = async { tokio::join!(controller.nodes.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    let nodes = controller.nodes.clone();
    controller.pods.feed_encoded(&queue, move |pod| {
        let lost = match pod.text(&["spec", "nodeName"]).filter(|node| !node.is_empty()) {
            Some(node) => nodes.get("", &node).is_none(),
            None => pod.is_deleting(),
        };
        lost.then(|| pod.key()).into_iter().collect()
    });
    // A node that vanishes concerns all of its pods; keys of pods have a namespace, keys of nodes have none.
    controller.nodes.feed(&queue, |node| vec![Key::of(node)]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "podgc"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        if !key.namespace.is_empty() {
            let Some(pod) = self.pods.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
            let Some(node) = node_of(&pod) else {
                if is_deleting(&*pod) {
                    self.remove(&pod).await?;
                }
                return Ok(Next::OnChange);
            };
            return self.check(node, &[&pod]).await;
        }
        if self.nodes.get("", &key.name).is_some() {
            self.missing.lock().remove(&key.name);
            return Ok(Next::OnChange);
        }
        let on_node = |encoded: &[u8]| string_at(encoded, &["spec", "nodeName"]).as_deref() == Some(&key.name);
        let pods = self.pods.filter(None, on_node);
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        self.check(&key.name, &pods).await
    }
}

impl Controller {
    async fn check(&self, node: &str, pods: &[&Pod]) -> Result<Next, Error> {
        if self.nodes.get("", node).is_some() || pods.is_empty() {
            self.missing.lock().remove(node);
            return Ok(Next::OnChange);
        }
        let now = self.context.clock.now();
        let since = *self.missing.lock().entry(node.to_owned()).or_insert(now);
        if since + QUARANTINE > now {
            return Ok(Next::At(since + QUARANTINE));
        }
        // Deleting cannot be undone, so our copy's word is not enough.
        match self.context.client.get::<Node>("", node).await {
            Err(error) if error.is_not_found() => {}
            outcome => return outcome.map(|_| Next::OnChange),
        }
        for pod in pods {
            tracing::info!(pod = %Key::of(*pod), node, "removing a pod whose node does not exist");
            self.remove(pod).await?;
        }
        Ok(Next::OnChange)
    }

    async fn remove(&self, pod: &Pod) -> Result<(), Error> {
        let options = DeleteOptions { uid: Some(pod.uid().to_owned()), ..DeleteOptions::now() };
        match self.context.client.delete::<Pod>(pod.namespace(), pod.name(), &options).await {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            outcome => outcome,
        }
    }
}

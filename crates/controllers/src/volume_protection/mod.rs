//! Lets volumes, claims and classes of attributes go once nobody uses them any more.
//!
//! Admission gives each a finalizer; here it is taken away when the object is to be deleted and is free.

mod classes;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, Patch, WorkQueue};
use serde_json::json;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::{is_deleting, phase};

const OF_VOLUME: &str = "kubernetes.io/pv-protection";
const OF_CLAIM: &str = "kubernetes.io/pvc-protection";

struct Controller {
    context: Context,
    volumes: Informer<PersistentVolume>,
    claims: Informer<PersistentVolumeClaim>,
    pods: Informer<Pod>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    tokio::join!(classes::run(context.clone(), shutdown.clone()), run_volumes(context, shutdown));
}

async fn run_volumes(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        volumes: context.informers.informer(),
        claims: context.informers.informer(),
        pods: context.informers.informer(),
        context,
    };
    let ready =
        async { tokio::join!(controller.volumes.synced(), controller.claims.synced(), controller.pods.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    // A volume has no namespace, a claim has one.
    controller.volumes.feed(&queue, |volume| held(volume, OF_VOLUME));
    controller.claims.feed(&queue, |claim| held(claim, OF_CLAIM));
    let claims = controller.claims.clone();
    controller.pods.feed_encoded(&queue, move |pod| {
        let of_namespace = claims.in_namespace(&pod.header().namespace);
        of_namespace.iter().flat_map(|claim| held(&**claim, OF_CLAIM)).collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

/// The key of an object that waits for its finalizer to be taken away.
fn held<K: Object>(object: &K, finalizer: &str) -> Vec<Key> {
    let has = object.metadata().finalizers.iter().flatten().any(|name| name == finalizer);
    if has && is_deleting(object) { vec![Key::of(object)] } else { Vec::new() }
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "volumeprotection"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        if key.namespace.is_empty() {
            let Some(volume) = self.volumes.get("", &key.name) else { return Ok(Next::OnChange) };
            let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
            if !held(&*volume, OF_VOLUME).is_empty() && phase != Some("Bound") {
                release(&self.context, &*volume, OF_VOLUME).await?;
            }
            return Ok(Next::OnChange);
        }
        let Some(claim) = self.claims.get(&key.namespace, &key.name) else { return Ok(Next::OnChange) };
        let is_used = || self.pods.in_namespace(&key.namespace).iter().any(|pod| uses(pod, &claim));
        if !held(&*claim, OF_CLAIM).is_empty() && !is_used() {
            release(&self.context, &*claim, OF_CLAIM).await?;
        }
        Ok(Next::OnChange)
    }
}

async fn release<K: Object>(context: &Context, object: &K, finalizer: &str) -> Result<(), Error> {
    let metadata = object.metadata();
    let left: Vec<&String> = metadata.finalizers.iter().flatten().filter(|name| *name != finalizer).collect();
    // On the version that was looked at, so that no other finalizer is lost.
    let patch = json!({"metadata": {
        "uid": object.uid(), "resourceVersion": metadata.resource_version, "finalizers": left,
    }});
    match context.client.patch::<K>(object.namespace(), object.name(), "", &Patch::Merge(patch)).await {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Whether a pod that runs, or is about to, has a claim in use.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let is_placed = spec.node_name.as_deref().is_some_and(|node| !node.is_empty());
    if !is_placed || matches!(phase(pod), "Succeeded" | "Failed") {
        return false;
    }
    spec.volumes.iter().flatten().any(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => source.claim_name == claim.name(),
        (None, Some(_)) => format!("{}-{}", pod.name(), volume.name) == claim.name(),
        (None, None) => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_claim_is_in_use_while_a_placed_pod_has_not_ended() {
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": {"name": "p-data", "namespace": "d"}})).expect("a claim");
        let direct = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "p-data"}}]);
        let generic = json!([{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]);
        let other = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]);
        let cases: [(&Value, &str, &str, bool); 5] = [
            (&direct, "n1", "Running", true),
            (&generic, "n1", "Pending", true),
            (&other, "n1", "Running", false),
            (&direct, "", "Pending", false),
            (&direct, "n1", "Succeeded", false),
        ];
        for (volumes, node, phase, expected) in cases {
            let pod = json!({
                "metadata": {"name": "p"}, "spec": {"nodeName": node, "volumes": volumes, "containers": []},
                "status": {"phase": phase},
            });
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(uses(&pod, &claim), expected, "{volumes} {node} {phase}");
        }
    }
}

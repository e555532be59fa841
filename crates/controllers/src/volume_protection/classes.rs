//! Classes of attributes that volumes and claims are to have.

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{PersistentVolume, PersistentVolumeClaim};
use portolan_api::typed::kinds::storage::v1::VolumeAttributesClass;
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, WorkQueue};

use super::{held, release};
use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};

const OF_CLASS: &str = "kubernetes.io/vac-protection";

struct Controller {
    context: Context,
    classes: Informer<VolumeAttributesClass>,
    volumes: Informer<PersistentVolume>,
    claims: Informer<PersistentVolumeClaim>,
}

pub(super) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        classes: context.informers.informer(),
        volumes: context.informers.informer(),
        claims: context.informers.informer(),
        context,
    };
    let ready =
        async { tokio::join!(controller.classes.synced(), controller.volumes.synced(), controller.claims.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.classes.feed(&queue, |class| held(class, OF_CLASS));
    // Whatever of them changes or goes, a class may be free by it; few are about to go at any time.
    let waiting = |classes: &Informer<VolumeAttributesClass>| {
        let classes = classes.list();
        classes.iter().flat_map(|class| held(&**class, OF_CLASS)).collect::<Vec<_>>()
    };
    let classes = controller.classes.clone();
    controller.volumes.feed_encoded(&queue, move |_| waiting(&classes));
    let classes = controller.classes.clone();
    controller.claims.feed_encoded(&queue, move |_| waiting(&classes));
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "volumeattributesclassprotection"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(class) = self.classes.get("", &key.name) else { return Ok(Next::OnChange) };
        let is_used = || {
            self.volumes.list().iter().any(|volume| of_volume(volume) == Some(class.name()))
                || self.claims.list().iter().any(|claim| of_claim(claim).contains(&class.name()))
        };
        if !held(&*class, OF_CLASS).is_empty() && !is_used() {
            release(&self.context, &*class, OF_CLASS).await?;
        }
        Ok(Next::OnChange)
    }
}

/// The class that a volume has.
fn of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref()
}

/// The classes that a claim wants, has, or is on the way to.
fn of_claim(claim: &PersistentVolumeClaim) -> Vec<&str> {
    let wanted = claim.spec.iter().flat_map(|spec| &spec.volume_attributes_class_name);
    let present = claim.status.iter().flat_map(|status| &status.current_volume_attributes_class_name);
    let coming = claim.status.iter().flat_map(|status| &status.modify_volume_status);
    let coming = coming.flat_map(|status| &status.target_volume_attributes_class_name);
    wanted.chain(present).chain(coming).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_is_used_by_who_wants_has_or_gets_it() {
        for (claim, expected) in [
            (json!({}), vec![]),
            (json!({"spec": {"volumeAttributesClassName": "a"}}), vec!["a"]),
            (
                json!({"spec": {"volumeAttributesClassName": "a"}, "status": {
                    "currentVolumeAttributesClassName": "b",
                    "modifyVolumeStatus": {"status": "Pending", "targetVolumeAttributesClassName": "c"},
                }}),
                vec!["a", "b", "c"],
            ),
        ] {
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
            assert_eq!(of_claim(&claim), expected);
        }
        let volume = json!({"spec": {"volumeAttributesClassName": "a"}});
        let volume: PersistentVolume = serde_json::from_value(volume).expect("a volume");
        assert_eq!(of_volume(&volume), Some("a"));
    }
}

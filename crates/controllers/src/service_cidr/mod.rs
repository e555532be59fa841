//! Keeps a range of service addresses as long as an address of it is in use.
//!
//! Source: `pkg/controller/servicecidrs` of Kubernetes.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use portolan_api::time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::networking::v1::{IPAddress, ServiceCIDR};
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, ListParams, Patch, WorkQueue};
use serde_json::{Value, json};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use plan::{Action, FINALIZER, Standing, plan};

/// Who says how a range is, as upstream names it.
const MANAGER: &str = "service-cidr-controller";

struct Controller {
    context: Context,
    ranges: Informer<ServiceCIDR>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller { ranges: context.informers.informer(), context };
    if shutdown.run(controller.ranges.synced()).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    let ranges = controller.ranges.clone();
    // A range that comes may hold what keeps another one.
    controller.ranges.feed(&queue, move |_| ranges.list().iter().map(|range| Key::of(&**range)).collect());
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "servicecidr"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(range) = self.ranges.get("", &key.name) else { return Ok(Next::OnChange) };
        let ranges = self.ranges.list();
        let others: Vec<Arc<ServiceCIDR>> = ranges.into_iter().filter(|other| other.uid() != range.uid()).collect();
        // Only a range that is to go needs to know, and few do: nobody follows all addresses for that.
        let addresses = match &range.metadata.deletion_timestamp {
            Some(_) => self.context.client.list::<IPAddress>("", &ListParams::default()).await?.items,
            None => Vec::new(),
        };
        let (actions, next) = plan(&range, &others, &addresses, self.context.clock.now());
        for action in actions {
            self.apply(&range, action).await?;
        }
        Ok(next.into())
    }
}

impl Controller {
    async fn apply(&self, range: &ServiceCIDR, action: Action) -> Result<(), Error> {
        let (subresource, patch) = match action {
            Action::Hold => ("", Patch::Merge(finalizers(range, |names| names.push(FINALIZER.to_owned())))),
            Action::Release => ("", Patch::Merge(finalizers(range, |names| names.retain(|name| name != FINALIZER)))),
            Action::Tell(Standing { status, reason, message }) => {
                let condition = json!({
                    "type": "Ready", "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": time::format(self.context.clock.now()),
                });
                let applied = json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                    "metadata": {"name": range.name(), "uid": range.uid()}, "status": {"conditions": [condition]},
                });
                ("status", Patch::Apply { value: applied, field_manager: MANAGER.to_owned(), force: true })
            }
        };
        match self.context.client.patch::<ServiceCIDR>("", range.name(), subresource, &patch).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// A patch on the version that was looked at, so that no other finalizer is lost.
fn finalizers(range: &ServiceCIDR, change: impl FnOnce(&mut Vec<String>)) -> Value {
    let mut names = range.metadata.finalizers.clone().unwrap_or_default();
    change(&mut names);
    json!({"metadata": {
        "uid": range.uid(), "resourceVersion": range.metadata.resource_version, "finalizers": names,
    }})
}

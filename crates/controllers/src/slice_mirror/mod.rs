//! Copies Endpoints that somebody wrote by hand into EndpointSlices, which is what the data plane reads.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Endpoints, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::endpoints::plan::{MANAGED_BY_LABEL, SERVICE_LABEL};
use crate::endpoints::{has_own_selector, write};
use crate::meta::{is_deleting, labels};
use plan::{MANAGED_BY, is_mirrored, plan};

struct Controller {
    context: Context,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<EndpointSlice>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        services: context.informers.informer(),
        endpoints: context.informers.informer(),
        slices: context.informers.informer(),
        context,
    };
    let ready =
        async { tokio::join!(controller.services.synced(), controller.endpoints.synced(), controller.slices.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    // The version before a change comes by here, too: what is not mirrored any more is looked at once more.
    controller.endpoints.feed(&queue, |endpoints| match is_mirrored(endpoints) {
        true => vec![Key::of(endpoints)],
        false => Vec::new(),
    });
    controller.services.feed(&queue, |service| match has_own_selector(service) {
        true => Vec::new(),
        false => vec![Key::of(service)],
    });
    controller.slices.feed(&queue, |slice| {
        let labels = slice.metadata.labels.as_ref();
        let ours = labels.and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|by| by == MANAGED_BY);
        let service = labels.filter(|_| ours).and_then(|labels| labels.get(SERVICE_LABEL));
        service.map(|service| Key::new(slice.namespace(), service.as_str())).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "endpointslicemirroring"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let service = self.services.get(&key.namespace, &key.name);
        let wanted = service.is_some_and(|service| !is_deleting(&*service) && !has_own_selector(&service));
        let endpoints = self.endpoints.get(&key.namespace, &key.name);
        let endpoints = endpoints.filter(|found| wanted && !is_deleting(&**found) && is_mirrored(found));
        let plan = plan(endpoints.as_deref(), &self.slices(key));
        write(&self.context.client, &key.namespace, &plan).await?;
        Ok(Next::OnChange)
    }
}

impl Controller {
    /// What was mirrored for a service until now.
    fn slices(&self, service: &Key) -> Vec<Arc<EndpointSlice>> {
        let is_its = |encoded: &[u8]| {
            let labels = labels(encoded);
            labels.get(SERVICE_LABEL).is_some_and(|of| *of == *service.name)
                && labels.get(MANAGED_BY_LABEL).is_some_and(|by| by == MANAGED_BY)
        };
        let mut slices = self.slices.filter(Some(&service.namespace), is_its);
        slices.retain(|slice| !is_deleting(&**slice));
        slices
    }
}

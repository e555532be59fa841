//! Publishes the addresses behind services, as EndpointSlices and as Endpoints.

pub(crate) mod addresses;
pub(crate) mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Endpoints, Pod, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_base::Shutdown;
use portolan_client::{Client, DeleteOptions, Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::{is_deleting, labels};
use addresses::addresses;
use plan::{MANAGED_BY, MANAGED_BY_LABEL, Plan, SERVICE_LABEL, plan_endpoints, plan_slices};

struct Controller {
    context: Context,
    services: Informer<Service>,
    pods: Informer<Pod>,
    slices: Informer<EndpointSlice>,
    endpoints: Informer<Endpoints>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        services: context.informers.informer(),
        pods: context.informers.informer(),
        slices: context.informers.informer(),
        endpoints: context.informers.informer(),
        context,
    };
    let ready = async {
        tokio::join!(
            controller.services.synced(),
            controller.pods.synced(),
            controller.slices.synced(),
            controller.endpoints.synced()
        )
    };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.services.feed(&queue, |service| vec![Key::of(service)]);
    let services = controller.services.clone();
    controller.pods.feed_encoded(&queue, move |pod| {
        let services = services.in_namespace(&pod.header().namespace);
        // Labels are read if there is a selector to hold against them.
        let concerned = services.iter().filter(|service| selects(service, || pod.labels()));
        concerned.map(|service| Key::of(&**service)).collect()
    });
    controller.slices.feed(&queue, |slice| {
        let labels = slice.metadata.labels.as_ref();
        let ours = labels.is_some_and(|labels| labels.get(MANAGED_BY_LABEL).is_some_and(|by| by == MANAGED_BY));
        let service = labels.filter(|_| ours).and_then(|labels| labels.get(SERVICE_LABEL));
        service.map(|service| Key::new(slice.namespace(), service)).into_iter().collect()
    });
    // Without a service they are somebody's own; those of a service that goes, go with it.
    let services = controller.services.clone();
    controller.endpoints.feed(&queue, move |endpoints| {
        services.get(endpoints.namespace(), endpoints.name()).map(|service| Key::of(&*service)).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

/// The selector, if the service has one and its endpoints are not somebody else's business.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

/// Whether the service says which pods are behind it, so that nobody has to write its endpoints.
pub(crate) fn has_own_selector(service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| !selector.is_empty())
}

fn selects<'l>(service: &Service, labels: impl FnOnce() -> &'l BTreeMap<String, String>) -> bool {
    selector(service).is_some_and(|selector| {
        let labels = labels();
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        match self.services.get(&key.namespace, &key.name) {
            Some(service) if !is_deleting(&*service) => self.publish(&service).await?,
            Some(_) => {}
            None => self.withdraw(key).await?,
        }
        Ok(Next::OnChange)
    }
}

impl Controller {
    async fn publish(&self, service: &Service) -> Result<(), Error> {
        if selector(service).is_none() {
            return Ok(());
        }
        let client = &self.context.client;
        let selected = |encoded: &[u8]| {
            let labels = labels(encoded);
            selects(service, || &labels)
        };
        let pods = self.pods.filter(Some(service.namespace()), selected);
        let groups = addresses(service, &pods);
        let ours = |slice: &Arc<EndpointSlice>| {
            let labels = slice.metadata.labels.as_ref();
            labels.is_some_and(|labels| labels.get(MANAGED_BY_LABEL).is_some_and(|by| by == MANAGED_BY))
                && !is_deleting(&**slice)
        };
        let mut slices = self.slices.controlled_by(service.uid());
        slices.retain(ours);
        write(client, service.namespace(), &plan_slices(MANAGED_BY, service, &groups, &slices)).await?;
        let present = self.endpoints.get(service.namespace(), service.name());
        if let Some(endpoints) = plan_endpoints(service, &groups, present.as_deref()) {
            match present {
                Some(_) => client.update(&endpoints).await?,
                None => client.create(&endpoints).await?,
            };
        }
        Ok(())
    }

    /// The service is gone: so are its addresses, without waiting for the garbage collector.
    async fn withdraw(&self, service: &Key) -> Result<(), Error> {
        let client = &self.context.client;
        for slice in self.slices.in_namespace(&service.namespace) {
            let labels = slice.metadata.labels.as_ref();
            let label = |name: &str, value: &str| {
                labels.and_then(|labels| labels.get(name)).is_some_and(|found| found == value)
            };
            if label(SERVICE_LABEL, &service.name) && label(MANAGED_BY_LABEL, MANAGED_BY) && !is_deleting(&*slice) {
                let options = DeleteOptions::uid(slice.uid());
                gone(client.delete::<EndpointSlice>(slice.namespace(), slice.name(), &options).await)?;
            }
        }
        if let Some(endpoints) = self.endpoints.get(&service.namespace, &service.name)
            && endpoints.metadata.annotations.as_ref().is_none_or(|all| !all.contains_key(LEADER_ANNOTATION))
        {
            let options = DeleteOptions::uid(endpoints.uid());
            gone(client.delete::<Endpoints>(&service.namespace, &service.name, &options).await)?;
        }
        Ok(())
    }
}

/// Brings slices in line.
pub(crate) async fn write(client: &Client, namespace: &str, plan: &Plan) -> Result<(), Error> {
    for slice in &plan.create {
        client.create(slice).await?;
    }
    for slice in &plan.update {
        client.update(slice).await?;
    }
    for name in &plan.delete {
        gone(client.delete::<EndpointSlice>(namespace, name, &DeleteOptions::default()).await)?;
    }
    Ok(())
}

/// Old programs elect their leader through an Endpoints object without a service.
pub(crate) const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Deleting what is gone already is fine.
fn gone(outcome: Result<(), Error>) -> Result<(), Error> {
    outcome.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

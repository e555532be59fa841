//! Puts registered instances behind Services that name them, so that a pod reaches what runs outside of the
//! cluster by a cluster address and a name.

mod explain;
mod plan;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_base::Shutdown;
use portolan_client::{Error, EventRecorder, EventType, Informer, Key, WorkQueue, reference};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::endpoints::plan::{MANAGED_BY_LABEL, SERVICE_LABEL, plan_slices};
use crate::endpoints::write;
use crate::meta::is_deleting;
use plan::{behind, by_name};

pub use explain::explain_mirror;
pub use plan::mirror_target;

/// Who manages the slices that are made here.
const MANAGED_BY: &str = "registry-mirror.portolan.dev";

/// Which Services mirror a service of the registry.
type Mirrors = Arc<Mutex<HashMap<Key, BTreeSet<Key>>>>;

struct Controller {
    context: Context,
    services: Informer<Service>,
    instances: Informer<ServiceInstance>,
    machines: Informer<ExternalNode>,
    slices: Informer<EndpointSlice>,
    mirrors: Mirrors,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        services: context.informers.informer(),
        instances: context.informers.informer(),
        machines: context.informers.informer(),
        slices: context.informers.informer(),
        mirrors: Mirrors::default(),
        events: context.recorder("registry-mirror"),
        context,
    };
    let ready = async {
        tokio::join!(
            controller.services.synced(),
            controller.instances.synced(),
            controller.machines.synced(),
            controller.slices.synced()
        )
    };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    let mirrors = controller.mirrors.clone();
    controller.services.feed(&queue, move |service| {
        let key = Key::of(service);
        let Some(target) = mirror_target(service) else { return vec![] };
        if let Ok(target) = target {
            // The old version of a changed Service comes by here, too: entries that are not true any more are
            // dropped when they are looked at.
            mirrors.lock().entry(target).or_default().insert(key.clone());
        }
        vec![key]
    });
    let mirrors = controller.mirrors.clone();
    // There may be very many of which nobody mirrors any: they are not decoded for this.
    controller.instances.feed_encoded(&queue, move |instance| {
        if mirrors.lock().is_empty() {
            return vec![];
        }
        let Some(service) = instance.text(&["spec", "service"]) else { return vec![] };
        let target = Key::new(&*instance.header().namespace, &*service);
        mirrors.lock().get(&target).into_iter().flatten().cloned().collect()
    });
    let mirrors = controller.mirrors.clone();
    controller.machines.feed(&queue, move |_| {
        // Machines change rarely, and few Services mirror any.
        mirrors.lock().values().flatten().cloned().collect()
    });
    controller.slices.feed(&queue, |slice| {
        let labels = slice.metadata.labels.as_ref().filter(|_| is_ours(slice));
        let service = labels.and_then(|labels| labels.get(SERVICE_LABEL));
        service.map(|service| Key::new(slice.namespace(), service.as_str())).into_iter().collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|by| by == MANAGED_BY)
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "registrymirror"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let service = self.services.get(&key.namespace, &key.name);
        let target = service.as_deref().and_then(mirror_target);
        self.forget_others(key, target.as_ref().and_then(|target| target.as_ref().ok()));
        // Slices of a Service that is gone go with it.
        if let Some(service) = service.filter(|service| !is_deleting(&**service)) {
            self.publish(&service, target).await?;
        }
        Ok(Next::OnChange)
    }
}

impl Controller {
    /// Drops what is noted of a Service but for what it mirrors now.
    fn forget_others(&self, service: &Key, target: Option<&Key>) {
        self.mirrors.lock().retain(|mirrored, services| {
            if Some(mirrored) != target {
                services.remove(service);
            }
            !services.is_empty()
        });
    }

    async fn publish(&self, service: &Service, target: Option<Result<Key, String>>) -> Result<(), Error> {
        let client = &self.context.client;
        let mut slices = self.slices.controlled_by(service.uid());
        slices.retain(|slice| is_ours(slice) && !is_deleting(&**slice));
        if let Some(Err(why)) = &target {
            self.events.event(&reference(service), EventType::Warning, "NotMirrored", why.clone());
        }
        let Some(Ok(target)) = target else {
            let names = slices.iter().map(|slice| slice.name().to_owned()).collect();
            let plan = crate::endpoints::plan::Plan { delete: names, ..Default::default() };
            return write(client, service.namespace(), &plan).await;
        };
        let mut instances = self.instances.in_namespace(&target.namespace);
        instances.retain(|instance| *instance.spec.service == *target.name);
        let machines = self.machines.list();
        let machines = by_name(machines.iter().map(|machine| &**machine));
        let machine_of = |instance: &ServiceInstance| machines.get(instance.spec.node.as_str()).copied();
        let found = behind(service, instances.iter().map(|instance| (&**instance, machine_of(instance))));
        if let Some(first) = found.unreachable.first() {
            let more = found.unreachable.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!(
                "{first}{more} registered without an address that other machines reach: no traffic is sent there"
            );
            self.events.event(&reference(service), EventType::Warning, "NoAddress", message);
        }
        write(client, service.namespace(), &plan_slices(MANAGED_BY, service, &found.groups, &slices)).await
    }
}

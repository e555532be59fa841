//! Gives services of type LoadBalancer an address of the pool.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service};
use portolan_base::Shutdown;
use portolan_client::{Error, EventRecorder, EventType, Informer, Key, WorkQueue, reference};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use plan::{Decision, Pool, plan};

/// How long to wait for our own write to come back; far more than a working watch needs.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

struct Controller {
    context: Context,
    pool: Pool,
    services: Informer<Service>,
    events: EventRecorder,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let Some(pool) = Pool::parse(&context.load_balancer_cidr) else {
        tracing::error!(
            cidr = context.load_balancer_cidr,
            "services of type LoadBalancer get no address: the configured range is not of the form 10.44.0.0/24"
        );
        shutdown.requested().await;
        return;
    };
    let controller = Controller {
        services: context.informers.informer(),
        events: context.recorder("service-controller"),
        pool,
        context,
    };
    if shutdown.run(controller.services.synced()).await.is_none() {
        return;
    }
    // Addresses are given from one pool, so there is one key: the pool.
    let queue = WorkQueue::new();
    controller.services.feed(&queue, |_| vec![Key::new("", "pool")]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "loadbalancer"
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Error> {
        let services = self.services.list();
        for (key, decision) in plan(&services, self.pool) {
            let Some(service) = self.services.get(&key.namespace, &key.name) else { continue };
            self.apply(&service, &decision).await?;
        }
        Ok(Next::OnChange)
    }
}

impl Controller {
    async fn apply(&self, service: &Arc<Service>, decision: &Decision) -> Result<(), Error> {
        let ingress = match decision {
            Decision::Assign(address) => Some(vec![LoadBalancerIngress {
                ip: Some(address.to_string()),
                ip_mode: Some("VIP".to_owned()),
                ..LoadBalancerIngress::default()
            }]),
            Decision::Release => None,
            Decision::Refuse(reason) => {
                let message = format!("Error assigning an address: {reason}");
                self.events.event(&reference(&**service), EventType::Warning, "AllocationFailed", message);
                return Ok(());
            }
        };
        let mut changed = Service::clone(service);
        changed.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress });
        let mut changes = self.services.changes();
        match self.context.client.update_status(&changed).await {
            Err(error) if error.is_not_found() => return Ok(()),
            outcome => drop(outcome?),
        }
        // The next plan must see this address as taken, or it could give it away twice.
        let version = |service: &Service| service.metadata.resource_version.clone();
        let seen = async {
            let current = || self.services.get(service.namespace(), service.name());
            while current().is_some_and(|current| version(&current) == version(service)) {
                // The informer outlives the wait: `self` holds it.
                let _ = changes.changed().await;
            }
        };
        if tokio::time::timeout(SEEN_WITHIN, seen).await.is_err() {
            tracing::warn!("the copy of the services is behind by more than {SEEN_WITHIN:?}");
        }
        if let Decision::Assign(address) = decision {
            let message = format!("Assigned address {address}");
            self.events.event(&reference(&**service), EventType::Normal, "AddressAssigned", message);
        }
        tracing::debug!(service = %Key::new(service.namespace(), service.name()), ?decision, "load-balancer address");
        Ok(())
    }
}

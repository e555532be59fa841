//! Counts what the objects of a namespace use, for its quotas.
//!
//! Admission adds what is created, in the transaction that creates it; here everything is counted again whenever
//! something went away or a quota changed. A count is written only if the quota is still the one that was read
//! before the counting began: an object that was charged meanwhile changed it, so no charge is ever lost.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use parking_lot::Mutex;
use portolan_api::quota;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::ResourceQuota;
use portolan_base::{Shutdown, Timestamp};
use portolan_client::{ApiResource, Error, Informer, Key, PartialKind, WorkQueue};
use serde_json::Value;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use plan::{Counted, plan};

/// A count goes through all objects of a namespace, so changes of this time are counted together.
const PAUSE: Duration = Duration::from_millis(200);

/// Group and resource.
type Id = (String, String);

struct Controller {
    context: Context,
    quotas: Informer<ResourceQuota>,
    queue: WorkQueue,
    /// Where the objects of a kind are found; of those that quotas have named so far.
    resources: Mutex<HashMap<Id, ApiResource>>,
    counted_at: Mutex<HashMap<Key, Timestamp>>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        quotas: context.informers.informer(),
        queue: WorkQueue::new(),
        resources: Mutex::default(),
        counted_at: Mutex::default(),
        context,
    };
    if shutdown.run(controller.quotas.synced()).await.is_none() {
        return;
    }
    controller.quotas.feed(&controller.queue, |quota| vec![Key::of(quota)]);
    drive(&controller, &controller.queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "resourcequota"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        if self.quotas.get(&key.namespace, &key.name).is_none() {
            self.counted_at.lock().remove(key);
            return Ok(Next::OnChange);
        }
        let now = self.context.clock.now();
        if let Some(again) = self.counted_at.lock().get(key).map(|at| *at + PAUSE).filter(|again| *again > now) {
            return Ok(Next::At(again));
        }
        let path = format!("/api/v1/namespaces/{}/resourcequotas/{}", key.namespace, key.name);
        // Read before the counting begins, not from our copy.
        let quota = match self.context.client.raw(Method::GET, &path, None).await {
            Err(error) if error.is_not_found() => return Ok(Next::OnChange),
            outcome => outcome?,
        };
        let mut objects = BTreeMap::new();
        for id in wanted(&quota) {
            if let Some(resource) = self.resource(&id).await? {
                objects.insert(id, self.context.items(&resource, &key.namespace).await?);
            }
        }
        let Counted { status, again } = plan(&quota, &objects, now);
        if let Some(status) = status {
            let mut next = quota;
            next["status"] = status;
            match self.context.client.raw(Method::PUT, &format!("{path}/status"), Some(next)).await {
                Err(error) if error.is_not_found() => {}
                outcome => drop(outcome?),
            }
        }
        self.counted_at.lock().insert(key.clone(), self.context.clock.now());
        Ok(again.into())
    }
}

/// The kinds that a quota counts.
fn wanted(quota: &Value) -> BTreeSet<Id> {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    let named = hard.filter_map(|(name, _)| quota::resource_of(name));
    named.map(|(group, resource)| (group.to_owned(), resource.to_owned())).collect()
}

impl Controller {
    /// Where the objects of a kind are found; from then on, their changes wake the quotas of their namespace.
    async fn resource(&self, id: &Id) -> Result<Option<ApiResource>, Error> {
        if let Some(known) = self.resources.lock().get(id) {
            return Ok(Some(known.clone()));
        }
        let all = self.context.client.discover().await?;
        let is_it = |resource: &ApiResource| (&resource.group, &resource.resource) == (&id.0, &id.1);
        let Some(found) = all.into_iter().find(|resource| is_it(resource) && resource.can("list")) else {
            return Ok(None);
        };
        let objects = self.context.informers.partial(&PartialKind {
            group: found.group.clone(),
            version: found.version.clone(),
            resource: found.resource.clone(),
            scope: found.scope,
        });
        self.resources.lock().insert(id.clone(), found.clone());
        let quotas = self.quotas.clone();
        let own = (id.0.is_empty() && id.1 == ResourceQuota::RESOURCE).then_some(());
        objects.feed_encoded(&self.queue, move |object| {
            let of_namespace = quotas.in_namespace(&object.header().namespace);
            // A quota that counts quotas would wake itself by what it writes.
            let others = of_namespace.iter().filter(|quota| own.is_none() || quota.name() != object.header().name);
            others.map(|quota| Key::of(&**quota)).collect()
        });
        Ok(Some(found))
    }
}

//! Keeps registrations: writes them through the API, and their leases in memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::typed::{Object, ServiceInstance};
use portolan_client::{Client, DeleteOptions, Informer, Key};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Error;
use crate::lease::Leases;
use crate::registration::{Registration, time_to_live};

/// How soon a deletion that the API did not take is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The instance is new.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there like this; nothing was written.
    Unchanged,
}

/// The registrations and their leases.
pub(crate) struct Keeper {
    client: Client,
    instances: Informer<ServiceInstance>,
    leases: Mutex<Leases>,
    /// A lease was added that may end before the one that is waited for.
    added: Notify,
}

impl Keeper {
    pub(crate) fn new(client: Client, instances: Informer<ServiceInstance>) -> Self {
        Self { client, instances, leases: Mutex::default(), added: Notify::new() }
    }

    /// Registers an instance; its lease is full from now.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        peer: IpAddr,
    ) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
        let wanted = registration.into_object(peer)?;
        let key = Key::of(&wanted);
        let present = self.instances.get(&key.namespace, &key.name);
        let (outcome, instance) = match present {
            Some(present) if self.is_ending(&key, &present) => {
                // Its deletion is under way and asks for its UID; a new object is not meant by it.
                let _ = self
                    .client
                    .delete::<ServiceInstance>(&key.namespace, &key.name, &DeleteOptions::uid(present.uid()))
                    .await;
                self.create(wanted).await?
            }
            Some(present) if present.spec == wanted.spec => (Outcome::Unchanged, present),
            Some(present) => (Outcome::Changed, self.change((*present).clone(), wanted).await?),
            None => self.create(wanted).await?,
        };
        match time_to_live(&instance) {
            Some(ttl) => self.leases.lock().grant(&key, ttl, Instant::now()),
            None => self.leases.lock().end(&key),
        }
        self.added.notify_one();
        Ok((outcome, instance))
    }

    /// Whether an instance has lost its lease and is only still seen.
    fn is_ending(&self, key: &Key, instance: &ServiceInstance) -> bool {
        time_to_live(instance).is_some() && self.leases.lock().renew(key, Instant::now()).is_none()
    }

    async fn create(&self, wanted: ServiceInstance) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
        match self.client.create(&wanted).await {
            Ok(created) => Ok((Outcome::Created, Arc::new(created))),
            // Registered a moment ago, and our copy has not heard of it yet.
            Err(error) if error.is_already_exists() => {
                let present = self.client.get(wanted.namespace(), wanted.name()).await.map_err(Error::Api)?;
                Ok((Outcome::Changed, self.change(present, wanted).await?))
            }
            Err(error) => Err(Error::Api(error)),
        }
    }

    async fn change(&self, present: ServiceInstance, wanted: ServiceInstance) -> Result<Arc<ServiceInstance>, Error> {
        let changed = ServiceInstance { spec: wanted.spec, ..present };
        self.client.update(&changed).await.map(Arc::new).map_err(Error::Api)
    }

    /// Makes the lease of an instance full again; nothing is written.
    pub(crate) fn renew(&self, namespace: &str, id: &str) -> Result<Duration, Error> {
        let key = Key::new(namespace, id);
        self.leases.lock().renew(&key, Instant::now()).ok_or_else(|| {
            Error::NotFound(format!(
                "{namespace}/{id} has no lease: it ended or was never registered with ttlSeconds; register again"
            ))
        })
    }

    /// Ends a registration.
    pub(crate) async fn deregister(&self, namespace: &str, id: &str) -> Result<(), Error> {
        let deleted = self.client.delete::<ServiceInstance>(namespace, id, &DeleteOptions::default()).await;
        match deleted {
            Ok(()) => {
                self.leases.lock().end(&Key::new(namespace, id));
                Ok(())
            }
            Err(error) if error.is_not_found() => Err(Error::NotFound(format!("{namespace}/{id} is not registered"))),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// A registration as the API has it.
    pub(crate) fn instance(&self, namespace: &str, id: &str) -> Option<Arc<ServiceInstance>> {
        self.instances.get(namespace, id)
    }

    /// What is left of an instance's lease.
    pub(crate) fn lease_remaining(&self, namespace: &str, id: &str) -> Option<Duration> {
        self.leases.lock().remaining(&Key::new(namespace, id), Instant::now())
    }

    /// Follows the objects (whoever made them) and ends what was not heard of for a whole lease.
    ///
    /// After a start every instance gets one full lease: it could not have renewed while nobody
    /// listened.
    pub(crate) async fn run(&self) {
        self.instances.synced().await;
        let mut keys = self.instances.keys();
        loop {
            let next = self.leases.lock().next();
            let due = async {
                match next {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = keys.next() => self.follow(changed),
                () = self.added.notified() => {}
                () = due => self.expire().await,
            }
        }
    }

    fn follow(&self, changed: impl IntoIterator<Item = Key>) {
        let (mut leases, now) = (self.leases.lock(), Instant::now());
        for key in changed {
            match self.instances.get(&key.namespace, &key.name).as_deref().and_then(time_to_live) {
                Some(ttl) => leases.ensure(&key, ttl, now),
                None => leases.end(&key),
            }
        }
    }

    async fn expire(&self) {
        let expired = self.leases.lock().expired(Instant::now());
        for key in expired {
            // The precondition spares an instance that registered anew in the meantime.
            let Some(instance) = self.instances.get(&key.namespace, &key.name) else { continue };
            let options = DeleteOptions::uid(instance.uid());
            match self.client.delete::<ServiceInstance>(&key.namespace, &key.name, &options).await {
                Ok(()) => tracing::info!(instance = %key, "lease ended, instance removed"),
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(instance = %key, error = %portolan_base::error::chain(&error), "cannot remove an instance whose lease ended; trying again");
                    self.leases.lock().grant(&key, RETRY, Instant::now());
                }
            }
        }
    }
}

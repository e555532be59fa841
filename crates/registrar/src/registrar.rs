//! Keeps registrations: writes them through the API, and their leases in memory.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::typed::{LeaseKind, Object, ServiceInstance, ServiceInstanceStatus};
use portolan_client::{Client, DeleteOptions, Informer, Key};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Error;
use crate::lease::Leases;

/// How soon a deletion that the API did not take is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The instance is new.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there like this; nothing was written.
    Unchanged,
}

/// The registrations and their leases.
pub struct Registrar {
    client: Client,
    instances: Informer<ServiceInstance>,
    leases: Mutex<Leases>,
    /// A lease was added that may end before the one that is waited for.
    added: Notify,
}

impl Registrar {
    /// Writes through `client` and reads what is there from `instances`; [`Registrar::run`] must be running.
    pub fn new(client: Client, instances: Informer<ServiceInstance>) -> Self {
        Self { client, instances, leases: Mutex::default(), added: Notify::new() }
    }

    /// Registers an instance, known by its namespace and name; its lease is full from now.
    ///
    /// The status of `wanted` is used for a new instance only; later [`Registrar::change_status`] changes it.
    ///
    /// # Errors
    /// The API refused it.
    pub async fn register(&self, wanted: ServiceInstance) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
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

    /// Changes the specification of an instance by `edit`; nothing is written if that changes nothing.
    ///
    /// # Errors
    /// There is no such instance, or the API refused the change.
    pub async fn change_spec(
        &self,
        key: &Key,
        edit: impl Fn(&mut portolan_api::typed::ServiceInstanceSpec) + Send + Sync,
    ) -> Result<Arc<ServiceInstance>, Error> {
        let mut present = self.present(key).await?;
        loop {
            let mut changed = (*present).clone();
            edit(&mut changed.spec);
            if changed.spec == present.spec {
                return Ok(present);
            }
            match self.client.update(&changed).await {
                Ok(written) => return Ok(Arc::new(written)),
                Err(error) if error.is_conflict() => present = self.read(key).await?,
                Err(error) => return Err(Error::Api(error)),
            }
        }
    }

    /// Changes the status of an instance by `edit`; nothing is written if that changes nothing.
    ///
    /// # Errors
    /// There is no such instance, or the API refused the change.
    pub async fn change_status(
        &self,
        key: &Key,
        edit: impl Fn(&ServiceInstance, &mut ServiceInstanceStatus) + Send + Sync,
    ) -> Result<Arc<ServiceInstance>, Error> {
        let mut present = self.present(key).await?;
        loop {
            let mut status = present.status.clone().unwrap_or_default();
            edit(&present, &mut status);
            if present.status.as_ref() == Some(&status) {
                return Ok(present);
            }
            let changed = ServiceInstance { status: Some(status), ..(*present).clone() };
            match self.client.update_status(&changed).await {
                Ok(written) => return Ok(Arc::new(written)),
                Err(error) if error.is_conflict() => present = self.read(key).await?,
                Err(error) => return Err(Error::Api(error)),
            }
        }
    }

    /// From our copy, or from the API if that has not heard of it yet.
    async fn present(&self, key: &Key) -> Result<Arc<ServiceInstance>, Error> {
        match self.instances.get(&key.namespace, &key.name) {
            Some(present) => Ok(present),
            None => self.read(key).await,
        }
    }

    async fn read(&self, key: &Key) -> Result<Arc<ServiceInstance>, Error> {
        match self.client.get(&key.namespace, &key.name).await {
            Ok(present) => Ok(Arc::new(present)),
            Err(error) if error.is_not_found() => Err(Error::NotFound(format!("{key} is not registered"))),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Makes the lease of an instance full again; nothing is written.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn renew(&self, key: &Key) -> Result<Duration, Error> {
        self.leases.lock().renew(key, Instant::now()).ok_or_else(|| {
            Error::NotFound(format!("{key} has no lease: it ended or was never registered with one; register again"))
        })
    }

    /// Ends a registration.
    ///
    /// # Errors
    /// There is no such instance, or the API refused.
    pub async fn deregister(&self, key: &Key) -> Result<(), Error> {
        let deleted = self.client.delete::<ServiceInstance>(&key.namespace, &key.name, &DeleteOptions::default()).await;
        match deleted {
            Ok(()) => {
                self.leases.lock().end(key);
                Ok(())
            }
            Err(error) if error.is_not_found() => Err(Error::NotFound(format!("{key} is not registered"))),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// A registration as the API has it.
    pub fn instance(&self, key: &Key) -> Option<Arc<ServiceInstance>> {
        self.instances.get(&key.namespace, &key.name)
    }

    /// All registrations as the API has them.
    pub fn informer(&self) -> &Informer<ServiceInstance> {
        &self.instances
    }

    /// What is left of an instance's lease.
    pub fn lease_remaining(&self, key: &Key) -> Option<Duration> {
        self.leases.lock().remaining(key, Instant::now())
    }

    /// Follows the objects (whoever made them) and ends what was not heard of for a whole lease.
    ///
    /// After a start every instance gets one full lease: it could not have renewed while nobody
    /// listened.
    pub async fn run(&self) {
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

/// The time to live of an instance, if it has one.
fn time_to_live(instance: &ServiceInstance) -> Option<Duration> {
    let lease = instance.spec.lease.filter(|lease| lease.kind == LeaseKind::Ttl)?;
    let seconds = u64::try_from(lease.ttl_seconds?).ok()?.max(1);
    Some(Duration::from_secs(seconds))
}

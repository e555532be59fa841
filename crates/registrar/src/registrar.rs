//! Keeps registrations: writes them through the API, and their leases in memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::typed::{ExternalNode, LeaseTerm, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus};
use portolan_base::{Clock, SystemClock};
use portolan_client::{Client, Informer, Key};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::Error;
use crate::alias::Target;
use crate::checks::{Checks, Owner};
use crate::counters::Counters;
use crate::ids::Ids;
use crate::kept::{Kept, Part};
use crate::lease::{Holder, Leases};
use crate::policy::PartitionPolicy;
use crate::run::Job;
use crate::sessions::Sessions;

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

/// The registrations, their leases, and the checks that others report.
///
/// What was written through it is read from it at once, whether or not the informers have heard of it.
pub struct Registrar {
    client: Client,
    pub(crate) instances: Kept<ServiceInstance>,
    pub(crate) machines: Option<Kept<ExternalNode>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: PartitionPolicy,
    pub(crate) table: Mutex<Table>,
    pub(crate) checks: Mutex<Checks>,
    pub(crate) aliases: Mutex<Aliases>,
    pub(crate) ids: Mutex<Ids>,
    pub(crate) todo: Mutex<VecDeque<Job>>,
    /// Something is to be done, or a time was added that may end before the one that is waited for.
    pub(crate) woken: Notify,
    pub(crate) counters: Counters,
    /// Whether every lease is known.
    pub(crate) ready: watch::Sender<bool>,
}

/// Leases, and what is on its way out because one ended.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) leases: Leases,
    pub(crate) sessions: Sessions,
    pub(crate) ending: HashSet<Key>,
}

/// Who follows whom.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    pub(crate) followers: HashMap<Target, HashSet<Owner>>,
    pub(crate) followed: HashMap<Owner, Vec<Target>>,
    /// Objects of machines by the machines' own names.
    pub(crate) machines: HashMap<String, Key>,
}

impl Registrar {
    /// Writes through `client` and reads what is there from `instances`; [`Registrar::run`] must be running.
    pub fn new(client: Client, instances: Informer<ServiceInstance>) -> Self {
        Self {
            instances: Kept::new(client.clone(), instances),
            client,
            machines: None,
            clock: Arc::new(SystemClock),
            policy: PartitionPolicy::default(),
            table: Mutex::default(),
            checks: Mutex::default(),
            aliases: Mutex::default(),
            ids: Mutex::default(),
            todo: Mutex::default(),
            woken: Notify::new(),
            counters: Counters::default(),
            ready: watch::Sender::default(),
        }
    }

    /// Also takes reports of the checks of machines outside the cluster.
    pub fn with_machines(mut self, machines: Informer<ExternalNode>) -> Self {
        self.machines = Some(Kept::new(self.client.clone(), machines));
        self
    }

    /// Reads the time from `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells faults of the network from deaths by this policy.
    pub fn with_policy(mut self, policy: PartitionPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Registers an instance, known by its namespace and name; its lease is full from now.
    ///
    /// The status of `wanted` is used for a new instance only; later [`Registrar::change_status`] changes it.
    ///
    /// # Errors
    /// Nothing holds the lease that it asks for, or the API refused it.
    pub async fn register(&self, wanted: ServiceInstance) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
        match wanted.lease_term() {
            Some(LeaseTerm::Connection(_)) => {
                return Err(Error::Invalid("a lease of kind connection needs a connection that stays open".into()));
            }
            Some(LeaseTerm::Session(session)) if !self.session_lives(session) => {
                return Err(Error::Invalid(format!(
                    "session {session:?} is not known: it ended, or there never was one"
                )));
            }
            _ => {}
        }
        let key = Key::of(&wanted);
        let (outcome, instance) = self.write(&key, wanted).await?;
        let was_held = {
            let table = &mut *self.table.lock();
            // If one of that name was on its way out: what was just written is not.
            table.ending.remove(&key);
            match instance.lease_ttl() {
                Some(ttl) => {
                    table.sessions.release(&key);
                    table.leases.grant(&key, &instance.spec.service, ttl, Instant::now())
                }
                None => {
                    self.keep_lease(table, &key, Some(&instance), Instant::now());
                    false
                }
            }
        };
        if was_held {
            self.release_later(&key);
        }
        self.woken.notify_one();
        Ok((outcome, instance))
    }

    /// Writes what is registered, unless it is there like this.
    pub(crate) async fn write(
        &self,
        key: &Key,
        mut wanted: ServiceInstance,
    ) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
        wanted.spec.fill_defaults(&key.name);
        let is_ending = self.table.lock().ending.contains(key);
        let (outcome, written) = match self.instances.get(key) {
            Some(present) if is_ending => {
                // Its deletion is under way and asks for its UID; a new object is not meant by it.
                self.instances.delete(key, portolan_api::typed::Object::uid(&*present)).await?;
                self.create(key, wanted).await?
            }
            Some(present) if present.spec == wanted.spec => (Outcome::Unchanged, present),
            Some(_) => (Outcome::Changed, self.replace(key, wanted).await?),
            None => self.create(key, wanted).await?,
        };
        if outcome != Outcome::Unchanged {
            self.ids.lock().follow(key, Some(&written));
        }
        Ok((outcome, written))
    }

    async fn create(&self, key: &Key, wanted: ServiceInstance) -> Result<(Outcome, Arc<ServiceInstance>), Error> {
        match self.instances.create(key, &wanted).await? {
            Some(created) => Ok((Outcome::Created, created)),
            // Registered a moment ago through another server.
            None => Ok((Outcome::Changed, self.replace(key, wanted).await?)),
        }
    }

    async fn replace(&self, key: &Key, wanted: ServiceInstance) -> Result<Arc<ServiceInstance>, Error> {
        let edit = |spec: &mut ServiceInstanceSpec| *spec = wanted.spec.clone();
        self.change_spec(key, edit).await
    }

    /// Changes the specification of an instance by `edit`; nothing is written if that changes nothing.
    ///
    /// # Errors
    /// There is no such instance, or the API refused the change.
    pub async fn change_spec(
        &self,
        key: &Key,
        edit: impl Fn(&mut ServiceInstanceSpec) + Send + Sync,
    ) -> Result<Arc<ServiceInstance>, Error> {
        let edit = |object: &mut ServiceInstance| {
            let before = object.spec.clone();
            edit(&mut object.spec);
            object.spec != before
        };
        let written = self.instances.change(key, Part::Specification, edit).await?;
        self.tidy(key, written).await
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
        let edit = |object: &mut ServiceInstance| {
            let mut status = object.status.clone().unwrap_or_default();
            edit(object, &mut status);
            let changed = object.status.as_ref() != Some(&status);
            object.status = Some(status);
            changed
        };
        self.instances.change(key, Part::Status, edit).await
    }

    /// Makes the lease of an instance full again; nothing is written, unless it was held.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn renew(&self, key: &Key) -> Result<Duration, Error> {
        let renewal = {
            let leases = &mut self.table.lock().leases;
            let Some(renewal) = leases.renew(key, Instant::now()) else {
                return Err(match leases.holder(key) {
                    Some(Holder::Connection(_)) => {
                        Error::Invalid(format!("{key} lives by a connection; there is nothing to renew"))
                    }
                    Some(Holder::Session(_)) => Error::Invalid(format!("{key} lives by a session; renew that")),
                    _ => Error::NotFound(format!(
                        "{key} has no lease: it ended or was never registered with one; register again"
                    )),
                });
            };
            renewal
        };
        if renewal.was_held {
            self.release_later(key);
        }
        Ok(renewal.ttl)
    }

    /// Ends a registration.
    ///
    /// # Errors
    /// There is no such instance, or the API refused.
    pub async fn deregister(&self, key: &Key) -> Result<(), Error> {
        let existed = self.instances.delete(key, "").await?;
        {
            let table = &mut *self.table.lock();
            table.leases.end(key);
            table.sessions.release(key);
        }
        self.forget(key);
        if existed { Ok(()) } else { Err(Error::NotFound(format!("{key} is not registered"))) }
    }

    /// A registration, what was written through this registrar a moment ago included.
    pub fn instance(&self, key: &Key) -> Option<Arc<ServiceInstance>> {
        self.instances.get(key)
    }

    /// The registrations that a client means by `id`: the object of this name, or those whose instances have this
    /// id, which may be several of different services or machines.
    pub fn find(&self, namespace: &str, id: &str) -> Vec<Key> {
        let named = Key::new(namespace, id);
        if self.instances.get(&named).is_some() {
            return vec![named];
        }
        self.with_id(namespace, id).iter().map(|object| Key::of(&**object)).collect()
    }

    /// The registrations of a namespace whose instances have this id, by name: there may be several, of different
    /// services or machines.
    pub fn with_id(&self, namespace: &str, id: &str) -> Vec<Arc<ServiceInstance>> {
        let mut keys = self.ids.lock().candidates(namespace, id).to_vec();
        keys.push(Arc::new(Key::new(namespace, id)));
        keys.sort();
        let found = keys.iter().filter_map(|key| self.instances.get(key));
        found.filter(|object| object.spec.instance_id == id).collect()
    }

    /// All registrations as the API has them.
    pub fn informer(&self) -> &Informer<ServiceInstance> {
        self.instances.informer()
    }

    /// Waits until every registration and its lease is known; before that who renews would be told that it is not.
    pub async fn ready(&self) {
        // The sender lives in `self`.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// What is left of an instance's lease.
    pub fn lease_remaining(&self, key: &Key) -> Option<Duration> {
        self.table.lock().leases.remaining(key, Instant::now())
    }

    /// How many leases there are.
    pub fn lease_count(&self) -> usize {
        self.table.lock().leases.len()
    }

    /// What happened so far, for metrics.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

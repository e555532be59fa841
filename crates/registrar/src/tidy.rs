//! Checks that left their owner take what they found along: one that comes back begins anew.

use std::sync::Arc;

use portolan_api::typed::{ExternalNode, ServiceInstance, drop_leftovers, has_leftovers};
use portolan_client::Key;
use tokio::time::Instant;

use crate::checks::Owner;
use crate::kept::Part;
use crate::{Error, Registrar};

impl Registrar {
    /// Takes in a machine outside the cluster that somebody wrote a moment ago, by the key of its object; `None`
    /// that it is gone. What was reported of checks that it no longer has is forgotten.
    pub fn machine_written(&self, key: &Key, machine: Option<&ExternalNode>) {
        self.checks.lock().follow(&Owner::Machine(key.clone()), machine, Instant::now());
        self.woken.notify_one();
    }

    /// Forgets what was reported of the checks of an instance that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.checks.lock().forget(&Owner::Instance(key.clone()), Instant::now());
    }

    /// Drops the results of checks that an instance, which was just written, no longer has.
    pub(crate) async fn tidy(&self, key: &Key, written: Arc<ServiceInstance>) -> Result<Arc<ServiceInstance>, Error> {
        self.checks.lock().follow(&Owner::Instance(key.clone()), Some(&*written), Instant::now());
        self.woken.notify_one();
        if !has_leftovers(&*written) {
            return Ok(written);
        }
        self.instances.change(key, Part::Status, drop_leftovers).await
    }

    /// The same, whoever took the checks away.
    pub(crate) async fn tidy_later(&self, owner: &Owner) -> Result<(), Error> {
        match (owner, &self.machines) {
            (Owner::Instance(key), _) => self.instances.change(key, Part::Status, drop_leftovers).await.map(drop),
            (Owner::Machine(key), Some(machines)) => machines.change(key, Part::Status, drop_leftovers).await.map(drop),
            (Owner::Machine(_), None) => Ok(()),
        }
    }
}

//! Reports of checks by those who make them.

use std::sync::Arc;

use portolan_api::typed::{CheckType, Checked, Health, record_check};
use portolan_client::Key;
use tokio::time::Instant;

use crate::checks::{CheckKey, Owner, Worth};
use crate::kept::{Kept, Part};
use crate::{Error, Registrar};

impl Registrar {
    /// Takes in what somebody found out about a check of an instance, and starts its time anew.
    ///
    /// Written at once if the health changes; other words for the same health every five minutes at
    /// most, until then [`Registrar::check_output`] has them.
    ///
    /// # Errors
    /// There is no such instance or check, the check is not one that others report, or the API refused.
    pub async fn report_check(&self, key: &Key, id: &str, health: Health, output: &str) -> Result<(), Error> {
        self.report(&self.instances, Owner::Instance(key.clone()), id, health, output).await
    }

    /// As [`Registrar::report_check`], for a machine outside the cluster by the key of its object.
    ///
    /// # Errors
    /// As there.
    pub async fn report_machine_check(&self, key: &Key, id: &str, health: Health, output: &str) -> Result<(), Error> {
        let machines = self.machines.as_ref().ok_or_else(|| Error::NotFound(format!("{key} is not registered")))?;
        self.report(machines, Owner::Machine(key.clone()), id, health, output).await
    }

    /// The newest words of a check of an instance, if they are not written; else its status has them.
    pub fn check_output(&self, key: &Key, id: &str) -> Option<String> {
        let check = CheckKey { owner: Owner::Instance(key.clone()), id: id.to_owned() };
        self.checks.lock().words(&check).map(str::to_owned)
    }

    /// As [`Registrar::check_output`], for a machine outside the cluster by the key of its object.
    pub fn machine_check_output(&self, key: &Key, id: &str) -> Option<String> {
        let check = CheckKey { owner: Owner::Machine(key.clone()), id: id.to_owned() };
        self.checks.lock().words(&check).map(str::to_owned)
    }

    async fn report<K: Checked>(
        &self,
        kept: &Kept<K>,
        owner: Owner,
        id: &str,
        health: Health,
        output: &str,
    ) -> Result<(), Error> {
        let present = kept.present(owner.key()).await?;
        let check = present.check(id).ok_or_else(|| Error::NotFound(format!("{owner} has no check {id:?}")))?;
        if !matches!(check.r#type, CheckType::Ttl | CheckType::External) {
            return Err(Error::Invalid(format!(
                "check {id:?} of {owner} is of type {}, nobody but its runner reports it",
                check.r#type.as_str()
            )));
        }
        let (key, now) = (Arc::new(CheckKey { owner, id: id.to_owned() }), Instant::now());
        let worth = {
            let mut checks = self.checks.lock();
            checks.heard(&key, check.ttl(), now);
            match present.result(id) {
                Some(result) if result.health == health && result.output == check.capped(output) => Worth::Nothing,
                Some(result) if result.health == health => checks.weigh(&key, check.capped(output), now),
                _ => Worth::Write,
            }
        };
        // The loop may sleep for longer than this check has.
        self.woken.notify_one();
        if worth == Worth::Nothing {
            return Ok(());
        }
        let stamp = self.clock.now();
        let edit = |object: &mut K| match object.check(id).cloned() {
            Some(check) => record_check(object.results_mut(), &check, health, output, stamp),
            None => false,
        };
        kept.change(key.owner.key(), Part::Status, edit).await?;
        self.checks.lock().written(&key, now);
        Ok(())
    }
}

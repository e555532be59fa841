//! The registrar's loop: follows the objects, whoever wrote them, and acts when a time is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use portolan_api::typed::{
    CheckType, Checked, Health, HealthCheck, HealthCheckStatus, Object as _, ServiceInstance, Time, has_leftovers,
    record_check,
};
use portolan_base::error::chain;
use portolan_base::timer::sleep_until;
use portolan_client::{Key, KeyFeed};
use tokio::time::Instant;

use crate::alias::{Target, targets, verdict};
use crate::checks::{CheckKey, Owner, critical_left, expired_output};
use crate::kept::{Kept, Part};
use crate::policy::Decision;
use crate::{Error, Registrar};

/// How soon something that the API did not take is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Writes under way at the same time.
const MOST_JOBS: usize = 64;
/// Leases that end together are judged together, not one by one.
const TOGETHER: Duration = Duration::from_millis(50);
/// Waking this much too late means that the process stood still, not that all clients died.
const PAUSE: Duration = Duration::from_secs(2);

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Job {
    /// The lease of the instance of this UID ended.
    End(Key, String),
    /// It stays, marked.
    Hold(Key),
    /// It was heard of again.
    Release(Key),
    /// A check was not reported in time.
    Expire(Arc<CheckKey>),
    /// An instance was critical for too long.
    Deregister(Key),
    /// What an owner's aliases follow may have changed.
    Alias(Owner),
    /// There are results of checks that an owner no longer has.
    Tidy(Owner),
}

impl Registrar {
    /// Follows the objects (whoever made them), ends what was not heard of for a whole lease, and keeps
    /// the results of checks that others report.
    ///
    /// After a start every instance gets one full lease: it could not have renewed while nobody
    /// listened.
    pub async fn run(&self) {
        self.instances.informer().synced().await;
        let mut instances = self.instances.informer().keys();
        let mut machines = None;
        if let Some(kept) = &self.machines {
            kept.informer().synced().await;
            machines = Some(kept.informer().keys());
        }
        self.follow_instances(instances.take());
        self.follow_machines(machines.as_mut().map(KeyFeed::take).unwrap_or_default());
        self.ready.send_replace(true);
        let mut jobs: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut judged = Instant::now();
        loop {
            while jobs.len() < MOST_JOBS {
                let Some(job) = self.todo.lock().pop_front() else { break };
                jobs.push(Box::pin(self.perform(job)));
            }
            let wake = self.next_wake(judged);
            tokio::select! {
                changed = instances.next() => self.follow_instances(changed),
                changed = next(&mut machines) => self.follow_machines(changed),
                () = self.woken.notified() => {}
                Some(()) = jobs.next() => {}
                late = late_after(wake) => {
                    if late > PAUSE {
                        tracing::warn!(late_ms = late.as_millis(), "the process stood still; all leases run that much longer");
                        self.counters.pauses.add();
                        self.table.lock().leases.postpone(late);
                        self.checks.lock().postpone(late);
                    }
                    judged = Instant::now();
                    self.judge(judged);
                }
            }
        }
    }

    fn next_wake(&self, judged: Instant) -> Option<Instant> {
        let lease = self.table.lock().leases.next().map(|next| next.max(judged + TOGETHER));
        lease.into_iter().chain(self.checks.lock().next()).min()
    }

    fn follow_instances(&self, changed: BTreeSet<Key>) {
        let now = Instant::now();
        for key in changed {
            self.instances.heard_of(&key);
            let instance = self.instances.get(&key);
            let instance = instance.as_deref();
            self.ids.lock().follow(&key, instance);
            self.keep_lease(&mut self.table.lock(), &key, instance, now);
            let owner = Owner::Instance(key);
            {
                let mut checks = self.checks.lock();
                checks.follow(&owner, instance, now);
                let left = instance.and_then(|instance| critical_left(instance, self.clock.now()));
                checks.follow_critical(owner.key(), left, now);
            }
            if instance.is_some_and(has_leftovers) {
                self.todo.lock().push_back(Job::Tidy(owner.clone()));
            }
            let node = instance.map_or("", |instance| &instance.spec.node);
            self.follow_aliases(&owner, instance.map_or(&[], Checked::checks), node);
            let Owner::Instance(key) = owner else { continue };
            self.wake_followers(&Target::Instance(key));
        }
    }

    fn follow_machines(&self, changed: BTreeSet<Key>) {
        let Some(kept) = &self.machines else { return };
        let now = Instant::now();
        for key in changed {
            kept.heard_of(&key);
            let machine = kept.get(&key);
            let owner = Owner::Machine(key.clone());
            self.checks.lock().follow(&owner, machine.as_deref(), now);
            if machine.as_deref().is_some_and(has_leftovers) {
                self.todo.lock().push_back(Job::Tidy(owner.clone()));
            }
            let mut names = Vec::new();
            {
                let known = &mut self.aliases.lock().machines;
                names.extend(known.iter().filter(|(_, known)| **known == key).map(|(name, _)| name.clone()));
                names.iter().for_each(|name| drop(known.remove(name)));
                if let Some(machine) = &machine {
                    known.insert(machine.spec.node.clone(), key);
                    names.push(machine.spec.node.clone());
                }
            }
            let checks = machine.as_ref().map_or(&[][..], |machine| machine.checks());
            self.follow_aliases(&owner, checks, machine.as_ref().map_or("", |machine| &machine.spec.node));
            names.into_iter().for_each(|name| self.wake_followers(&Target::Machine(name)));
        }
    }

    fn follow_aliases(&self, owner: &Owner, checks: &[HealthCheck], node: &str) {
        let aliases = &mut *self.aliases.lock();
        let followed = checks.iter().filter(|check| check.r#type == CheckType::Alias);
        let followed: Vec<Target> = followed.flat_map(|check| targets(check, namespace(owner), node)).collect();
        let old = aliases.followed.remove(owner).unwrap_or_default();
        if followed.is_empty() && old.is_empty() {
            return;
        }
        for target in old.iter().filter(|target| !followed.contains(target)) {
            if let Some(followers) = aliases.followers.get_mut(target) {
                followers.remove(owner);
                if followers.is_empty() {
                    aliases.followers.remove(target);
                }
            }
        }
        if followed.is_empty() {
            return;
        }
        for target in &followed {
            aliases.followers.entry(target.clone()).or_default().insert(owner.clone());
        }
        aliases.followed.insert(owner.clone(), followed);
        self.todo.lock().push_back(Job::Alias(owner.clone()));
    }

    fn wake_followers(&self, target: &Target) {
        let aliases = self.aliases.lock();
        if let Some(followers) = aliases.followers.get(target) {
            self.todo.lock().extend(followers.iter().cloned().map(Job::Alias));
        }
    }

    fn judge(&self, now: Instant) {
        let mut jobs = Vec::new();
        {
            let table = &mut *self.table.lock();
            for (key, decision) in table.leases.judge(&self.policy, now) {
                match decision {
                    Decision::Hold => jobs.push(Job::Hold(Key::clone(&key))),
                    Decision::Spare => {}
                    Decision::End | Decision::GiveUp => {
                        let Some(instance) = self.instances.get(&key) else { continue };
                        if decision == Decision::GiveUp {
                            self.counters.given_up.add();
                        }
                        table.ending.insert(Key::clone(&key));
                        jobs.push(Job::End(Key::clone(&key), instance.uid().to_owned()));
                    }
                }
            }
        }
        let mut checks = self.checks.lock();
        jobs.extend(checks.expired(now).into_iter().map(Job::Expire));
        jobs.extend(checks.critical_too_long(now).into_iter().map(Job::Deregister));
        drop(checks);
        self.todo.lock().extend(jobs);
    }

    async fn perform(&self, job: Job) {
        let words = format!("{job:?}");
        let outcome = match job {
            Job::End(key, uid) => self.end(&key, &uid).await,
            Job::Hold(key) => self.hold(&key).await,
            Job::Release(key) => self.release(&key).await,
            Job::Expire(check) => self.expire(&check).await,
            Job::Deregister(key) => self.deregister_critical(&key).await,
            Job::Alias(owner) => self.follow_alias(&owner).await,
            Job::Tidy(owner) => self.tidy_later(&owner).await,
        };
        match outcome {
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => tracing::warn!(job = words, error = %chain(&error), "the registrar could not write"),
        }
    }

    async fn end(&self, key: &Key, uid: &str) -> Result<(), Error> {
        let outcome = self.instances.delete(key, uid).await;
        let table = &mut *self.table.lock();
        table.ending.remove(key);
        match outcome {
            Ok(true) => {
                self.counters.ended.add();
                tracing::info!(instance = %key, "lease ended, instance removed");
            }
            Ok(false) => {}
            Err(error) => {
                // Leases pause while there is no API: a full one from now.
                if let Some(instance) = self.instances.get(key) {
                    self.keep_lease(table, key, Some(&instance), Instant::now());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn hold(&self, key: &Key) -> Result<(), Error> {
        let now = self.clock.now();
        let mark = |instance: &mut ServiceInstance| {
            let status = instance.status.get_or_insert_default();
            // Heard of in the meantime?
            let is_held = self.table.lock().leases.is_held(key);
            let mark = is_held && status.lease_held_since.is_none();
            if mark {
                status.lease_held_since = Some(Time(now));
            }
            mark
        };
        let before = self.instances.get(key).and_then(|instance| instance.status.clone()?.lease_held_since);
        let instance = self.instances.change(key, Part::Status, mark).await?;
        if before.is_none() && instance.status.as_ref().is_some_and(|status| status.lease_held_since.is_some()) {
            self.counters.held.add();
            tracing::warn!(instance = %key, service = instance.spec.service, "lease ended with too many others: kept and marked");
        }
        Ok(())
    }

    async fn release(&self, key: &Key) -> Result<(), Error> {
        let clear = |instance: &mut ServiceInstance| {
            instance.status.as_mut().is_some_and(|status| status.lease_held_since.take().is_some())
        };
        self.counters.released.add();
        match self.instances.change(key, Part::Status, clear).await {
            Err(Error::Api(error)) => {
                // The next renewal tries again.
                self.table.lock().leases.hold_again(key, Instant::now());
                Err(Error::Api(error))
            }
            outcome => outcome.map(drop),
        }
    }

    async fn expire(&self, check: &Arc<CheckKey>) -> Result<(), Error> {
        let outcome = match &check.owner {
            Owner::Instance(key) => self.expire_in(&self.instances, key, check).await,
            Owner::Machine(key) => match &self.machines {
                Some(machines) => self.expire_in(machines, key, check).await,
                None => Ok(()),
            },
        };
        match &outcome {
            Ok(()) => self.counters.expired_checks.add(),
            Err(Error::Api(_)) => self.checks.lock().expire_again(check, RETRY, Instant::now()),
            Err(_) => {}
        }
        self.woken.notify_one();
        outcome
    }

    async fn expire_in<K: Checked>(&self, kept: &Kept<K>, key: &Key, check: &Arc<CheckKey>) -> Result<(), Error> {
        let now = self.clock.now();
        let edit = |object: &mut K| {
            // Reported in the meantime?
            let expired = self.checks.lock().has_expired(check);
            let Some(wanted) = object.check(&check.id).filter(|it| expired && it.r#type == CheckType::Ttl).cloned()
            else {
                return false;
            };
            let last = object.result(&check.id).map_or("", |result| &result.output);
            let output = expired_output(self.checks.lock().words(check).unwrap_or(last));
            record_check(object.results_mut(), &wanted, Health::Critical, &output, now)
        };
        kept.change(key, Part::Status, edit).await.map(drop)
    }

    async fn deregister_critical(&self, key: &Key) -> Result<(), Error> {
        let Some(instance) = self.instances.get(key) else { return Ok(()) };
        let left = critical_left(&instance, self.clock.now());
        if left.is_none_or(|left| !left.is_zero()) {
            self.checks.lock().follow_critical(key, left, Instant::now());
            return Ok(());
        }
        match self.instances.delete(key, instance.uid()).await {
            Ok(true) => {
                self.counters.deregistered.add();
                tracing::info!(instance = %key, "critical for too long, instance removed");
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => {
                self.checks.lock().follow_critical(key, Some(RETRY), Instant::now());
                self.woken.notify_one();
                Err(error)
            }
        }
    }

    async fn follow_alias(&self, owner: &Owner) -> Result<(), Error> {
        match owner {
            Owner::Instance(key) => {
                let node = self.instances.get(key).map(|instance| instance.spec.node.clone()).unwrap_or_default();
                self.follow_alias_in(&self.instances, owner, &node).await
            }
            Owner::Machine(key) => {
                let Some(machines) = &self.machines else { return Ok(()) };
                let node = machines.get(key).map(|machine| machine.spec.node.clone()).unwrap_or_default();
                self.follow_alias_in(machines, owner, &node).await
            }
        }
    }

    async fn follow_alias_in<K: Checked>(&self, kept: &Kept<K>, owner: &Owner, node: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let edit = |object: &mut K| {
            let aliases: Vec<HealthCheck> =
                object.checks().iter().filter(|check| check.r#type == CheckType::Alias).cloned().collect();
            let mut changed = false;
            for check in aliases {
                let (health, output) = self.alias_verdict(&check, namespace(owner), node);
                // Other words for the same health are not worth a write, the first are.
                let worth = |result: &HealthCheckStatus| result.health != health || result.output.is_empty();
                if object.result(&check.id).is_none_or(worth) {
                    changed |= record_check(object.results_mut(), &check, health, &output, now);
                }
            }
            changed
        };
        kept.change(owner.key(), Part::Status, edit).await.map(drop)
    }

    fn alias_verdict(&self, check: &HealthCheck, namespace: &str, node: &str) -> (Health, String) {
        for target in targets(check, namespace, node) {
            match target {
                Target::Instance(key) => {
                    if let Some(instance) = self.instances.get(&key) {
                        return verdict(check, Some(&*instance));
                    }
                }
                Target::Machine(name) => {
                    let key = self.aliases.lock().machines.get(&name).cloned();
                    let machine = key.and_then(|key| self.machines.as_ref()?.get(&key));
                    if let Some(machine) = machine {
                        return verdict(check, Some(&*machine));
                    }
                }
            }
        }
        verdict(check, None::<&ServiceInstance>)
    }
}

/// Where the targets of an owner's aliases are.
fn namespace(owner: &Owner) -> &str {
    match owner {
        Owner::Instance(key) => &key.namespace,
        Owner::Machine(_) => "default",
    }
}

async fn next(feed: &mut Option<KeyFeed>) -> BTreeSet<Key> {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

/// Sleeps until a moment, if there is one, and returns how much longer than asked by the machine's own clock.
async fn late_after(moment: Option<Instant>) -> Duration {
    let planned = moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(Instant::now()));
    let start = std::time::Instant::now();
    sleep_until(moment).await;
    start.elapsed().saturating_sub(planned)
}

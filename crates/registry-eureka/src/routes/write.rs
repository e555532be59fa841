//! Registrations, leases, overrides and metadata.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portolan_api::typed::{Object as _, ServiceInstance};
use portolan_catalog::Registration;
use portolan_client::Key;
use portolan_registrar::Outcome;
use portolan_registrar::limits::Client;
use tokio::time::Instant;

use super::query::Query;
use super::{Eureka, own_key};
use crate::Error;
use crate::translate::{self, Known};
use crate::wire::{InstanceInfo, InstanceStatus};

/// How long a write waits to be seen; ordinarily that takes a millisecond.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Eureka {
    /// Registers an instance, or does as much of it as changes something.
    pub(crate) async fn register(&self, client: &Client, app: &str, info: InstanceInfo) -> Result<(), Error> {
        let mut info = check(app, info)?;
        let key = Key::new(translate::NAMESPACE, translate::name(&info.app, &info.instance_id));
        let present = self.registrar.instance(&key);
        let known = present.as_deref().and_then(|object| Known::of(&object.spec));
        if let Some(known) = &known
            && known.last_dirty > info.last_dirty
            && self.registrar.renew(&key).is_ok()
        {
            // What is there is newer than what the client says; it only shows that it lives.
            return Ok(());
        }
        let before = known.map(|known| known.overridden_status);
        let word = before.or_else(|| self.overrides.get(&key, Instant::now()));
        info.overridden_status = word.unwrap_or(info.overridden_status);
        let mut object = translate::object(&info, present.as_deref(), self.clock.now());
        client.note_on(&mut object);
        let (outcome, mut written) = self.registrar.register(object).await?;
        if outcome != Outcome::Created {
            written = self.say(&key, info.status).await?;
        }
        self.shown_as(&info.app, &info.instance_id, &written).await;
        Ok(())
    }

    /// Writes what an instance says of itself, if that is news.
    async fn say(&self, key: &Key, status: InstanceStatus) -> Result<Arc<ServiceInstance>, Error> {
        let said = translate::status_of(status, self.clock.now());
        let written = self
            .registrar
            .change_status(key, |_, present| {
                if (present.health, present.reason.as_str()) != (said.health, said.reason.as_str()) {
                    (present.health, present.reason, present.since) =
                        (said.health, said.reason.clone(), said.since.clone());
                }
            })
            .await?;
        Ok(written)
    }

    /// Renews a lease. A client whose own copy is newer is told that it is unknown: it registers again.
    pub(crate) fn renew(&self, app: &str, id: &str, dirty: Option<i64>, replication: bool) -> Result<(), Error> {
        let key = own_key(app, id);
        let present = self.registrar.instance(&key);
        // As Netflix's server: who said that nothing is known of it is to say it anew, and renews nothing.
        if present.as_ref().is_some_and(|object| translate::is_unknown(&object.spec)) {
            return Err(Error::NotFound(format!("the status of {id} of {app} is UNKNOWN; register again")));
        }
        self.registrar.renew(&key)?;
        let Some(dirty) = dirty else { return Ok(()) };
        let Some(known) = present.and_then(|object| Known::of(&object.spec)) else { return Ok(()) };
        if dirty > known.last_dirty {
            return Err(Error::NotFound(format!("{id} of {app} changed since it registered; register again")));
        }
        match self.entry(app, id) {
            Some(entry) if replication && dirty < known.last_dirty => Err(Error::Conflict(Box::new(entry.info()))),
            _ => Ok(()),
        }
    }

    /// Ends a registration, whichever dialect it came by.
    pub(crate) async fn cancel(&self, app: &str, id: &str) -> Result<(), Error> {
        self.registrar.deregister(&self.registered(app, id)?).await?;
        self.shown(app, id, |seen| seen.is_none()).await;
        Ok(())
    }

    /// Sets an administrator's override.
    pub(crate) async fn put_status(
        &self,
        app: &str,
        id: &str,
        word: InstanceStatus,
        dirty: Option<i64>,
    ) -> Result<(), Error> {
        let (key, now) = (self.registered(app, id)?, self.clock.now());
        // As Netflix's server: an instance that is DOWN or STARTING by its own word is what the administrator says
        // until it speaks again.
        let silences = |spec: &_| Known::of(spec).is_some_and(|known| known.status.is_not_up());
        let silenced = AtomicBool::new(false);
        let edit = |spec: &mut _| {
            let silences = silences(spec);
            silenced.store(silences, Ordering::Relaxed);
            if silences {
                translate::set_reported(spec, word);
            }
            translate::set_override(spec, word, now);
            translate::set_dirty(spec, dirty.unwrap_or(0));
        };
        let mut written = self.registrar.change_spec(&key, edit).await?;
        if silenced.into_inner() {
            written = self.say(&key, word).await?;
        }
        self.overrides.set(&key, id, word, Instant::now());
        // As a heartbeat; an instance of another dialect may have no lease.
        let _ = self.registrar.renew(&key);
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    /// Takes an override back; the instance is then what it says of itself, or what the client says that it is.
    pub(crate) async fn delete_status(
        &self,
        app: &str,
        id: &str,
        status: Option<InstanceStatus>,
        dirty: Option<i64>,
    ) -> Result<(), Error> {
        let (key, now) = (self.registered(app, id)?, self.clock.now());
        let status = status.filter(|status| *status != InstanceStatus::Unknown);
        let edit = |spec: &mut _| {
            if let Some(status) = status {
                translate::set_reported(spec, status);
            }
            translate::set_override(spec, InstanceStatus::Unknown, now);
            translate::set_dirty(spec, dirty.unwrap_or(0));
        };
        let mut written = self.registrar.change_spec(&key, edit).await?;
        self.overrides.set(&key, id, InstanceStatus::Unknown, Instant::now());
        if let (Some(status), Some(_)) = (status, Known::of(&written.spec)) {
            written = self.say(&key, status).await?;
        }
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    pub(super) async fn put_metadata(&self, app: &str, id: &str, query: &Query) -> Result<(), Error> {
        let key = self.registered(app, id)?;
        let edit = |spec: &mut portolan_api::typed::ServiceInstanceSpec| {
            spec.metadata.extend(query.pairs().iter().cloned());
        };
        let written = self.registrar.change_spec(&key, edit).await?;
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    /// The object of an instance, whichever dialect registered it.
    fn registered(&self, app: &str, id: &str) -> Result<Key, Error> {
        let own = own_key(app, id);
        if self.registrar.instance(&own).is_some() {
            return Ok(own);
        }
        match self.entry(app, id) {
            Some(entry) => entry.registered_as().ok_or_else(|| {
                Error::Forbidden(format!("{id} of {app} is a pod: its workload decides about it, nobody else"))
            }),
            // Registered a moment ago, perhaps; the API knows.
            None => Ok(own),
        }
    }

    /// Waits until answers show a write, so that a client that asks next reads what it wrote.
    ///
    /// A view that stays behind (the API's watch is interrupted) does not hold a request up for long:
    /// the write itself is done.
    async fn shown(&self, app: &str, id: &str, holds: impl Fn(Option<&Registration>) -> bool) {
        let mut followed = self.followed.subscribe();
        let wait = async {
            loop {
                followed.borrow_and_update();
                let entry = self.entry(app, id);
                if holds(entry.as_ref().and_then(|entry| entry.source.registration.as_deref())) {
                    return;
                }
                if followed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST_WAIT, wait).await;
    }

    /// Waits until answers show an object as it was written, or later.
    async fn shown_as(&self, app: &str, id: &str, written: &ServiceInstance) {
        self.shown(app, id, |seen| seen.is_some_and(|seen| seen.revision() >= written.revision())).await;
    }
}

/// What must be there, in the order and the words of Netflix's server.
fn check(app: &str, info: InstanceInfo) -> Result<InstanceInfo, Error> {
    let app = app.to_uppercase();
    let complaint = if info.instance_id.is_empty() {
        "Missing instanceId".to_owned()
    } else if info.host_name.is_empty() {
        "Missing hostname".to_owned()
    } else if info.ip_address.is_empty() {
        "Missing ip address".to_owned()
    } else if info.app.is_empty() {
        "Missing appName".to_owned()
    } else if info.app != app {
        format!("Mismatched appName, expecting {app} but was {}", info.app)
    } else {
        match &info.data_center {
            None => "Missing dataCenterInfo".to_owned(),
            Some(center) if center.name.is_empty() => "Missing dataCenterInfo Name".to_owned(),
            Some(_) => return Ok(info),
        }
    };
    Err(Error::BadRequest(complaint))
}

//! Registrations that live by something else than renewals: a connection or a session.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_api::typed::{LeaseTerm, Object as _, ServiceInstance};
use portolan_client::Key;
use tokio::time::Instant;

use crate::lease::Holder;
use crate::registrar::Table;
use crate::run::Job;
use crate::{Error, Outcome, Registrar};

/// How long a registration waits for a session that nobody has told of: after a start, those who keep sessions
/// need a moment to say which there are.
const SESSION_GRACE: Duration = Duration::from_secs(10);

/// Holds a registration as long as it is kept; dropped when the connection ends.
pub struct Connected {
    registrar: Arc<Registrar>,
    key: Key,
    uid: String,
    number: u64,
    grace: Duration,
}

impl Connected {
    /// How long the registration stays without it.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Why it holds nothing any more, if so.
    pub fn over(&self) -> Option<&'static str> {
        let Some(instance) = self.registrar.instance(&self.key).filter(|instance| instance.uid() == self.uid) else {
            return Some("the instance was deregistered");
        };
        match (instance.lease_term(), self.registrar.table.lock().leases.holder(&self.key)) {
            (Some(LeaseTerm::Connection(_)), Some(Holder::Connection(Some(number)))) if number == self.number => None,
            (Some(LeaseTerm::Connection(_)), _) => Some("another connection registered the instance"),
            _ => Some("the instance got another lease"),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.registrar.table.lock().leases.disconnected(&self.key, self.number, self.grace, Instant::now());
        self.registrar.woken.notify_one();
    }
}

impl Registrar {
    /// Registers an instance whose lease is a connection; it stays while what is returned is kept, and for its
    /// grace after that.
    ///
    /// # Errors
    /// Its lease is another, or the API refused it.
    pub async fn register_connected(
        self: &Arc<Self>,
        wanted: ServiceInstance,
    ) -> Result<(Outcome, Arc<ServiceInstance>, Connected), Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Some(LeaseTerm::Connection(grace)) = wanted.lease_term() else {
            return Err(Error::Invalid("the lease of what a connection holds is of kind connection".into()));
        };
        let (key, number) = (Key::of(&wanted), NEXT.fetch_add(1, Ordering::Relaxed));
        let (outcome, instance) = self.write(&key, wanted).await?;
        let holder = Holder::Connection(Some(number));
        {
            let table = &mut *self.table.lock();
            table.sessions.release(&key);
            self.hold_by(table, &key, &instance.spec.service, holder, grace, Instant::now());
        }
        let uid = instance.uid().to_owned();
        Ok((outcome, instance, Connected { registrar: self.clone(), key, uid, number, grace }))
    }

    /// A session of a dialect lives: what names it as its lease stays until [`Registrar::session_ended`].
    pub fn session_began(&self, session: &str) {
        let table = &mut *self.table.lock();
        for key in table.sessions.began(session) {
            if let Some(instance) = self.instances.get(&key) {
                self.keep_lease(table, &key, Some(&instance), Instant::now());
            }
        }
    }

    /// A session ended; what lives by it is deregistered.
    pub fn session_ended(&self, session: &str) {
        let mut ended = false;
        {
            let table = &mut *self.table.lock();
            for key in table.sessions.ended(session) {
                let Some(instance) = self.instances.get(&key) else { continue };
                if table.ending.insert(key.clone()) {
                    self.todo.lock().push_back(Job::End(key, instance.uid().to_owned()));
                    ended = true;
                }
            }
        }
        if ended {
            self.woken.notify_one();
        }
    }

    /// These sessions live. Returns the others that were taken to live: each of them ended while nobody followed, or
    /// began since these were listed.
    #[must_use = "those that ended are to be ended here"]
    pub fn sessions_are(&self, sessions: &HashSet<String>) -> Vec<String> {
        sessions.iter().for_each(|session| self.session_began(session));
        self.table.lock().sessions.others(sessions)
    }

    /// Whether a session is known to live.
    pub fn session_lives(&self, session: &str) -> bool {
        self.table.lock().sessions.lives(session)
    }

    /// What holds a registration, in words for a person; `None` if it is renewals, or nothing.
    pub fn held_by(&self, key: &Key) -> Option<String> {
        let instance = self.instances.get(key)?;
        let table = self.table.lock();
        let left = || match table.leases.remaining(key, Instant::now()) {
            Some(left) => format!("in {} s", left.as_secs()),
            None => "now".to_owned(),
        };
        Some(match (instance.lease_term()?, table.leases.holder(key)) {
            (LeaseTerm::Renewals(_), _) => return None,
            (LeaseTerm::Connection(grace), Some(Holder::Connection(Some(_)))) => format!(
                "its lease is a connection, which is open: it goes {} s after that ends, unless it registers over another",
                grace.as_secs()
            ),
            (LeaseTerm::Connection(_), _) => format!(
                "its lease is a connection, and none is open: it goes {} unless it registers over one (POST \
                 /registry/instances?lease=connection)",
                left()
            ),
            (LeaseTerm::Session(session), _) if table.sessions.lives(session) => {
                format!("its lease is the session {session} of Consul, which lives: it goes when that ends")
            }
            (LeaseTerm::Session(session), _) => {
                format!("its lease is the session {session} of Consul, which is not known to live: it goes {}", left())
            }
        })
    }

    /// Why a registration is kept although its lease ran out, and for how long at most, in words for a person.
    pub fn why_held(&self, key: &Key) -> Option<String> {
        let (held, of_service, of_all) = self.table.lock().leases.why_held(key, Instant::now())?;
        let policy = &self.policy;
        let silent = match policy.faults(of_service, of_all) {
            [true, _] => format!("{} of {} leases of the service are silent", of_service.silent, of_service.leases),
            [_, true] => format!("{} of {} leases of the registry are silent", of_all.silent, of_all.leases),
            [false, false] => "no longer are too many silent, so it goes in one lease".to_owned(),
        };
        let left = policy.longest_hold.saturating_sub(held).as_secs();
        Some(format!(
            "the partition policy ({policy}) keeps it for {left} s more at most: {silent}; --registry-partition-policy sets this"
        ))
    }

    /// Gives the lease of an instance the time that it has, unless it runs or is held already.
    pub(crate) fn keep_lease(&self, table: &mut Table, key: &Key, instance: Option<&ServiceInstance>, now: Instant) {
        let term = instance.and_then(|instance| Some((&instance.spec.service, instance.lease_term()?)));
        if !matches!(term, Some((_, LeaseTerm::Session(_)))) {
            table.sessions.release(key);
        }
        match term {
            // Until its deletion is seen, an instance on its way out gets no new lease.
            Some(_) if table.ending.contains(key) => {}
            Some((service, LeaseTerm::Renewals(ttl))) => table.leases.ensure(key, service, ttl, now),
            Some((service, LeaseTerm::Connection(grace))) => {
                let open = match table.leases.holder(key) {
                    Some(Holder::Connection(open)) => open,
                    _ => None,
                };
                self.hold_by(table, key, service, Holder::Connection(open), grace, now);
            }
            Some((service, LeaseTerm::Session(session))) => {
                let lives = table.sessions.bind(key, session);
                self.hold_by(table, key, service, Holder::Session(lives), SESSION_GRACE, now);
            }
            None => table.leases.end(key),
        }
    }

    fn hold_by(&self, table: &mut Table, key: &Key, service: &str, holder: Holder, grace: Duration, now: Instant) {
        if table.leases.hold_by(key, service, holder, grace, now) {
            self.release_later(key);
        }
    }

    /// Notes that a lease which was held is held no more, and that its object is to say so.
    pub(crate) fn release_later(&self, key: &Key) {
        self.todo.lock().push_back(Job::Release(key.clone()));
        self.woken.notify_one();
    }
}

//! Keeps sessions: makes them, hears of them, ends them and what they hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_base::timer::sleep_until;
use portolan_catalog::Snapshot;
use portolan_store::{Compare, Entry, EventKind, KeyRange, Operation, Revision, Txn, WatchItem, WatchRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::definition::{Behavior, Broken, Session};
use crate::Error;
use crate::kv::steps::Current;
use crate::space::{Space, layout};
use crate::state::State;

/// How soon an end that the store did not take is tried again, and a watch that broke off.
const RETRY: Duration = Duration::from_secs(1);
/// For this long after a start, what is missing may only not have come back yet.
const GRACE: Duration = Duration::from_secs(60);
/// Values released in one transaction; the store takes 8 MiB, and names are part of it.
const MOST_BYTES: usize = 4 << 20;
const BUFFER: usize = 4096;

/// A session and its indexes.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) session: Session,
    pub(crate) created: u64,
    pub(crate) modified: u64,
}

impl Known {
    pub(crate) fn of(entry: &Entry) -> Result<Self, Error> {
        let session = serde_json::from_slice(&entry.value)
            .map_err(|error| Error::Internal(format!("the stored session {:?} is damaged: {error}", entry.key)))?;
        Ok(Self { session, created: entry.create_revision.0, modified: entry.mod_revision.0 })
    }
}

/// Who watches over sessions.
#[derive(Default)]
pub(crate) struct Keeper {
    deadlines: Mutex<Deadlines>,
    added: Notify,
}

/// Sessions are given up after missing renewals for one and a half times the time to live: clients
/// that renew only when it is over get through, and a lock is free well before twice the time.
fn patience(ttl: Duration) -> Duration {
    ttl + ttl / 2
}

impl Keeper {
    /// Makes a session.
    pub(crate) async fn create(&self, space: &Space, session: &Session) -> Result<(), Error> {
        let key = layout::session(&session.id);
        let value = serde_json::to_vec(session)
            .map_err(|error| Error::Internal(format!("cannot encode the session: {error}")))?;
        // Granted first: what can be renewed must have a deadline.
        if let Some(ttl) = session.time_to_live() {
            self.deadlines.lock().grant(&session.id, patience(ttl), Instant::now());
            self.added.notify_one();
        }
        let compare = vec![Compare::ModRevision { key: key.clone(), equals: Revision(0) }];
        let success = vec![Operation::Put { key, value: value.into(), lease: None }];
        let written = space.store().txn(Txn { compare, success, failure: vec![] }).await;
        match written {
            Ok(response) if response.succeeded => Ok(()),
            Ok(_) => Err(Error::Internal("the new session's id is in use".into())),
            Err(error) => {
                self.deadlines.lock().end(&session.id);
                Err(error.into())
            }
        }
    }

    /// A session.
    pub(crate) async fn get(space: &Space, id: &str) -> Result<Option<Known>, Error> {
        space.get(layout::session(id)).await?.map(|entry| Known::of(&entry)).transpose()
    }

    /// All sessions.
    pub(crate) async fn list(space: &Space) -> Result<Vec<Known>, Error> {
        let (entries, _) = space.range(KeyRange::prefix(layout::SESSION)).await?;
        entries.iter().map(|entry| Known::of(entry)).collect()
    }

    /// Heard of a session. Nothing is written.
    pub(crate) async fn renew(&self, space: &Space, id: &str) -> Result<Option<Known>, Error> {
        let known = Self::get(space, id).await?;
        if known.is_some() {
            self.deadlines.lock().renew(id, Instant::now());
        }
        Ok(known)
    }

    /// Ends a session: its keys are released or deleted and cannot be locked for its lock delay.
    ///
    /// All in one transaction, unless the values are larger than one can be; the session ends last then.
    pub(crate) async fn destroy(&self, space: &Space, id: &str) -> Result<(), Error> {
        loop {
            let done = space.alone(|| release(space, id)).await?;
            if done {
                self.deadlines.lock().end(id);
                return Ok(());
            }
        }
    }

    /// Ends sessions that were not heard of, or whose node or checks failed, until shutdown.
    pub(crate) async fn run(&self, state: &State) {
        let shutdown = &state.shutdown;
        while !shutdown.is_requested() {
            if let Err(error) = self.watch(state).await {
                tracing::warn!(error = %portolan_base::error::chain(&error), "cannot follow Consul sessions; trying again");
                let _ = shutdown.run(tokio::time::sleep(RETRY)).await;
            }
        }
    }

    async fn watch(&self, state: &State) -> Result<(), Error> {
        let (space, changes, shutdown) = (&state.space, &state.changes, &state.shutdown);
        let range = KeyRange::prefix(layout::SESSION);
        let request = WatchRequest { range, after: None, progress: None, buffer: BUFFER };
        let mut watch = space.store().watch(request).await?;
        let mut guard = Guard::new(Instant::now() + GRACE);
        let there = Self::list(space).await?;
        for id in state.registrar.sessions_are(&there.iter().map(|known| known.session.id.clone()).collect()) {
            if Self::get(space, &id).await?.is_none() {
                state.registrar.session_ended(&id);
            }
        }
        for known in there {
            self.follow(&known.session);
            guard.sessions.insert(known.session.id.clone(), Arc::new(known.session));
        }
        let mut snapshots = changes.snapshots();
        snapshots.mark_changed();
        let mut grace = Some(guard.patient_until);
        loop {
            let due = self.deadlines.lock().next().into_iter().chain(grace).min();
            let mut failed = Vec::new();
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                item = watch.next() => match item {
                    Some(WatchItem::Events(events)) => for event in events {
                        let id = layout::without(layout::SESSION, &event.entry.key)?;
                        if event.kind == EventKind::Delete {
                            self.deadlines.lock().end(&id);
                            state.registrar.session_ended(&id);
                            guard.sessions.remove(&id);
                        } else {
                            let session = Arc::new(Known::of(&event.entry)?.session);
                            self.follow(&session);
                            state.registrar.session_began(&id);
                            failed.extend(guard.verdict(&session, state, &changes.current()));
                            guard.sessions.insert(id, session);
                        }
                    },
                    Some(WatchItem::Progress(_)) => {}
                    Some(WatchItem::Lagged | WatchItem::Closed) | None => return Err(Error::Internal("the watch ended".into())),
                },
                Ok(()) = snapshots.changed() => {
                    let snapshot = snapshots.borrow_and_update().clone();
                    failed = guard.failed(state, &snapshot);
                }
                () = self.added.notified() => {}
                () = sleep_until(due) => {
                    if grace.is_some_and(|until| until <= Instant::now()) {
                        grace = None;
                        failed = guard.failed(state, &changes.current());
                    }
                    let expired = self.deadlines.lock().expired(Instant::now());
                    failed.extend(expired.into_iter().map(|id| (id, "it was not renewed in time".to_owned())));
                }
            }
            for (id, reason) in failed {
                match self.destroy(space, &id).await {
                    Ok(()) => tracing::info!(session = %id, reason, "a Consul session ended"),
                    Err(error) => {
                        tracing::warn!(session = %id, error = %portolan_base::error::chain(&error), "cannot end a Consul session; trying again");
                        self.deadlines.lock().grant(&id, RETRY, Instant::now());
                    }
                }
            }
        }
    }

    /// Gives a session that this process hears of for the first time its full time.
    fn follow(&self, session: &Session) {
        let mut deadlines = self.deadlines.lock();
        if let Some(ttl) = session.time_to_live()
            && !deadlines.has(&session.id)
        {
            deadlines.grant(&session.id, patience(ttl), Instant::now());
        }
    }
}

/// Which sessions must end because of what they depend on.
struct Guard {
    sessions: HashMap<String, Arc<Session>>,
    /// Sessions whose node and checks were all there once.
    whole: HashSet<String>,
    patient_until: Instant,
}

impl Guard {
    fn new(patient_until: Instant) -> Self {
        Self { sessions: HashMap::new(), whole: HashSet::new(), patient_until }
    }

    fn failed(&mut self, state: &State, snapshot: &Snapshot) -> Vec<(String, String)> {
        let sessions: Vec<_> = self.sessions.values().cloned().collect();
        self.whole.retain(|id| self.sessions.contains_key(id));
        sessions.iter().filter_map(|session| self.verdict(session, state, snapshot)).collect()
    }

    fn verdict(&mut self, session: &Session, state: &State, snapshot: &Snapshot) -> Option<(String, String)> {
        match session.verdict(&state.machines(snapshot), snapshot) {
            None => {
                self.whole.insert(session.id.clone());
                None
            }
            Some(Broken::Missing(_)) if !self.whole.contains(&session.id) && Instant::now() < self.patient_until => {
                None
            }
            Some(broken) => Some((session.id.clone(), broken.into_text())),
        }
    }
}

/// The next transaction that ends a session; `true` if it is the last.
async fn release(space: &Space, id: &str) -> Result<(Txn, bool), Error> {
    let Some(known) = Keeper::get(space, id).await? else { return Ok((Txn::default(), true)) };
    let (locks, _) = space.range(KeyRange::prefix(layout::locks_of(id))).await?;
    let until = space.now_ms().saturating_add(i64::try_from(known.session.delay().as_millis()).unwrap_or(i64::MAX));
    let (mut txn, mut bytes, mut last) = (Txn::default(), 0, true);
    for lock in locks {
        if bytes > MOST_BYTES {
            last = false;
            break;
        }
        let key = String::from_utf8_lossy(&lock.key[layout::locks_of(id).len()..]).into_owned();
        let stored = layout::kv(&key);
        txn.success.push(Operation::Delete { range: KeyRange::key(lock.key.clone()) });
        let Some(entry) = space.get(stored.clone()).await? else { continue };
        let mut pair = Current::of(&entry)?.pair;
        if pair.session.as_deref() != Some(id) {
            continue;
        }
        txn.compare.push(Compare::ModRevision { key: stored.clone(), equals: entry.mod_revision });
        bytes += entry.value.len() + 4 * stored.len();
        pair.session = None;
        txn.success.push(match known.session.behavior {
            Behavior::Release => Operation::Put { key: stored, value: pair.encode(), lease: None },
            Behavior::Delete => Operation::Delete { range: KeyRange::key(stored) },
        });
        if !known.session.delay().is_zero() {
            let value = Bytes::copy_from_slice(&until.to_be_bytes());
            txn.success.push(Operation::Put { key: layout::delay(&key), value, lease: None });
        }
    }
    if last {
        let key = layout::session(id);
        txn.compare.push(Compare::ModRevision { key: key.clone(), equals: Revision(known.modified) });
        txn.success.push(Operation::Delete { range: KeyRange::key(key) });
        txn.success.extend(crate::query::deletions(space, id).await?);
    }
    Ok((txn, last))
}

//! Steps on keys and values, and what a list of them makes of a state. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use portolan_store::{Compare, Entry, KeyRange, Operation, Revision, Txn};

use super::pair::Pair;
use crate::Error;
use crate::space::layout;

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Writes, whoever holds the lock.
    Set,
    /// Writes if the key was last changed at this index; 0: if there is none.
    Cas(u64),
    /// Takes the lock for a session, and writes.
    Lock(String),
    /// Gives the lock of a session back, and writes.
    Unlock(String),
    /// Reads; the key must be there.
    Get,
    /// Reads.
    GetOrEmpty,
    /// Reads everything with this prefix.
    GetTree,
    /// The key was last changed at this index.
    CheckIndex(u64),
    /// The session holds the key.
    CheckSession(String),
    /// There is no such key.
    CheckNotExists,
    /// Deletes.
    Delete,
    /// Deletes everything with this prefix.
    DeleteTree,
    /// Deletes if the key was last changed at this index.
    DeleteCas(u64),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Key, or prefix.
    pub(crate) key: String,
    /// What to do.
    pub(crate) verb: Verb,
    /// Value to write.
    pub(crate) value: Bytes,
    /// Flags to write.
    pub(crate) flags: u64,
}

/// Why a step was refused, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("failed to set key {0:?}, index is stale")]
    StaleSet(String),
    #[error("failed to delete key {0:?}, index is stale")]
    StaleDelete(String),
    #[error("failed to lock key {0:?}, lock is already held")]
    Held(String),
    #[error("failed to lock key {0:?} due to lock delay")]
    Delayed(String),
    #[error("failed to unlock key {0:?}, lock isn't held, or is held by another session")]
    NotHeld(String),
    #[error("missing session")]
    MissingSession,
    #[error("invalid session {0:?}")]
    InvalidSession(String),
    #[error("key {0:?} doesn't exist")]
    Missing(String),
    #[error("failed to check index, key {0:?} doesn't exist")]
    NoIndex(String),
    #[error("failed index check for key {key:?}, current modify index {found} != {wanted}")]
    OtherIndex { key: String, found: u64, wanted: u64 },
    #[error("failed to check session, key {0:?} doesn't exist")]
    NoSession(String),
    #[error("failed session check for key {key:?}, current session {found:?} != {wanted:?}")]
    OtherSession { key: String, found: String, wanted: String },
    #[error("key {0:?} exists")]
    Exists(String),
}

/// A pair and its indexes; `None` means the index that the transaction will have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Current {
    pub(crate) pair: Pair,
    pub(crate) created: Option<u64>,
    pub(crate) modified: Option<u64>,
}

impl Current {
    /// What the store has.
    pub(crate) fn of(entry: &Entry) -> Result<Self, Error> {
        let (created, modified) = (entry.create_revision.0, entry.mod_revision.0);
        Ok(Self { pair: crate::space::pair(entry)?, created: Some(created), modified: Some(modified) })
    }
}

/// What a step found or wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Number of the step that found it.
    pub(crate) step: usize,
    pub(crate) key: String,
    /// `None`: there is no such key, and that is fine.
    pub(crate) current: Option<Current>,
    /// Whether the value is part of the answer.
    pub(crate) with_value: bool,
}

/// What committed steps found and wrote.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) results: Vec<Found>,
    /// The index of the transaction.
    pub(crate) index: u64,
}

impl Committed {
    /// Fills in the index of the transaction.
    pub(crate) fn new(mut results: Vec<Found>, index: u64) -> Self {
        for current in results.iter_mut().filter_map(|found| found.current.as_mut()) {
            current.created.get_or_insert(index);
            current.modified.get_or_insert(index);
        }
        Self { results, index }
    }
}

/// What steps depend on.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    keys: BTreeSet<String>,
    sessions: BTreeSet<String>,
    locked: BTreeSet<String>,
    prefixes: BTreeSet<String>,
    writes: bool,
}

impl Footprint {
    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut footprint = Self::default();
        for Step { key, verb, .. } in steps {
            match verb {
                Verb::GetTree | Verb::DeleteTree => footprint.prefixes.insert(key.clone()),
                _ => footprint.keys.insert(key.clone()),
            };
            if let Verb::Lock(session) = verb {
                footprint.sessions.insert(session.clone());
                footprint.locked.insert(key.clone());
            }
            footprint.writes |= match verb {
                Verb::Set | Verb::Cas(_) | Verb::Lock(_) | Verb::Unlock(_) => true,
                Verb::Delete | Verb::DeleteTree | Verb::DeleteCas(_) => true,
                Verb::Get | Verb::GetOrEmpty | Verb::GetTree => false,
                Verb::CheckIndex(_) | Verb::CheckSession(_) | Verb::CheckNotExists => false,
            };
        }
        footprint
    }

    /// Whether it depends on which keys a range holds while it writes.
    pub(crate) fn needs_gate(&self) -> bool {
        self.writes && !self.prefixes.is_empty()
    }

    /// Whether nothing is written.
    pub(crate) fn reads_only(&self) -> bool {
        !self.writes
    }

    /// What to read.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = KeyRange> {
        let keys = self.keys.iter().map(|key| layout::kv(key));
        let sessions = self.sessions.iter().map(|id| layout::session(id));
        let delays = self.locked.iter().map(|key| layout::delay(key));
        let prefixes = self.prefixes.iter().map(|prefix| KeyRange::prefix(layout::kv(prefix)));
        keys.chain(sessions).chain(delays).map(KeyRange::key).chain(prefixes)
    }
}

/// A state as a transaction sees it.
#[derive(Debug, Default)]
pub(crate) struct View {
    pairs: BTreeMap<String, Current>,
    sessions: HashMap<String, u64>,
    delays: HashMap<String, i64>,
    /// Keys that must be as they were read: the store's key and revision, 0 if absent.
    expected: BTreeMap<Bytes, u64>,
    writes: bool,
}

impl View {
    /// Takes in what was read.
    pub(crate) fn insert(&mut self, entry: &Entry) -> Result<(), Error> {
        let area = layout::area(&entry.key);
        if area == layout::KV.as_bytes() {
            self.pairs.insert(layout::kv_key(&entry.key)?, Current::of(entry)?);
        } else if area == layout::SESSION.as_bytes() {
            let id = layout::without(layout::SESSION, &entry.key)?;
            self.sessions.insert(id, entry.mod_revision.0);
        } else {
            let key = layout::without(layout::DELAY, &entry.key)?;
            let until = entry.value[..].try_into().map(i64::from_be_bytes);
            self.delays.insert(key, until.map_err(|_| Error::Internal("a stored lock delay is damaged".into()))?);
        }
        Ok(())
    }

    /// Says what must not change until the commit.
    pub(crate) fn expect(&mut self, footprint: &Footprint) {
        self.writes = footprint.writes;
        for key in &footprint.keys {
            let revision = self.pairs.get(key).and_then(|current| current.modified).unwrap_or(0);
            self.expected.insert(layout::kv(key), revision);
        }
        for session in &footprint.sessions {
            self.expected.insert(layout::session(session), self.sessions.get(session).copied().unwrap_or(0));
        }
    }
}

/// What steps come to.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What to commit; `None` if nothing changes.
    pub(crate) txn: Option<Txn>,
    pub(crate) results: Vec<Found>,
}

/// Applies steps to a state; or says which of them were refused and why.
pub(crate) fn plan(steps: &[Step], view: View, now_ms: i64) -> Result<Plan, Vec<(usize, Refused)>> {
    let mut work = Work { original: BTreeMap::new(), cleared: Vec::new(), view, now_ms };
    let (mut results, mut refused) = (Vec::new(), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        match work.apply(step) {
            Ok(found) => results.extend(found.into_iter().map(|found| Found { step: index, ..found })),
            Err(error) => refused.push((index, error)),
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    Ok(Plan { txn: work.txn(), results })
}

struct Work {
    view: View,
    /// Keys that were touched, as they were before.
    original: BTreeMap<String, Option<Current>>,
    /// Prefixes that were deleted.
    cleared: Vec<String>,
    now_ms: i64,
}

impl Work {
    fn apply(&mut self, step: &Step) -> Result<Vec<Found>, Refused> {
        let key = || step.key.clone();
        let current = self.view.pairs.get(&step.key);
        let modified = current.and_then(|current| current.modified);
        let holder = current.and_then(|current| current.pair.session.as_deref());
        let (lock_index, holder_owned) = (current.map_or(0, |found| found.pair.lock_index), holder.map(str::to_owned));
        match &step.verb {
            Verb::Set => Ok(vec![self.write(step, lock_index, holder_owned)]),
            Verb::Cas(index) => match (current.is_some(), *index) {
                (false, 0) => Ok(vec![self.write(step, 0, None)]),
                (true, index) if index != 0 && modified == Some(index) => {
                    Ok(vec![self.write(step, lock_index, holder_owned)])
                }
                _ => Err(Refused::StaleSet(key())),
            },
            Verb::Lock(session) | Verb::Unlock(session) if session.is_empty() => Err(Refused::MissingSession),
            Verb::Lock(session) => {
                if !self.view.sessions.contains_key(session) {
                    return Err(Refused::InvalidSession(session.clone()));
                }
                if holder == Some(session) {
                    return Ok(vec![self.write(step, lock_index, holder_owned)]);
                }
                if self.view.delays.get(&step.key).is_some_and(|until| *until > self.now_ms) {
                    return Err(Refused::Delayed(key()));
                }
                match holder {
                    Some(_) => Err(Refused::Held(key())),
                    None => Ok(vec![self.write(step, lock_index + 1, Some(session.clone()))]),
                }
            }
            Verb::Unlock(session) if holder == Some(session) => Ok(vec![self.write(step, lock_index, None)]),
            Verb::Unlock(_) => Err(Refused::NotHeld(key())),
            Verb::Get if current.is_none() => Err(Refused::Missing(key())),
            Verb::Get | Verb::GetOrEmpty => {
                Ok(vec![Found { step: 0, key: key(), current: current.cloned(), with_value: true }])
            }
            Verb::GetTree => {
                let below = below(&self.view.pairs, &step.key);
                Ok(below.map(|(key, current)| found(key, current, true)).collect())
            }
            Verb::CheckIndex(wanted) => match current {
                None => Err(Refused::NoIndex(key())),
                Some(current) if modified == Some(*wanted) => Ok(vec![found(&step.key, current, false)]),
                Some(_) => {
                    Err(Refused::OtherIndex { key: key(), found: modified.unwrap_or_default(), wanted: *wanted })
                }
            },
            Verb::CheckSession(wanted) => match current {
                None => Err(Refused::NoSession(key())),
                Some(current) if holder.unwrap_or_default() == wanted => Ok(vec![found(&step.key, current, false)]),
                Some(_) => {
                    let found = holder_owned.unwrap_or_default();
                    Err(Refused::OtherSession { key: key(), found, wanted: wanted.clone() })
                }
            },
            Verb::CheckNotExists if current.is_some() => Err(Refused::Exists(key())),
            Verb::CheckNotExists => Ok(vec![]),
            // What is not there is deleted.
            Verb::DeleteCas(index) if current.is_some() && modified != Some(*index) => Err(Refused::StaleDelete(key())),
            Verb::Delete | Verb::DeleteCas(_) => {
                self.remove(&step.key);
                Ok(vec![])
            }
            Verb::DeleteTree => {
                let keys: Vec<String> = below(&self.view.pairs, &step.key).map(|(key, _)| key.clone()).collect();
                for key in &keys {
                    self.remove(key);
                }
                if !keys.is_empty() {
                    self.cleared.push(step.key.clone());
                }
                Ok(vec![])
            }
        }
    }

    fn remember(&mut self, key: &str) {
        if !self.original.contains_key(key) {
            self.original.insert(key.to_owned(), self.view.pairs.get(key).cloned());
        }
    }

    fn remove(&mut self, key: &str) {
        self.remember(key);
        self.view.pairs.remove(key);
    }

    /// Writes; a pair that is the same already is left as it is, so that nobody is woken.
    fn write(&mut self, step: &Step, lock_index: u64, session: Option<String>) -> Found {
        let pair = Pair { value: step.value.clone(), flags: step.flags, lock_index, session };
        let before = self.view.pairs.get(&step.key);
        if let Some(same) = before.filter(|current| current.pair == pair) {
            return found(&step.key, same, false);
        }
        let created = before.and_then(|current| current.created);
        self.remember(&step.key);
        let current = Current { pair, created, modified: None };
        let result = found(&step.key, &current, false);
        self.view.pairs.insert(step.key.clone(), current);
        result
    }

    fn txn(self) -> Option<Txn> {
        let Self { view, original, cleared, .. } = self;
        let mut success = Vec::new();
        for prefix in &cleared {
            success.push(Operation::Delete { range: KeyRange::prefix(layout::kv(prefix)) });
        }
        for (key, before) in &original {
            let now = view.pairs.get(key);
            let covered = cleared.iter().any(|prefix| key.starts_with(prefix.as_str()));
            match (before, now) {
                (_, Some(now)) if now.modified.is_none() => {
                    success.push(Operation::Put { key: layout::kv(key), value: now.pair.encode(), lease: None });
                }
                (Some(_), None) if !covered => {
                    success.push(Operation::Delete { range: KeyRange::key(layout::kv(key)) });
                }
                _ => {}
            }
            let held = |current: Option<&Current>| current.and_then(|current| current.pair.session.clone());
            let (before, now) = (held(before.as_ref()), held(now));
            if before != now {
                if let Some(session) = before {
                    success.push(Operation::Delete { range: KeyRange::key(layout::lock(&session, key)) });
                }
                if let Some(session) = now {
                    success.push(Operation::Put { key: layout::lock(&session, key), value: Bytes::new(), lease: None });
                    if view.delays.contains_key(key) {
                        success.push(Operation::Delete { range: KeyRange::key(layout::delay(key)) });
                    }
                }
            }
        }
        if success.is_empty() {
            return None;
        }
        let expected = view.expected.into_iter();
        let compare = expected.map(|(key, revision)| Compare::ModRevision { key, equals: Revision(revision) });
        Some(Txn { compare: compare.collect(), success, failure: vec![] })
    }
}

fn found(key: &str, current: &Current, with_value: bool) -> Found {
    Found { step: 0, key: key.to_owned(), current: Some(current.clone()), with_value }
}

fn below<'a>(pairs: &'a BTreeMap<String, Current>, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Current)> {
    pairs.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
}

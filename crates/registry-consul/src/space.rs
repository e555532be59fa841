//! The dialect's own key space in the store: keys and values, sessions, tokens, prepared queries.
//!
//! Never mixed with objects: everything is below [`layout::ROOT`]. The store's revisions are the
//! indexes that clients see.

mod feed;
pub(crate) mod layout;
mod records;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_base::{Clock, Shutdown};
use portolan_store::{Entry, KeyRange, RangeRequest, Revision, Store, Txn, TxnResponse};
use tokio::sync::RwLock;
use tokio::time::Instant;

pub(crate) use feed::Feed;
pub(crate) use records::{Record, Records, WriteError};

use crate::Error;
use crate::kv::pair::Pair;
use crate::kv::steps::{Committed, Current, Footprint, Plan, Refused, Step, View, plan};

/// After this many lost races a writer asks for the space alone.
const TRIES: usize = 8;

/// The key space.
pub(crate) struct Space {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    feed: Feed,
    /// Held shared by who writes single keys, alone by who depends on which keys a range holds: the
    /// store can compare keys but not ranges. It is a lock made to be held across waiting.
    gate: RwLock<()>,
}

impl Space {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, feed: Feed::default(), gate: RwLock::default() }
    }

    /// What changed, and waiting for it; [`Space::run`] must be running.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The store below.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// The time.
    pub(crate) fn now(&self) -> portolan_base::Timestamp {
        self.clock.now()
    }

    /// Records of one area.
    pub(crate) fn records<T>(&self, area: &'static str) -> Records<'_, T> {
        Records::new(&*self.store, area)
    }

    /// Wakes those who wait for changes, until shutdown is requested.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        self.feed.follow(&*self.store, &shutdown).await;
    }

    /// Newest entries of a range.
    pub(crate) async fn range(&self, range: KeyRange) -> Result<(Vec<Arc<Entry>>, u64), Error> {
        let response = self.store.range(RangeRequest { range, revision: None, limit: 0 }).await?;
        Ok((response.entries, response.revision.0))
    }

    /// The newest version of one key.
    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<Arc<Entry>>, Error> {
        Ok(self.range(KeyRange::key(key)).await?.0.into_iter().next())
    }

    /// Applies what `decide` makes of the newest state, alone in the space; `decide` must read anew
    /// each time.
    pub(crate) async fn alone<T, F>(&self, mut decide: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<(Txn, T), Error>>,
    {
        let _gate = self.gate.write().await;
        loop {
            let (txn, result) = decide().await?;
            if self.commit(txn).await?.is_some() {
                return Ok(result);
            }
        }
    }

    /// `None`: somebody else was faster.
    async fn commit(&self, txn: Txn) -> Result<Option<TxnResponse>, Error> {
        let response = self.store.txn(txn).await.map_err(|error| match error {
            portolan_store::Error::TooLarge { .. } => Error::TooLarge(error.to_string()),
            other => other.into(),
        })?;
        Ok(response.succeeded.then_some(response))
    }

    /// Applies steps on keys and values: all or none.
    pub(crate) async fn apply(&self, steps: &[Step]) -> Result<Result<Committed, Vec<(usize, Refused)>>, Error> {
        let footprint = Footprint::of(steps);
        let mut tries = 0;
        loop {
            let alone = footprint.needs_gate() || tries >= TRIES;
            let _gates = match alone {
                true => (Some(self.gate.write().await), None),
                false => (None, Some(self.gate.read().await)),
            };
            let (view, revision) = self.load(&footprint).await?;
            match plan(steps, view, self.now_ms()) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Plan { txn, results }) => {
                    let revision = match txn {
                        None => revision,
                        Some(txn) => match self.commit(txn).await? {
                            Some(response) => response.revision.0,
                            None => {
                                tries += 1;
                                continue;
                            }
                        },
                    };
                    return Ok(Ok(Committed::new(results, revision)));
                }
            }
        }
    }

    /// Which steps would be refused now, without applying any.
    pub(crate) async fn refusals(&self, steps: &[Step]) -> Result<Vec<(usize, Refused)>, Error> {
        let _gate = self.gate.read().await;
        let (view, _) = self.load(&Footprint::of(steps)).await?;
        Ok(plan(steps, view, self.now_ms()).err().unwrap_or_default())
    }

    /// Reads what steps depend on, all at one revision.
    async fn load(&self, footprint: &Footprint) -> Result<(View, u64), Error> {
        let (mut view, mut at) = (View::default(), None);
        for range in footprint.ranges() {
            let request = RangeRequest { range: range.clone(), revision: at, limit: 0 };
            let response = match self.store.range(request).await {
                Ok(response) => response,
                // So slow that history was forgotten meanwhile; the newest state does as well, since
                // every key is compared at the commit.
                Err(portolan_store::Error::Compacted { .. }) if !footprint.needs_gate() => {
                    self.store.range(RangeRequest { range: range.clone(), revision: None, limit: 0 }).await?
                }
                Err(error) => return Err(error.into()),
            };
            at = at.or(Some(response.revision).filter(|revision| *revision != Revision(0)));
            for entry in response.entries {
                view.insert(&entry)?;
            }
        }
        view.expect(footprint);
        Ok((view, at.unwrap_or_default().0))
    }

    /// The pair of a key, and the index of the answer.
    pub(crate) async fn pair(&self, key: &str) -> Result<(Option<Current>, u64), Error> {
        let entry = self.get(layout::kv(key)).await?;
        match entry {
            Some(entry) => Ok((Some(Current::of(&entry)?), entry.mod_revision.0)),
            None => Ok((None, self.feed.table_index(layout::KV))),
        }
    }

    /// The pairs below a prefix in order, and the index of the answer.
    pub(crate) async fn pairs(&self, prefix: &str) -> Result<(Vec<(String, Current)>, u64), Error> {
        let range = layout::kv(prefix);
        let (entries, _) = self.range(KeyRange::prefix(range.clone())).await?;
        let newest = entries.iter().map(|entry| entry.mod_revision.0).max();
        let index = match (prefix, self.feed.prefix_index(&range), newest) {
            ("", ..) | (_, 0, None) => self.feed.table_index(layout::KV).max(newest.unwrap_or(0)),
            (_, deleted, newest) => deleted.max(newest.unwrap_or(0)),
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            pairs.push((layout::kv_key(&entry.key)?, Current::of(&entry)?));
        }
        Ok((pairs, index))
    }
}

/// Waits until `read` gives an index behind `index`, the time is up, or shutdown.
///
/// The wake-up is armed before `read` begins, so no change is missed.
pub(crate) async fn poll<T, F>(
    waiter: impl Fn() -> Arc<tokio::sync::Notify>,
    index: u64,
    wait: Duration,
    shutdown: &Shutdown,
    mut read: impl FnMut() -> F,
) -> Result<(T, u64), Error>
where
    F: Future<Output = Result<(T, u64), Error>>,
{
    let deadline = Instant::now() + wait;
    loop {
        let waiter = waiter();
        let mut changed = std::pin::pin!(waiter.notified());
        changed.as_mut().enable();
        let (answer, newest) = read().await?;
        // An index that went back means that history was lost; the client starts anew with it.
        if index == 0 || newest.max(1) > index {
            return Ok((answer, newest));
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(deadline) => return Ok((answer, newest)),
            () = shutdown.requested() => return Ok((answer, newest)),
        }
    }
}

/// Reads a value that this dialect wrote.
pub(crate) fn pair(entry: &Entry) -> Result<Pair, Error> {
    Pair::decode(&entry.value).ok_or_else(|| Error::Internal(format!("the stored value of {:?} is damaged", entry.key)))
}

//! Follows the key space: who waits for which keys, and when keys were deleted.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_base::Shutdown;
use portolan_store::{Event, EventKind, KeyRange, Store, WatchItem, WatchRequest};
use tokio::sync::Notify;

use super::layout;

/// Deleted keys that are remembered one by one.
const MOST_TOMBSTONES: usize = 100_000;
/// Items that may wait for this follower before it starts again.
const BUFFER: usize = 4096;
/// How soon a watch that could not be started is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes who waits for a key or a prefix, and nobody else.
#[derive(Default)]
pub(crate) struct Feed(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    keys: HashMap<Bytes, Weak<Notify>>,
    prefixes: HashMap<Bytes, Weak<Notify>>,
    /// When keys were deleted, if later than `floor`.
    tombstones: BTreeMap<Bytes, u64>,
    /// Deletions up to here are not known one by one, so everything may have changed then.
    floor: u64,
    /// Newest change by area.
    tables: HashMap<Bytes, u64>,
}

impl Feed {
    /// Something that is notified when this key changes.
    pub(crate) fn key(&self, key: &Bytes) -> Arc<Notify> {
        waiter(&mut self.0.lock().keys, key)
    }

    /// Something that is notified when a key with this prefix changes.
    pub(crate) fn prefix(&self, prefix: &Bytes) -> Arc<Notify> {
        waiter(&mut self.0.lock().prefixes, prefix)
    }

    /// Index of the newest change of an area.
    pub(crate) fn table_index(&self, area: &str) -> u64 {
        let inner = self.0.lock();
        inner.tables.get(area.as_bytes()).copied().unwrap_or(0).max(inner.floor)
    }

    /// Index of the deletion of a key that is not there.
    pub(crate) fn key_index(&self, key: &Bytes) -> u64 {
        let inner = self.0.lock();
        inner.tombstones.get(key).copied().unwrap_or(0).max(inner.floor)
    }

    /// Index of the newest deletion below a prefix.
    pub(crate) fn prefix_index(&self, prefix: &Bytes) -> u64 {
        let inner = self.0.lock();
        let range = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let below = inner.tombstones.range(range).take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(_, index)| *index).max().unwrap_or(0).max(inner.floor)
    }

    /// Follows the store until shutdown is requested.
    pub(crate) async fn follow(&self, store: &dyn Store, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            let range = KeyRange::prefix(layout::ROOT);
            let request = WatchRequest { range, after: None, progress: None, buffer: BUFFER };
            match store.watch(request).await {
                Ok(mut watch) => {
                    self.restart(watch.started_after().0);
                    while let Some(Some(item)) = shutdown.run(watch.next()).await {
                        match item {
                            WatchItem::Events(events) => self.apply(&events),
                            WatchItem::Progress(_) => {}
                            WatchItem::Lagged => {
                                tracing::warn!("the followers of Consul's key space were too slow and start again");
                                break;
                            }
                            WatchItem::Closed => return,
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %portolan_base::error::chain(&error), "cannot watch Consul's key space; trying again");
                    let _ = shutdown.run(tokio::time::sleep(RETRY)).await;
                }
            }
        }
    }

    /// Forgets what may have been missed: everything counts as changed at `revision`.
    fn restart(&self, revision: u64) {
        let mut inner = self.0.lock();
        inner.floor = inner.floor.max(revision);
        inner.tombstones.clear();
        for waiter in inner.keys.values().chain(inner.prefixes.values()).filter_map(Weak::upgrade) {
            waiter.notify_waiters();
        }
    }

    fn apply(&self, events: &[Arc<Event>]) {
        let mut inner = self.0.lock();
        for event in events {
            let (key, index) = (&event.entry.key, event.entry.mod_revision.0);
            match event.kind {
                EventKind::Put => drop(inner.tombstones.remove(key)),
                EventKind::Delete => drop(inner.tombstones.insert(key.clone(), index)),
            }
            inner.tables.insert(key.slice_ref(layout::area(key)), index);
            inner.wake(key);
        }
        if inner.tombstones.len() > MOST_TOMBSTONES {
            inner.floor = inner.tombstones.values().copied().max().unwrap_or(0).max(inner.floor);
            inner.tombstones.clear();
        }
    }
}

impl Inner {
    fn wake(&self, key: &Bytes) {
        let exact = self.keys.get(key);
        let below = (!self.prefixes.is_empty())
            .then(|| (layout::ROOT.len()..=key.len()).filter_map(|length| self.prefixes.get(&key[..length])));
        for waiter in exact.into_iter().chain(below.into_iter().flatten()).filter_map(Weak::upgrade) {
            waiter.notify_waiters();
        }
    }
}

fn waiter(waiters: &mut HashMap<Bytes, Weak<Notify>>, key: &Bytes) -> Arc<Notify> {
    if let Some(waiter) = waiters.get(key).and_then(Weak::upgrade) {
        return waiter;
    }
    // Growing is the moment to forget those who gave up.
    if waiters.len() == waiters.capacity() {
        waiters.retain(|_, waiter| waiter.strong_count() > 0);
    }
    let waiter = Arc::new(Notify::new());
    waiters.insert(key.clone(), Arc::downgrade(&waiter));
    waiter
}

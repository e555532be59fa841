//! What the threads of a store and its callers share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use portolan_base::Clock;

use super::AutoCompaction;
use super::commit::Queue;
use super::index::Index;
use super::lease;
use super::log::Segments;
use super::watch::Watches;
use crate::{Error, Revision};

/// Lock order, where more than one is held: watch registry, index, leases, pins.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) segments: Arc<Segments>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) checkpoint_every_bytes: u64,
    pub(super) auto_compaction: AutoCompaction,
    pub(super) index: RwLock<Index>,
    pub(super) leases: lease::Shared,
    pub(super) watches: Watches,
    pub(super) queue: Queue,
    pub(super) keeper: Keeper,
    visible: AtomicU64,
    read_only: RwLock<Option<Arc<str>>>,
    pins: Mutex<BTreeMap<Revision, usize>>,
    pub(super) active_bytes: AtomicU64,
    /// The newest revision whose time the keeper knows.
    pub(super) marked: AtomicU64,
    pub(super) checkpoint: Mutex<Checkpoint>,
}

/// The checkpoint on disk.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Checkpoint {
    pub(super) revision: Revision,
    pub(super) bytes: u64,
}

/// Wakes the thread that keeps house.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    pub(super) signal: Mutex<KeeperSignal>,
    pub(super) wake: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct KeeperSignal {
    pub(super) work: bool,
    pub(super) spare: Option<u64>,
    pub(super) closing: bool,
}

impl Keeper {
    pub(super) fn notify(&self, change: impl FnOnce(&mut KeeperSignal)) {
        change(&mut self.signal.lock());
        self.wake.notify_one();
    }

    /// Waits for something to do, at most for `limit`.
    pub(super) fn wait(&self, limit: Option<Duration>) -> KeeperSignal {
        let mut signal = self.signal.lock();
        if !signal.work && signal.spare.is_none() && !signal.closing {
            match limit {
                Some(limit) => _ = self.wake.wait_for(&mut signal, limit),
                None => self.wake.wait(&mut signal),
            }
        }
        KeeperSignal { closing: signal.closing, ..std::mem::take(&mut *signal) }
    }
}

/// While this lives, its revision can be read even if history up to there is compacted away.
pub(super) struct Pin<'a> {
    pins: &'a Mutex<BTreeMap<Revision, usize>>,
    revision: Revision,
}

impl Pin<'_> {
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.revision);
            }
        }
    }
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "called once, where the store is put together")]
    pub(super) fn new(
        segments: Arc<Segments>,
        clock: Arc<dyn Clock>,
        checkpoint_every_bytes: u64,
        auto_compaction: AutoCompaction,
        index: Index,
        leases: lease::Leases,
        visible: Revision,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            segments,
            clock,
            checkpoint_every_bytes,
            auto_compaction,
            index: RwLock::new(index),
            leases: Mutex::new(leases),
            watches: Watches::default(),
            queue: Queue::default(),
            keeper: Keeper::default(),
            visible: AtomicU64::new(visible.0),
            read_only: RwLock::default(),
            pins: Mutex::default(),
            active_bytes: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            checkpoint: Mutex::new(checkpoint),
        }
    }

    /// The newest revision that is durable.
    pub(super) fn visible(&self) -> Revision {
        Revision(self.visible.load(Ordering::SeqCst))
    }

    /// Sequentially consistent together with the number of watches: the committer stores this and
    /// looks at the number, a new watch stores the number and looks at this. One of them sees the
    /// other, else a write could stay undelivered.
    pub(super) fn set_visible(&self, revision: Revision) {
        self.visible.store(revision.0, Ordering::SeqCst);
    }

    pub(super) fn now_ms(&self) -> u64 {
        lease::now_ms(self.clock.as_ref())
    }

    pub(super) fn read_only(&self) -> Option<Arc<str>> {
        self.read_only.read().clone()
    }

    pub(super) fn refuse_writes(&self, reason: &str) -> Error {
        let reason: Arc<str> = reason.into();
        *self.read_only.write() = Some(Arc::clone(&reason));
        Error::ReadOnly { reason }
    }

    /// Holds on to a revision, the newest one if none is given.
    pub(super) fn pin(&self, revision: Option<Revision>) -> Result<Pin<'_>, Error> {
        // Versions are forgotten under the index's write lock only, so what is found here stays
        // until the pin is registered.
        let index = self.index.read();
        let visible = self.visible();
        let revision = revision.unwrap_or(visible);
        index.check_revision(revision, visible)?;
        Ok(self.pin_known(revision))
    }

    /// Like [`Shared::pin`] for callers that hold the index's lock and have checked the revision.
    pub(super) fn pin_known(&self, revision: Revision) -> Pin<'_> {
        *self.pins.lock().entry(revision).or_default() += 1;
        Pin { pins: &self.pins, revision }
    }

    /// The revision up to which versions may be forgotten. Asked under the index's write lock.
    pub(super) fn prune_bound(&self, compacted: Revision) -> Revision {
        let pinned = self.pins.lock().keys().next().copied().unwrap_or(Revision(u64::MAX));
        compacted.min(pinned).min(self.watches.delivered())
    }
}

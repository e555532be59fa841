//! Leases: times to live, held in memory; only their beginning and end are written.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_base::Clock;

use crate::{Entry, LeaseId};

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) ttl_ms: u64,
    pub(super) deadline_ms: u64,
    pub(super) keys: BTreeSet<Bytes>,
    /// Its end is being written; it can no longer be renewed.
    pub(super) ending: bool,
}

/// All leases, and the order in which they may end.
#[derive(Debug, Default)]
pub(super) struct Leases {
    table: HashMap<u64, Lease>,
    /// Deadlines as they were when pushed. A renewal only moves the deadline in the table; the
    /// place here is corrected when its turn comes, so a renewal costs one hash look-up.
    due: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Leases {
    pub(super) fn grant(&mut self, id: u64, ttl_ms: u64, now_ms: u64) {
        let deadline_ms = now_ms.saturating_add(ttl_ms);
        self.table.insert(id, Lease { ttl_ms, deadline_ms, keys: BTreeSet::new(), ending: false });
        self.due.push(Reverse((deadline_ms, id)));
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.table.contains_key(&id)
    }

    pub(super) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.table.get(&id.0).filter(|lease| !lease.ending)
    }

    pub(super) fn renew(&mut self, id: LeaseId, now_ms: u64) -> Option<Duration> {
        let lease = self.table.get_mut(&id.0).filter(|lease| !lease.ending)?;
        lease.deadline_ms = now_ms.saturating_add(lease.ttl_ms);
        Some(Duration::from_millis(lease.ttl_ms))
    }

    /// Marks a lease as ending and returns its keys.
    pub(super) fn start_end(&mut self, id: u64) -> Option<Vec<Bytes>> {
        let lease = self.table.get_mut(&id).filter(|lease| !lease.ending)?;
        lease.ending = true;
        Some(lease.keys.iter().cloned().collect())
    }

    /// The end of a lease could not be written: it lives on.
    pub(super) fn cancel_end(&mut self, id: u64) {
        if let Some(lease) = self.table.get_mut(&id) {
            lease.ending = false;
            self.due.push(Reverse((lease.deadline_ms, id)));
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.table.remove(&id);
    }

    /// Keeps the keys of leases in step with a change from `before` to `after`.
    pub(super) fn track(&mut self, key: &[u8], before: Option<LeaseId>, after: Option<LeaseId>) {
        if before == after {
            return;
        }
        if let Some(lease) = before.and_then(|id| self.table.get_mut(&id.0)) {
            lease.keys.remove(key);
        }
        if let Some(lease) = after.and_then(|id| self.table.get_mut(&id.0)) {
            // A copy, because a slice would keep the whole version alive.
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// Finds out anew which keys belong to which lease.
    pub(super) fn rebuild(&mut self, live: &[Arc<Entry>]) {
        for lease in self.table.values_mut() {
            lease.keys.clear();
        }
        for entry in live {
            self.track(&entry.key, None, entry.lease);
        }
    }

    /// Gives every lease one full time to live from now on.
    pub(super) fn restart(&mut self, now_ms: u64) {
        self.due.clear();
        for (&id, lease) in &mut self.table {
            lease.deadline_ms = now_ms.saturating_add(lease.ttl_ms);
            self.due.push(Reverse((lease.deadline_ms, id)));
        }
    }

    /// Leases whose time is over, each reported once.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<u64> {
        let mut ended = Vec::new();
        while let Some(&Reverse((at, id))) = self.due.peek()
            && at <= now_ms
        {
            self.due.pop();
            match self.table.get(&id) {
                Some(lease) if lease.deadline_ms > at => self.due.push(Reverse((lease.deadline_ms, id))),
                Some(lease) if !lease.ending => ended.push(id),
                _ => {}
            }
        }
        ended
    }

    /// When to look again.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Name and time to live of all leases, in order.
    pub(super) fn all(&self) -> Vec<(u64, u64)> {
        let mut all: Vec<_> = self.table.iter().map(|(&id, lease)| (id, lease.ttl_ms)).collect();
        all.sort_unstable();
        all
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now().as_millisecond()).unwrap_or(0)
}

/// Wall-clock time at the start plus time elapsed since, so that setting the machine's clock
/// neither ends leases nor prolongs them.
#[derive(Debug)]
pub struct SteadyClock {
    started: portolan_base::Timestamp,
    since: std::time::Instant,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self { started: portolan_base::Timestamp::now(), since: std::time::Instant::now() }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> portolan_base::Timestamp {
        self.started + self.since.elapsed()
    }
}

/// Leases as all threads share them.
pub(super) type Shared = Mutex<Leases>;

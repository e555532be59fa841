//! Watches: who is interested in which keys, and the thread that tells them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::{self, OwnedPermit, Sender};

use super::index::{Change, is_live};
use super::shared::Shared;
use crate::{Error, Event, EventKind, KeyRange, Revision, Watch, WatchItem, WatchRequest};

/// Changes read from the history under one lock.
const ROUND: usize = 1024;
/// Progress is checked no more often than this.
const PROGRESS_TICK: Duration = Duration::from_millis(100);
/// More waiting items than this are never allowed, whatever is asked for.
const MOST_BUFFER: usize = 1 << 16;

#[derive(Debug)]
struct Watcher {
    range: KeyRange,
    after: Revision,
    sender: Sender<WatchItem>,
    /// Room for the last item, whatever else is in the buffer.
    last: OwnedPermit<WatchItem>,
    progress: Option<Duration>,
    told: Instant,
    pending: Vec<Arc<Event>>,
}

/// Finds the watchers of a key without asking each.
#[derive(Debug, Default)]
struct Interest {
    keys: HashMap<Bytes, Vec<u64>>,
    prefixes: HashMap<Bytes, Vec<u64>>,
    /// Lengths of the watched prefixes, and how many prefixes have them.
    lengths: BTreeMap<usize, usize>,
    /// Ranges that are neither a key nor a prefix; rare, so they are all asked.
    intervals: HashMap<u64, KeyRange>,
}

enum Shape {
    Key,
    Prefix,
    Interval,
}

fn shape(range: &KeyRange) -> Shape {
    if range.end == KeyRange::prefix(range.start.clone()).end {
        Shape::Prefix
    } else if *range == KeyRange::key(range.start.clone()) {
        Shape::Key
    } else {
        Shape::Interval
    }
}

impl Interest {
    fn add(&mut self, id: u64, range: &KeyRange) {
        // Copies, because the caller's bytes may be slices of something larger.
        let start = Bytes::copy_from_slice(&range.start);
        match shape(range) {
            Shape::Key => self.keys.entry(start).or_default().push(id),
            Shape::Prefix => {
                let length = start.len();
                let ids = self.prefixes.entry(start).or_default();
                if ids.is_empty() {
                    *self.lengths.entry(length).or_default() += 1;
                }
                ids.push(id);
            }
            Shape::Interval => _ = self.intervals.insert(id, range.clone()),
        }
    }

    fn remove(&mut self, id: u64, range: &KeyRange) {
        let take = |ids: &mut HashMap<Bytes, Vec<u64>>| {
            let Some(list) = ids.get_mut(&range.start) else { return false };
            list.retain(|&other| other != id);
            list.is_empty() && ids.remove(&range.start).is_some()
        };
        match shape(range) {
            Shape::Key => _ = take(&mut self.keys),
            Shape::Prefix => {
                if take(&mut self.prefixes)
                    && let Some(count) = self.lengths.get_mut(&range.start.len())
                {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&range.start.len());
                    }
                }
            }
            Shape::Interval => _ = self.intervals.remove(&id),
        }
    }

    fn of(&self, key: &[u8], mut visit: impl FnMut(u64)) {
        self.keys.get(key).into_iter().flatten().for_each(|&id| visit(id));
        for &length in self.lengths.keys().take_while(|&&length| length <= key.len()) {
            self.prefixes.get(&key[..length]).into_iter().flatten().for_each(|&id| visit(id));
        }
        for (&id, range) in &self.intervals {
            if range.contains(key) {
                visit(id);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Registry {
    watchers: HashMap<u64, Watcher>,
    interest: Interest,
    next_id: u64,
    /// How many watchers there may be before those that were dropped are looked for.
    sweep_at: usize,
    touched: HashSet<u64>,
    closed: bool,
}

/// What the committer tells the dispatcher.
#[derive(Debug, Default)]
struct Signal {
    visible: u64,
    closing: bool,
    /// A watcher with progress was added; the time to wake must be found anew.
    rearm: bool,
}

/// All watches of a store.
#[derive(Debug, Default)]
pub(super) struct Watches {
    registry: Mutex<Registry>,
    count: AtomicUsize,
    dispatched: AtomicU64,
    signal: Mutex<Signal>,
    wake: Condvar,
}

impl Watches {
    /// History up to here is no longer needed for delivery.
    pub(super) fn delivered(&self) -> Revision {
        match self.count.load(Ordering::SeqCst) {
            0 => Revision(u64::MAX),
            _ => Revision(self.dispatched.load(Ordering::Acquire)),
        }
    }

    /// Says that everything up to `visible` can be delivered.
    pub(super) fn published(&self, visible: Revision) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.signal.lock().visible = visible.0;
            self.wake.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.signal.lock().closing = true;
        self.wake.notify_one();
    }

    /// Starts a watch: history first, then live, nothing twice and nothing left out.
    pub(super) fn start(&self, shared: &Shared, request: WatchRequest) -> Result<Watch, Error> {
        let WatchRequest { range, after, progress, buffer } = request;
        // While this pin lives, the history behind it stays.
        let pin = shared.pin(after)?;
        let started_after = pin.revision();
        let (sender, items) = mpsc::channel(buffer.clamp(1, MOST_BUFFER) + 1);
        let last = sender.clone().try_reserve_owned().expect("the channel is new and has room for two");
        let mut events = Vec::new();
        let mut cursor = started_after;
        // Most of a long history is read without holding up the delivery to others.
        while self.collect(shared, &range, &mut cursor, shared.visible(), &mut events) >= ROUND {}
        let mut registry = self.registry.lock();
        if registry.closed {
            return Err(Error::Closed);
        }
        if registry.watchers.is_empty() {
            self.dispatched.store(shared.visible().0, Ordering::Release);
        }
        // From here on `dispatched` stands still; what is behind it comes from the dispatcher.
        let dispatched = Revision(self.dispatched.load(Ordering::Acquire));
        while cursor < dispatched && self.collect(shared, &range, &mut cursor, dispatched, &mut events) >= ROUND {}
        if !events.is_empty() {
            sender.try_send(WatchItem::Events(events)).expect("the first item always has room");
        }
        registry.add(Watcher {
            range,
            after: cursor.max(dispatched),
            sender,
            last,
            progress,
            told: Instant::now(),
            pending: Vec::new(),
        });
        self.count.store(registry.watchers.len(), Ordering::SeqCst);
        drop(registry);
        // A write may have been published between the look at `visible` and the count above.
        let mut signal = self.signal.lock();
        signal.visible = signal.visible.max(shared.visible().0);
        signal.rearm |= progress.is_some();
        drop(signal);
        self.wake.notify_one();
        Ok(Watch::new(items, started_after))
    }

    /// Reads one round of history behind `cursor` and moves it; returns how much was read.
    fn collect(
        &self,
        shared: &Shared,
        range: &KeyRange,
        cursor: &mut Revision,
        upto: Revision,
        events: &mut Vec<Arc<Event>>,
    ) -> usize {
        let index = shared.index.read();
        let mut read = 0;
        let mut reached = upto.max(*cursor);
        for change in index.changes(*cursor, upto, ROUND) {
            read += 1;
            reached = change.revision();
            if range.contains(&change.entry.key) {
                events.push(event(change));
            }
        }
        *cursor = if read >= ROUND { reached } else { upto.max(*cursor) };
        read
    }

    /// Delivers until the store closes. Runs on a thread of its own, so that neither the number
    /// of watchers nor their speed holds up a commit.
    pub(super) fn dispatch(&self, shared: &Shared) {
        let mut next_progress: Option<Instant> = None;
        let mut changes = Vec::new();
        loop {
            let (visible, rearm) = {
                let mut signal = self.signal.lock();
                while signal.visible <= self.dispatched.load(Ordering::Acquire)
                    && !signal.closing
                    && !signal.rearm
                    && next_progress.is_none_or(|at| Instant::now() < at)
                {
                    match next_progress {
                        Some(at) => _ = self.wake.wait_until(&mut signal, at),
                        None => self.wake.wait(&mut signal),
                    }
                }
                if signal.closing && signal.visible <= self.dispatched.load(Ordering::Acquire) {
                    break;
                }
                (Revision(signal.visible), std::mem::take(&mut signal.rearm))
            };
            let mut registry = self.registry.lock();
            let dispatched = Revision(self.dispatched.load(Ordering::Acquire));
            changes.extend(shared.index.read().changes(dispatched, visible, ROUND).cloned());
            let reached = if changes.len() >= ROUND { changes.last().map(Change::revision) } else { None };
            for change in changes.drain(..) {
                registry.offer(&change);
            }
            registry.flush();
            self.dispatched.store(reached.unwrap_or(visible).max(dispatched).0, Ordering::Release);
            let reached = Revision(self.dispatched.load(Ordering::Acquire));
            if rearm || next_progress.is_some_and(|at| Instant::now() >= at) {
                next_progress = registry.progress(reached);
            }
            self.count.store(registry.watchers.len(), Ordering::SeqCst);
        }
        let mut registry = self.registry.lock();
        registry.closed = true;
        for (_, watcher) in registry.watchers.drain() {
            watcher.last.send(WatchItem::Closed);
        }
        self.count.store(0, Ordering::SeqCst);
    }
}

fn event(change: &Change) -> Arc<Event> {
    Arc::new(Event {
        kind: if is_live(&change.entry) { EventKind::Put } else { EventKind::Delete },
        entry: Arc::clone(&change.entry),
        previous: change.previous.clone(),
        encoded: Default::default(),
    })
}

impl Registry {
    fn add(&mut self, watcher: Watcher) {
        if self.watchers.len() >= self.sweep_at {
            // Watchers of quiet keys that were dropped; looking for them only when the number has
            // doubled keeps the cost per watch constant.
            let gone = self.watchers.iter().filter(|(_, watcher)| watcher.sender.is_closed());
            for id in gone.map(|(&id, _)| id).collect::<Vec<_>>() {
                self.remove(id);
            }
            self.sweep_at = (self.watchers.len() * 2).max(64);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.interest.add(id, &watcher.range);
        self.watchers.insert(id, watcher);
    }

    fn remove(&mut self, id: u64) -> Option<Watcher> {
        let watcher = self.watchers.remove(&id)?;
        self.interest.remove(id, &watcher.range);
        Some(watcher)
    }

    /// Puts a change aside for those who watch its key. The event is made only if somebody does.
    fn offer(&mut self, change: &Change) {
        let Self { watchers, interest, touched, .. } = self;
        let mut shared = None;
        interest.of(&change.entry.key, |id| {
            let Some(watcher) = watchers.get_mut(&id).filter(|watcher| watcher.after < change.revision()) else {
                return;
            };
            watcher.pending.push(Arc::clone(shared.get_or_insert_with(|| event(change))));
            touched.insert(id);
        });
    }

    /// Sends what was put aside, as one item per watcher.
    fn flush(&mut self) {
        let now = Instant::now();
        for id in std::mem::take(&mut self.touched) {
            let Some(watcher) = self.watchers.get_mut(&id) else { continue };
            watcher.told = now;
            let item = WatchItem::Events(std::mem::take(&mut watcher.pending));
            match watcher.sender.try_send(item) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    if let Some(watcher) = self.remove(id) {
                        watcher.last.send(WatchItem::Lagged);
                    }
                }
                Err(mpsc::error::TrySendError::Closed(_)) => _ = self.remove(id),
            }
        }
    }

    /// Tells progress to those whose time has come; returns when to do so again.
    fn progress(&mut self, reached: Revision) -> Option<Instant> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (&id, watcher) in &mut self.watchers {
            let Some(interval) = watcher.progress else { continue };
            if watcher.told + interval <= now {
                watcher.told = now;
                // A full buffer means that the watcher has better news to read.
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    watcher.sender.try_send(WatchItem::Progress(reached.max(watcher.after)))
                {
                    gone.push(id);
                }
            }
        }
        for id in gone {
            self.remove(id);
        }
        let next = self.watchers.values().filter_map(|watcher| Some(watcher.told + watcher.progress?)).min();
        next.map(|at| at.max(now + PROGRESS_TICK))
    }
}

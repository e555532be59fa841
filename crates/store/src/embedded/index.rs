//! The in-memory index: every retained version of every key, in key order, and the history.
//!
//! Keys live in blocks of bounded size, each of which knows how many of its keys are live. So the
//! number of keys behind a page is a sum over blocks, not a walk over keys.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Compare, Entry, Error, KeyRange, Revision};

/// Most keys in a block. Larger: cheaper counts, dearer inserts. Small in tests, so that few keys
/// already split and join blocks.
const BLOCK_KEYS: usize = if cfg!(test) { 8 } else { 256 };
/// What a change costs in the history besides the version that only it keeps alive.
const CHANGE_OVERHEAD: u64 = 200;

/// All versions of a key, oldest first; a version numbered 0 is a deletion.
#[derive(Debug)]
struct Slot {
    /// See [`Block::skip`].
    head: u64,
    newest: Arc<Entry>,
    older: Vec<Arc<Entry>>,
}

impl Slot {
    fn key(&self) -> &[u8] {
        &self.newest.key
    }

    /// The version that was valid at `revision`, deletions included.
    fn version_at(&self, revision: Revision) -> Option<&Arc<Entry>> {
        if self.newest.mod_revision <= revision {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|entry| entry.mod_revision <= revision)
    }

    fn live_at(&self, revision: Revision) -> Option<&Arc<Entry>> {
        self.version_at(revision).filter(|entry| is_live(entry))
    }
}

#[derive(Debug)]
struct Block {
    /// No key of the block is below this, none of the block before is above.
    fence: Bytes,
    /// All keys of the block begin with the same `skip` bytes. Each slot holds the eight bytes
    /// behind them, so that a search stays in one array instead of visiting every key it passes.
    skip: usize,
    slots: Vec<Slot>,
    live: usize,
    /// The newest revision at which a key of this block came into being or was deleted.
    liveness_changed: Revision,
}

impl Block {
    /// The place of a key, or where it would be inserted.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(first) = self.slots.first() else { return Err(0) };
        let shared = self.skip.min(key.len());
        match key[..shared].cmp(&first.key()[..self.skip]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.slots.len()),
            Ordering::Equal => {}
        }
        let head = head(key, self.skip);
        self.slots.binary_search_by(|slot| slot.head.cmp(&head).then_with(|| slot.key().cmp(key)))
    }

    /// Inserts a key that is not there at the place that [`Block::find`] gave.
    fn insert(&mut self, at: usize, entry: Arc<Entry>) {
        let skip = match self.slots.first() {
            None => entry.key.len(),
            Some(first) => common(&first.key()[..self.skip], &entry.key),
        };
        self.slots.insert(at, Slot { head: head(&entry.key, skip), newest: entry, older: Vec::new() });
        self.set_skip(skip);
    }

    fn set_skip(&mut self, skip: usize) {
        if self.skip != skip {
            self.skip = skip;
            self.slots.iter_mut().for_each(|slot| slot.head = head(slot.key(), skip));
        }
    }

    /// Finds out how much the keys have in common; they are sorted, so two of them tell.
    fn measure(&mut self) {
        if let (Some(first), Some(last)) = (self.slots.first(), self.slots.last()) {
            self.set_skip(common(first.key(), last.key()));
        }
    }
}

/// Eight bytes of a key from `skip` on, as a number that sorts like them.
fn head(key: &[u8], skip: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = &key[skip.min(key.len())..];
    let count = rest.len().min(8);
    bytes[..count].copy_from_slice(&rest[..count]);
    u64::from_be_bytes(bytes)
}

/// The length of the longest common beginning.
fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// One change of one key. Changes of a revision stand side by side in the history.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) entry: Arc<Entry>,
    pub(super) previous: Option<Arc<Entry>>,
}

impl Change {
    pub(super) fn revision(&self) -> Revision {
        self.entry.mod_revision
    }

    fn cost(&self) -> u64 {
        CHANGE_OVERHEAD + self.previous.as_ref().map_or(0, |entry| (entry.key.len() + entry.value.len()) as u64)
    }
}

/// Whether a version is a value rather than a deletion.
pub(super) fn is_live(entry: &Entry) -> bool {
    entry.version != 0
}

#[derive(Debug)]
pub(super) struct Index {
    blocks: Vec<Block>,
    history: VecDeque<Change>,
    history_bytes: u64,
    /// Nothing before this can be asked for.
    pub(super) compacted: Revision,
}

impl Default for Index {
    fn default() -> Self {
        let first = Block { fence: Bytes::new(), skip: 0, slots: Vec::new(), live: 0, liveness_changed: Revision(0) };
        Self { blocks: vec![first], history: VecDeque::new(), history_bytes: 0, compacted: Revision(0) }
    }
}

impl Index {
    /// The newest live version of a key, visible to readers or not.
    pub(super) fn newest(&self, key: &[u8]) -> Option<&Arc<Entry>> {
        let (block, slot) = self.find(key);
        let slot = &self.blocks[block].slots[slot.ok()?];
        Some(&slot.newest).filter(|entry| is_live(entry))
    }

    pub(super) fn get_at(&self, key: &[u8], revision: Revision) -> Option<&Arc<Entry>> {
        let (block, slot) = self.find(key);
        self.blocks[block].slots[slot.ok()?].live_at(revision)
    }

    pub(super) fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision { key, equals } => {
                self.newest(key).map_or(Revision(0), |entry| entry.mod_revision) == *equals
            }
            Compare::Exists { key } => self.newest(key).is_some(),
            Compare::Value { key, equals } => self.newest(key).is_some_and(|entry| entry.value == *equals),
        }
    }

    /// Adds a version (or a deletion) of a key and the change to the history.
    pub(super) fn apply(&mut self, entry: Arc<Entry>) {
        let revision = entry.mod_revision;
        let live = is_live(&entry);
        let previous = self.insert(Arc::clone(&entry), true);
        if previous.is_some() != live {
            let (block, _) = self.find(&entry.key);
            let block = &mut self.blocks[block];
            block.liveness_changed = revision;
        }
        let change = Change { entry, previous };
        self.history_bytes += change.cost();
        self.history.push_back(change);
    }

    /// Adds a version as the only one of its key, without history. For loading checkpoints.
    pub(super) fn load(&mut self, entry: Arc<Entry>) {
        let revision = entry.mod_revision;
        let (block, _) = self.find(&entry.key);
        self.blocks[block].liveness_changed = self.blocks[block].liveness_changed.max(revision);
        self.insert(entry, false);
    }

    /// Returns the version before, if it was live.
    fn insert(&mut self, entry: Arc<Entry>, keep_older: bool) -> Option<Arc<Entry>> {
        let live = is_live(&entry);
        let (at, slot) = self.find(&entry.key);
        let block = &mut self.blocks[at];
        match slot {
            Ok(slot) => {
                let slot = &mut block.slots[slot];
                let before = std::mem::replace(&mut slot.newest, entry);
                let previous = is_live(&before).then(|| Arc::clone(&before));
                if keep_older {
                    slot.older.push(before);
                }
                block.live = block.live + usize::from(live) - usize::from(previous.is_some());
                previous
            }
            Err(slot) => {
                block.live += usize::from(live);
                block.insert(slot, entry);
                if block.slots.len() > BLOCK_KEYS {
                    self.split(at, slot);
                }
                None
            }
        }
    }

    fn split(&mut self, at: usize, inserted: usize) {
        let block = &mut self.blocks[at];
        // Keys that arrive in order fill blocks completely instead of leaving them half empty.
        let middle = if inserted + 1 == block.slots.len() { inserted } else { block.slots.len() / 2 };
        let mut slots = Vec::with_capacity(BLOCK_KEYS + 1);
        slots.extend(block.slots.drain(middle..));
        let live = slots.iter().filter(|slot| is_live(&slot.newest)).count();
        block.live -= live;
        // A copy, because a slice would keep the whole version alive.
        let fence = Bytes::copy_from_slice(slots[0].key());
        let (skip, liveness_changed) = (block.skip, block.liveness_changed);
        block.measure();
        // The slots' numbers belong to the old common beginning until they are measured.
        let mut right = Block { fence, skip, slots, live, liveness_changed };
        right.measure();
        self.blocks.insert(at + 1, right);
    }

    /// Takes back everything after `revision`. For writes that could not be made durable.
    pub(super) fn roll_back(&mut self, revision: Revision) {
        while let Some(change) = self.history.pop_back_if(|change| change.revision() > revision) {
            self.history_bytes -= change.cost();
            let (at, slot) = self.find(&change.entry.key);
            let Ok(slot) = slot else { continue };
            let block = &mut self.blocks[at];
            let older = block.slots[slot].older.pop();
            block.live = block.live + usize::from(older.as_ref().is_some_and(|entry| is_live(entry)))
                - usize::from(is_live(&change.entry));
            match older {
                Some(older) => block.slots[slot].newest = older,
                None => self.remove(at, slot),
            }
        }
    }

    fn remove(&mut self, at: usize, slot: usize) {
        self.blocks[at].slots.remove(slot);
        // Neighbours that became small are joined, so that churn does not leave many tiny blocks.
        if self.blocks[at].slots.len() > BLOCK_KEYS / 4 || self.blocks.len() == 1 {
            return;
        }
        let left = at.min(self.blocks.len() - 2);
        if self.blocks[left].slots.len() + self.blocks[left + 1].slots.len() <= BLOCK_KEYS / 2 {
            let right = self.blocks.remove(left + 1);
            let block = &mut self.blocks[left];
            block.slots.extend(right.slots);
            // Numbers of two different beginnings: all are made anew.
            block.skip = usize::MAX;
            block.measure();
            block.live += right.live;
            block.liveness_changed = block.liveness_changed.max(right.liveness_changed);
        }
    }

    /// Forgets versions that nobody can ask for once history up to `bound` is gone, at most
    /// `most` changes at a time. What is returned is dropped by the caller, outside the lock.
    pub(super) fn prune(&mut self, bound: Revision, most: usize) -> Vec<Arc<Entry>> {
        let mut garbage = Vec::new();
        for _ in 0..most {
            let Some(change) = self.history.pop_front_if(|change| change.revision() <= bound) else { break };
            self.history_bytes -= change.cost();
            let (at, slot) = self.find(&change.entry.key);
            if let Ok(found) = slot {
                let slot = &mut self.blocks[at].slots[found];
                if slot.newest.mod_revision <= bound {
                    garbage.append(&mut slot.older);
                    slot.older = Vec::new();
                    if !is_live(&slot.newest) {
                        self.remove(at, found);
                    }
                } else {
                    let below = slot.older.partition_point(|entry| entry.mod_revision <= bound);
                    if below > 0 {
                        // The newest at the bound is still what a reader at the bound sees.
                        let keep = usize::from(is_live(&slot.older[below - 1]));
                        garbage.extend(slot.older.drain(..below - keep));
                    }
                }
            }
            garbage.push(change.entry);
            garbage.extend(change.previous);
        }
        if self.history.capacity() > 1024 && self.history.len() < self.history.capacity() / 4 {
            self.history.shrink_to(self.history.len() * 2);
        }
        garbage
    }

    /// Whether [`Index::prune`] would find something.
    pub(super) fn can_prune(&self, bound: Revision) -> bool {
        self.history.front().is_some_and(|change| change.revision() <= bound)
    }

    /// Live keys at the newest revision.
    pub(super) fn live(&self) -> usize {
        self.blocks.iter().map(|block| block.live).sum()
    }

    pub(super) fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    /// The revision up to which history must go so that at most `bytes` of it remain.
    pub(super) fn revision_to_shrink_to(&self, bytes: u64) -> Option<Revision> {
        let mut excess = self.history_bytes.checked_sub(bytes).filter(|&excess| excess > 0)?;
        for change in &self.history {
            let cost = change.cost();
            if cost >= excess {
                return Some(change.revision());
            }
            excess -= cost;
        }
        self.history.back().map(Change::revision)
    }

    /// Retained changes after `after` up to `upto`: whole revisions, `about` many or a few more.
    pub(super) fn changes(&self, after: Revision, upto: Revision, about: usize) -> impl Iterator<Item = &Change> {
        let start = self.history.partition_point(|change| change.revision() <= after);
        let mut last = None;
        self.history.range(start..).enumerate().map_while(move |(position, change)| {
            if change.revision() > upto || (position >= about && last != Some(change.revision())) {
                return None;
            }
            last = Some(change.revision());
            Some(change)
        })
    }

    /// Refuses revisions outside the history.
    pub(super) fn check_revision(&self, requested: Revision, current: Revision) -> Result<(), Error> {
        if requested > current {
            return Err(Error::FutureRevision { requested, current });
        }
        if requested < self.compacted {
            return Err(Error::Compacted { requested, compacted: self.compacted });
        }
        Ok(())
    }

    /// Collects live entries of `range` at `revision` into `entries` until there are `limit` of
    /// them or `budget` keys were looked at; returns the key to go on from if the range goes on.
    pub(super) fn scan(
        &self,
        range: &KeyRange,
        revision: Revision,
        limit: usize,
        budget: usize,
        entries: &mut Vec<Arc<Entry>>,
    ) -> Option<Bytes> {
        for (looked_at, slot) in self.slots_from(&range.start).enumerate() {
            if range.end.as_ref().is_some_and(|end| slot.key() >= &end[..]) {
                return None;
            }
            if entries.len() >= limit || looked_at >= budget {
                return Some(slot.newest.key.clone());
            }
            if let Some(entry) = slot.live_at(revision) {
                entries.push(Arc::clone(entry));
            }
        }
        None
    }

    /// Newest live entries of a range, visible to readers or not.
    pub(super) fn newest_in(&self, range: &KeyRange) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        self.scan(range, Revision(u64::MAX), usize::MAX, usize::MAX, &mut entries);
        entries
    }

    /// How many keys of `range` were live at `revision`.
    pub(super) fn count(&self, range: &KeyRange, revision: Revision) -> usize {
        let (first, slot) = self.find(&range.start);
        let mut from = slot.unwrap_or_else(|slot| slot);
        let mut count = 0;
        for (at, block) in self.blocks.iter().enumerate().skip(first) {
            let upto = match &range.end {
                None => block.slots.len(),
                Some(end) if at > first && block.fence >= *end => break,
                // The next fence shows that the whole block lies inside, without looking into it.
                Some(end) if self.blocks.get(at + 1).is_some_and(|next| next.fence <= *end) => block.slots.len(),
                Some(end) => block.slots.partition_point(|slot| slot.key() < &end[..]),
            };
            count += if from == 0 && upto == block.slots.len() && block.liveness_changed <= revision {
                block.live
            } else {
                let slots = block.slots.get(from..upto).unwrap_or_default();
                slots.iter().filter(|slot| slot.live_at(revision).is_some()).count()
            };
            from = 0;
        }
        count
    }

    fn slots_from(&self, key: &[u8]) -> impl Iterator<Item = &Slot> {
        let (first, slot) = self.find(key);
        let from = slot.unwrap_or_else(|slot| slot);
        let (head, tail) = (&self.blocks[first].slots[from..], &self.blocks[first + 1..]);
        head.iter().chain(tail.iter().flat_map(|block| &block.slots))
    }

    /// The block that a key belongs to, and its place there.
    fn find(&self, key: &[u8]) -> (usize, Result<usize, usize>) {
        let at = self.blocks.partition_point(|block| block.fence <= key).saturating_sub(1);
        (at, self.blocks[at].find(key))
    }
}

/// Copies key and value into one allocation of exactly their size.
///
/// The store keeps versions for long; a slice of a caller's larger buffer would keep all of it.
pub(super) fn pack(key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let both = Bytes::from(both);
    (both.slice(..key.len()), both.slice(key.len()..))
}

/// What replaces a deleted key.
pub(super) fn deletion(key: Bytes, revision: Revision) -> Arc<Entry> {
    Arc::new(Entry {
        key,
        value: Bytes::new(),
        create_revision: Revision(0),
        mod_revision: revision,
        version: 0,
        lease: None,
    })
}

//! The answer to the usual question, all instances of one service, encoded once for all who ask before it changes.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_catalog::{Key, Snapshot};

use crate::view;

/// As much of memory is spent on them.
const MOST_BYTES: usize = 8 << 20;
/// What an entry takes besides its text, roughly.
const OF_AN_ENTRY: usize = 128;

/// Encoded answers by service.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    texts: HashMap<Key, (u64, Bytes)>,
    bytes: usize,
}

impl Bodies {
    /// All instances of a service whose index is `state`, as JSON.
    pub(crate) fn of(&self, snapshot: &Snapshot, key: Key, state: u64) -> Bytes {
        if let Some((_, text)) = self.0.lock().texts.get(&key).filter(|(known, _)| *known == state) {
            return text.clone();
        }
        let instances = snapshot.instances_of(&key.namespace, &key.name);
        let text = Bytes::from(view::list(instances.into_iter().flat_map(|list| list.iter()).map(AsRef::as_ref)));
        let mut kept = self.0.lock();
        if instances.is_none() || text.len() > MOST_BYTES / 8 {
            // Nobody fills it with names that are not there, nor one service all of it.
            return text;
        }
        if kept.bytes > MOST_BYTES {
            // Which of them are asked for often shows soon enough.
            *kept = Kept::default();
        }
        kept.bytes += text.len() + OF_AN_ENTRY;
        if let Some((_, old)) = kept.texts.insert(key, (state, text.clone())) {
            kept.bytes -= old.len() + OF_AN_ENTRY;
        }
        text
    }
}

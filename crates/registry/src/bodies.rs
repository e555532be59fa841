//! The answer to the usual question, all instances of one service, encoded once for all who ask before it changes.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_catalog::{Key, Snapshot};

use crate::view;

/// As much of memory is spent on them, at most: what is asked for is kept, twice as long as it takes to fill half of this.
const MOST_BYTES: usize = 64 << 20;
/// What an entry takes besides its text, roughly.
const OF_AN_ENTRY: usize = 128;

/// Encoded answers by service.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Kept>);

/// Texts by the service and the index of the catalog that it had.
type Texts = HashMap<Key, (u64, Bytes)>;

#[derive(Debug, Default)]
struct Kept {
    young: Texts,
    /// Those that were young before; who is asked for is young again.
    old: Texts,
    /// What the young ones take.
    bytes: usize,
}

impl Kept {
    fn get(&mut self, key: &Key, state: u64) -> Option<Bytes> {
        if let Some((known, text)) = self.young.get(key) {
            return (*known == state).then(|| text.clone());
        }
        let (key, (known, text)) = self.old.remove_entry(key)?;
        if known != state {
            return None;
        }
        self.insert(key, state, text.clone());
        Some(text)
    }

    fn insert(&mut self, key: Key, state: u64, text: Bytes) {
        if self.bytes > MOST_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += text.len() + OF_AN_ENTRY;
        if let Some((_, replaced)) = self.young.insert(key, (state, text)) {
            self.bytes -= replaced.len() + OF_AN_ENTRY;
        }
    }
}

impl Bodies {
    /// All instances of a service whose index is `state`, as JSON.
    pub(crate) fn of(&self, snapshot: &Snapshot, key: Key, state: u64) -> Bytes {
        if let Some(text) = self.0.lock().get(&key, state) {
            return text;
        }
        let instances = snapshot.instances_of(&key.namespace, &key.name);
        let text = Bytes::from(view::list(instances.into_iter().flat_map(|list| list.iter()).map(AsRef::as_ref)));
        // Nobody fills it with names that are not there, nor one service all of it.
        if instances.is_some() && text.len() <= MOST_BYTES / 64 {
            self.0.lock().insert(key, state, text.clone());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_what_changed_goes() {
        let mut kept = Kept::default();
        let key = |number: usize| Key::new("default", format!("service-{number}"));
        let text = Bytes::from(vec![0; MOST_BYTES / 64]);
        kept.insert(key(0), 1, text.clone());
        for number in 1..200 {
            kept.insert(key(number), 1, text.clone());
            assert!(kept.get(&key(0), 1).is_some(), "asked for all the time, after {number} others");
            let all = kept.young.values().chain(kept.old.values());
            assert!(all.map(|(_, text)| text.len()).sum::<usize>() <= MOST_BYTES + 2 * text.len());
        }
        assert!(kept.get(&key(1), 1).is_none(), "never asked for");
        assert!(kept.get(&key(0), 2).is_none(), "it is another one now");
    }
}

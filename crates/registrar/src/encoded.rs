//! Answers to usual questions, encoded once for all who ask before what they tell of changes.

use std::collections::HashMap;
use std::hash::Hash;

use bytes::Bytes;
use parking_lot::Mutex;

/// As much of memory is spent on them, at most: what is asked for is kept, twice as long as it takes to fill half of this.
const MOST_BYTES: usize = 64 << 20;
/// One answer has no more than this.
const LARGEST: usize = MOST_BYTES / 64;
/// What an entry takes besides its text, roughly.
const OF_AN_ENTRY: usize = 128;

/// Encoded answers by question, each with the state of what it tells.
#[derive(Debug)]
pub struct Encoded<Q, S>(Mutex<Kept<Q, S>>);

#[derive(Debug)]
struct Kept<Q, S> {
    young: HashMap<Q, (S, Bytes)>,
    /// Those that were young before; who is asked for is young again.
    old: HashMap<Q, (S, Bytes)>,
    /// What the young ones take.
    bytes: usize,
}

impl<Q, S> Default for Kept<Q, S> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), bytes: 0 }
    }
}

impl<Q, S> Default for Encoded<Q, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Eq + Hash, S: PartialEq> Kept<Q, S> {
    fn get(&mut self, question: &Q, state: &S) -> Option<Bytes> {
        if let Some((known, text)) = self.young.get(question) {
            return (known == state).then(|| text.clone());
        }
        let (question, (known, text)) = self.old.remove_entry(question)?;
        if known != *state {
            return None;
        }
        self.insert(question, known, text.clone());
        Some(text)
    }

    fn insert(&mut self, question: Q, state: S, text: Bytes) {
        if self.bytes > MOST_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += text.len() + OF_AN_ENTRY;
        if let Some((_, replaced)) = self.young.insert(question, (state, text)) {
            self.bytes -= replaced.len() + OF_AN_ENTRY;
        }
    }
}

impl<Q: Eq + Hash, S: PartialEq> Encoded<Q, S> {
    /// The answer to a question about something in a state, made by `make` unless it is known.
    ///
    /// Only questions about what is there are to be asked: nobody is to fill this with names of nothing.
    pub fn get(&self, question: Q, state: S, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(text) = self.0.lock().get(&question, &state) {
            return text;
        }
        let text = make();
        // Nor is one of them to fill all of it.
        if text.len() <= LARGEST {
            self.0.lock().insert(question, state, text.clone());
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
        let text = Bytes::from(vec![0; LARGEST]);
        kept.insert(0, 1, text.clone());
        for number in 1..200 {
            kept.insert(number, 1, text.clone());
            assert!(kept.get(&0, &1).is_some(), "asked for all the time, after {number} others");
            let all = kept.young.values().chain(kept.old.values());
            assert!(all.map(|(_, text)| text.len()).sum::<usize>() <= MOST_BYTES + 2 * text.len());
        }
        assert!(kept.get(&1, &1).is_none(), "never asked for");
        assert!(kept.get(&0, &2).is_none(), "it is another one now");
    }
}

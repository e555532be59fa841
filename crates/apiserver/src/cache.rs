//! Answers that hold for a while.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use parking_lot::Mutex;
use portolan_base::Timestamp;

/// How many answers are kept; beyond that those that ended are swept out, then all.
const LIMIT: usize = 8192;

/// Answers by question, each with its end.
pub(crate) struct Cache<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cache").field("answers", &self.0.lock().len()).finish()
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// The answer to a question, if it still holds.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        self.0.lock().get(key).filter(|(_, end)| now < *end).map(|(value, _)| value.clone())
    }

    /// Remembers an answer until `end`.
    pub(crate) fn put(&self, key: K, value: V, end: Timestamp, now: Timestamp) {
        let mut answers = self.0.lock();
        if answers.len() >= LIMIT {
            answers.retain(|_, (_, end)| now < *end);
        }
        if answers.len() >= LIMIT {
            answers.clear();
        }
        answers.insert(key, (value, end));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_holds_until_its_end_and_the_cache_does_not_grow_for_ever() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let later = now + Duration::from_secs(10);
        let cache = Cache::default();
        cache.put(0, "a", later, now);
        assert_eq!(cache.get(&0, now), Some("a"));
        assert_eq!(cache.get(&0, later), None);
        for key in 1..=2 * LIMIT {
            cache.put(key, "b", later, now);
        }
        assert!(cache.0.lock().len() <= LIMIT);
        assert_eq!(cache.get(&(2 * LIMIT), now), Some("b"));
    }
}

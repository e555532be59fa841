//! Administrators' words about instances that are gone for the moment.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_client::Key;
use tokio::time::Instant;

use crate::wire::InstanceStatus;

/// How long a word outlives its instance, as with Netflix's server.
const KEPT: Duration = Duration::from_secs(3600);

/// Words by instance. An instance that registers again within the hour finds its override. The
/// object of a living instance has it too, so that a restart forgets only those of absent ones.
#[derive(Debug, Default)]
pub(crate) struct Overrides(Mutex<HashMap<Key, (InstanceStatus, String, Instant)>>);

impl Overrides {
    /// Remembers a word; [`InstanceStatus::Unknown`] forgets it.
    pub(crate) fn set(&self, key: &Key, id: &str, word: InstanceStatus, now: Instant) {
        let mut words = self.0.lock();
        words.retain(|_, (_, _, until)| *until > now);
        if word == InstanceStatus::Unknown {
            words.remove(key);
        } else {
            words.insert(key.clone(), (word, id.to_owned(), now + KEPT));
        }
    }

    /// The word about an instance, which is kept for another hour.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<InstanceStatus> {
        let mut words = self.0.lock();
        let (word, _, until) = words.get_mut(key)?;
        if *until <= now {
            words.remove(key);
            return None;
        }
        *until = now + KEPT;
        Some(*word)
    }

    /// All words, by the ids of their instances.
    pub(crate) fn all(&self, now: Instant) -> Vec<(String, InstanceStatus)> {
        let words = self.0.lock();
        words.values().filter(|(.., until)| *until > now).map(|(word, id, _)| (id.clone(), *word)).collect()
    }
}

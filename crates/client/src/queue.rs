//! Keys that need a look.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_api::typed::Object;
use tokio::sync::Notify;

/// An object's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Namespace; empty for kinds without.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of these parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<K: Object>(object: &K) -> Self {
        Self::new(object.namespace(), object.name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            formatter.write_str(&self.name)
        } else {
            write!(formatter, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Dirty keys, coalesced: a key that changes ten times before anyone looks is one key.
///
/// Cheap to clone; clones share the same set. Any number may add, one should take.
#[derive(Debug, Clone, Default)]
pub struct WorkQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    dirty: Mutex<BTreeSet<Key>>,
    wake: Notify,
}

impl WorkQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks keys as dirty.
    pub fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut dirty = self.0.dirty.lock();
        let before = dirty.len();
        dirty.extend(keys);
        let grew = dirty.len() > before;
        drop(dirty);
        if grew {
            self.0.wake.notify_one();
        }
    }

    /// Waits until keys are dirty and takes all of them.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&self) -> BTreeSet<Key> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            self.0.wake.notified().await;
        }
    }

    /// Takes what is dirty now, without waiting.
    pub fn take(&self) -> BTreeSet<Key> {
        std::mem::take(&mut *self.0.dirty.lock())
    }

    pub(crate) fn downgrade(&self) -> WeakQueue {
        WeakQueue(Arc::downgrade(&self.0))
    }
}

#[derive(Debug)]
pub(crate) struct WeakQueue(std::sync::Weak<Shared>);

impl WeakQueue {
    pub(crate) fn upgrade(&self) -> Option<WorkQueue> {
        self.0.upgrade().map(WorkQueue)
    }
}

/// The changed keys of one informer; begins with all keys.
#[derive(Debug)]
pub struct KeyFeed(pub(crate) WorkQueue);

impl KeyFeed {
    /// The keys that changed since the last call, without waiting.
    pub fn take(&mut self) -> BTreeSet<Key> {
        self.0.take()
    }

    /// Waits for changes and returns the keys that changed since the last call.
    pub async fn next(&mut self) -> BTreeSet<Key> {
        self.0.next().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_coalesce_until_taken() {
        let queue = WorkQueue::new();
        queue.add([Key::new("a", "x")]);
        queue.add([Key::new("a", "x"), Key::new("a", "y")]);
        assert_eq!(queue.next().await.len(), 2);
        assert!(queue.take().is_empty());
    }
}

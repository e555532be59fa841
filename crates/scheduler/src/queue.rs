//! Pods that wait for a node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Timestamp;
use portolan_client::Key;

/// Higher priority first, then first come first served.
type Rank = (std::cmp::Reverse<i32>, Option<Timestamp>, Key);

/// Pods to be tried now, and pods that fitted nowhere when last tried.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    ranks: HashMap<Key, Rank>,
    active: BTreeMap<Rank, Arc<Pod>>,
    parked: BTreeMap<Rank, Arc<Pod>>,
}

impl Pending {
    /// A pod is new or has changed: it is tried, again if need be.
    pub(crate) fn add(&mut self, pod: Arc<Pod>) {
        let key = Key::of(&*pod);
        self.remove(&key);
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let rank = (std::cmp::Reverse(priority), created, key.clone());
        self.ranks.insert(key, rank.clone());
        self.active.insert(rank, pod);
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(rank) = self.ranks.remove(key) {
            self.active.remove(&rank);
            self.parked.remove(&rank);
        }
    }

    /// The version of a waiting pod that is known here.
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Pod>> {
        let rank = self.ranks.get(key)?;
        self.active.get(rank).or_else(|| self.parked.get(rank))
    }

    /// The next pod to try.
    pub(crate) fn pop(&mut self) -> Option<Arc<Pod>> {
        let (rank, pod) = self.active.pop_first()?;
        self.ranks.remove(&rank.2);
        Some(pod)
    }

    /// A pod fitted nowhere: it waits until something changes.
    pub(crate) fn park(&mut self, pod: Arc<Pod>) {
        let key = Key::of(&*pod);
        self.add(pod);
        if let Some(rank) = self.ranks.get(&key)
            && let Some(pod) = self.active.remove(rank)
        {
            self.parked.insert(rank.clone(), pod);
        }
    }

    /// Something changed that may let pods fit.
    pub(crate) fn retry_all(&mut self) {
        self.active.append(&mut self.parked);
    }

    pub(crate) fn has_active(&self) -> bool {
        !self.active.is_empty()
    }
}

//! What this process wrote and its informers have not shown yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::Timestamp;

/// After this time a write that never showed up is no longer believed in.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Pods created and deleted, per owner, until the informer shows them so.
///
/// Without this, a plan made from a copy that is a moment old would create or delete twice.
#[derive(Debug, Default)]
pub(super) struct Pending {
    owners: Mutex<HashMap<String, HashMap<String, Write>>>,
}

#[derive(Debug)]
struct Write {
    kind: Kind,
    at: Timestamp,
}

#[derive(Debug)]
enum Kind {
    Created(Arc<Pod>),
    Deleted,
}

impl Pending {
    pub(super) fn created(&self, owner: &str, pod: Pod, now: Timestamp) {
        let uid = pod.uid().to_owned();
        self.insert(owner, uid, Write { kind: Kind::Created(Arc::new(pod)), at: now });
    }

    pub(super) fn deleted(&self, owner: &str, uid: &str, now: Timestamp) {
        self.insert(owner, uid.to_owned(), Write { kind: Kind::Deleted, at: now });
    }

    fn insert(&self, owner: &str, uid: String, write: Write) {
        self.owners.lock().entry(owner.to_owned()).or_default().insert(uid, write);
    }

    /// Forgets what was pending for an owner that is gone.
    pub(super) fn forget(&self, owner: &str) {
        self.owners.lock().remove(owner);
    }

    /// The informer's pods of an owner, corrected by what it has not seen yet; and when to look again
    /// in case it never will.
    pub(super) fn correct(
        &self,
        owner: &str,
        mut pods: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> (Vec<Arc<Pod>>, Option<Timestamp>) {
        let mut owners = self.owners.lock();
        let Some(writes) = owners.get_mut(owner) else { return (pods, None) };
        writes.retain(|uid, write| {
            let seen = pods.iter().find(|pod| pod.uid() == uid);
            let shown = match (&write.kind, seen) {
                (Kind::Created(_), seen) => seen.is_some(),
                (Kind::Deleted, seen) => seen.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()),
            };
            !shown && write.at + FORGET_AFTER > now
        });
        for (uid, write) in writes.iter() {
            match &write.kind {
                Kind::Created(pod) => pods.push(pod.clone()),
                Kind::Deleted => pods.retain(|pod| pod.uid() != uid),
            }
        }
        let again = writes.values().map(|write| write.at + FORGET_AFTER).min();
        if writes.is_empty() {
            owners.remove(owner);
        }
        (pods, again)
    }
}

//! Waiting for a change of one service without waking for all others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use portolan_base::Shutdown;
use portolan_catalog::{Key, Snapshot};
use tokio::sync::{Notify, watch};

/// Tells waiters of a service that its instances changed: a change of one service wakes nobody
/// who waits for another.
#[derive(Clone)]
pub struct Changes {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    waiters: Arc<Mutex<HashMap<Key, Weak<Notify>>>>,
}

impl Changes {
    /// Waits on a feed of snapshots; [`Changes::run`] must be running.
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { snapshots, waiters: Arc::default() }
    }

    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// A receiver for those who want to hear of every change.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Something to wait on; take it before reading [`Changes::current`], then no change is missed:
    /// `let waiter = changes.of(&key); let notified = waiter.notified(); notified.enable(); ...`
    pub fn of(&self, key: &Key) -> Arc<Notify> {
        let mut waiters = self.waiters.lock();
        if let Some(waiter) = waiters.get(key).and_then(Weak::upgrade) {
            return waiter;
        }
        let waiter = Arc::new(Notify::new());
        waiters.insert(key.clone(), Arc::downgrade(&waiter));
        waiter
    }

    /// Wakes waiters until shutdown is requested.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut snapshots = self.snapshots.clone();
        let mut seen = snapshots.borrow_and_update().clone();
        while matches!(shutdown.run(snapshots.changed()).await, Some(Ok(()))) {
            let newest = snapshots.borrow_and_update().clone();
            let mut waiters = self.waiters.lock();
            for key in newest.changed_instances(&seen).iter().chain(&newest.changed_services(&seen)) {
                match waiters.get(key).map(Weak::upgrade) {
                    Some(Some(waiter)) => waiter.notify_waiters(),
                    Some(None) => drop(waiters.remove(key)),
                    None => {}
                }
            }
            // Waiters that gave up leave their place behind.
            if waiters.len() > 2 * (newest.service_count() + 1024) {
                waiters.retain(|_, waiter| waiter.strong_count() > 0);
            }
            drop(waiters);
            seen = newest;
        }
    }
}

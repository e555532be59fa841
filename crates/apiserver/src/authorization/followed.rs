//! A part of the store, kept in memory in the form in which it is asked.
//!
//! There is no task behind it: whoever is about to ask first takes over what the watch has delivered. An
//! idle cluster does nothing. What this server wrote counts for the first request that comes after it;
//! what another server wrote, as soon as the store's watch has brought it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::{RwLock, RwLockReadGuard};
use portolan_store::{Entry, EventKind, KeyRange, RangeRequest, Revision, Store, Watch, WatchItem, WatchRequest};
use tokio::sync::Mutex;

use crate::status::Status;

/// Changes that may wait between two requests before everything is read again.
const BUFFER: usize = 4096;

/// How long a request waits for the watch to deliver what was written before it. The store delivers
/// within milliseconds; after this long it is broken, and everything is read again.
const DELIVERY: Duration = Duration::from_secs(1);

/// What is made of the objects.
pub(crate) trait View: Default + Send + Sync {
    /// Takes over one version of one object.
    fn take(&mut self, entry: &Entry, kind: EventKind);
}

/// A view of all objects below a prefix.
pub(crate) struct Followed<V> {
    store: Arc<dyn Store>,
    prefix: &'static str,
    following: Mutex<Option<Following>>,
    view: RwLock<V>,
    /// Newest revision at which this server wrote one of the objects.
    written: AtomicU64,
}

/// The watch, and how far the view has followed it.
struct Following {
    watch: Watch,
    seen: Revision,
}

impl<V: View> Followed<V> {
    pub(crate) fn new(store: Arc<dyn Store>, prefix: &'static str) -> Self {
        Self { store, prefix, following: Mutex::new(None), view: RwLock::default(), written: AtomicU64::new(0) }
    }

    /// Says that one of the objects was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.written.fetch_max(revision.0, Ordering::AcqRel);
    }

    /// The same, and takes over what was delivered until now.
    pub(crate) fn wrote(&self, revision: Revision) {
        self.expect(revision);
        self.drain();
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, V> {
        self.view.read()
    }

    /// Takes over everything that was written before now.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        let mut following = self.following.lock().await;
        loop {
            let Some(running) = following.as_mut() else {
                *following = Some(self.load().await?);
                continue;
            };
            let behind = running.seen.0 < self.written.load(Ordering::Acquire);
            let next = if behind {
                tokio::time::timeout(DELIVERY, running.watch.next()).await.unwrap_or(Some(WatchItem::Lagged))
            } else {
                match running.watch.next().now_or_never() {
                    None => return Ok(()),
                    Some(item) => item,
                }
            };
            if !self.take(running, next) {
                *following = None;
            }
        }
    }

    /// Takes over what has been delivered, without waiting, so that it does not pile up between two
    /// questions. Does nothing before the first question.
    pub(crate) fn drain(&self) {
        let Ok(mut following) = self.following.try_lock() else { return };
        while let Some(running) = following.as_mut() {
            let Some(next) = running.watch.next().now_or_never() else { return };
            if !self.take(running, next) {
                *following = None;
            }
        }
    }

    /// Takes over what the watch says; `false` if it has nothing more to say.
    fn take(&self, running: &mut Following, item: Option<WatchItem>) -> bool {
        match item {
            Some(WatchItem::Events(events)) => {
                let mut view = self.view.write();
                for event in &events {
                    view.take(&event.entry, event.kind);
                    running.seen = event.entry.mod_revision;
                }
            }
            Some(WatchItem::Progress(revision)) => running.seen = revision,
            Some(WatchItem::Lagged | WatchItem::Closed) | None => return false,
        }
        true
    }

    async fn load(&self) -> Result<Following, Status> {
        let range = KeyRange::prefix(self.prefix);
        let state = self.store.range(RangeRequest { range: range.clone(), revision: None, limit: 0 }).await?;
        let mut view = V::default();
        for entry in &state.entries {
            view.take(entry, EventKind::Put);
        }
        *self.view.write() = view;
        let request = WatchRequest { range, after: Some(state.revision), progress: None, buffer: BUFFER };
        Ok(Following { watch: self.store.watch(request).await?, seen: state.revision })
    }
}

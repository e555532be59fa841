//! The one loop under all controllers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use portolan_base::error::chain;
use portolan_base::{Backoff, Clock, Shutdown, Timestamp};
use portolan_client::{Error, Key, WorkQueue};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

/// Keys worked on at the same time; each waits mostly for answers.
const CONCURRENCY: usize = 16;
const FIRST_RETRY: Duration = Duration::from_millis(10);
const SLOWEST_RETRY: Duration = Duration::from_secs(60);

/// When a key needs another look, if nothing changes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Never.
    OnChange,
    /// At this time.
    At(Timestamp),
}

impl From<Option<Timestamp>> for Next {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::OnChange, Self::At)
    }
}

/// Brings one object towards what it should be.
#[async_trait]
pub(crate) trait Reconciler: Send + Sync + 'static {
    /// Name for logs.
    fn name(&self) -> &'static str;

    /// Looks at the latest state of an object and acts on it. Must be safe to repeat.
    ///
    /// # Errors
    /// A request failed; the driver tries again later.
    async fn reconcile(&self, key: &Key) -> Result<Next, Error>;
}

/// Reconciles the keys of a queue until shutdown.
///
/// A key is never worked on twice at the same time. Without work and due times this sleeps.
pub(crate) async fn drive(reconciler: &dyn Reconciler, queue: &WorkQueue, clock: &Arc<dyn Clock>, shutdown: &Shutdown) {
    let mut schedule = Schedule::default();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < CONCURRENCY {
            let Some(key) = schedule.start() else { break };
            running.push(async move {
                let outcome = reconciler.reconcile(&key).await;
                (key, outcome)
            });
        }
        tokio::select! {
            () = shutdown.requested() => return,
            keys = queue.next() => schedule.add(keys),
            Some(expired) = schedule.timers.next(), if !schedule.timers.is_empty() => {
                let key = expired.into_inner();
                schedule.due.remove(&key);
                schedule.add([key]);
            }
            Some((key, outcome)) = running.next(), if !running.is_empty() => {
                schedule.finish(reconciler.name(), key, outcome, clock.now());
            }
        }
    }
}

#[derive(Default)]
struct Schedule {
    waiting: BTreeSet<Key>,
    /// Being worked on; `true` if it must be looked at again afterwards.
    active: HashMap<Key, bool>,
    retries: HashMap<Key, Backoff>,
    timers: DelayQueue<Key>,
    due: HashMap<Key, delay_queue::Key>,
}

impl Schedule {
    fn add(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            match self.active.get_mut(&key) {
                Some(again) => *again = true,
                None => {
                    self.waiting.insert(key);
                }
            }
        }
    }

    fn start(&mut self) -> Option<Key> {
        let key = self.waiting.pop_first()?;
        self.cancel(&key);
        self.active.insert(key.clone(), false);
        Some(key)
    }

    fn finish(&mut self, name: &str, key: Key, outcome: Result<Next, Error>, now: Timestamp) {
        let again = self.active.remove(&key).unwrap_or_default();
        match outcome {
            Ok(next) => {
                self.retries.remove(&key);
                if let Next::At(at) = next {
                    self.after(key.clone(), Duration::try_from(at.duration_since(now)).unwrap_or_default());
                }
            }
            // Nothing is left to do until the namespace is gone, which changes every object in it.
            Err(error) if error.is_namespace_terminating() => {
                self.retries.remove(&key);
                tracing::debug!(controller = name, %key, "given up: {}", chain(&error));
            }
            Err(error) => {
                let backoff =
                    self.retries.entry(key.clone()).or_insert_with(|| Backoff::new(FIRST_RETRY, SLOWEST_RETRY));
                let delay = backoff.jittered();
                if error.is_conflict() || error.is_not_found() || error.is_already_exists() {
                    // Our view was behind; it catches up by itself.
                    tracing::debug!(controller = name, %key, "try again: {}", chain(&error));
                } else {
                    tracing::warn!(controller = name, %key, delay_ms = delay.as_millis(), "{}", chain(&error));
                }
                self.after(key.clone(), delay);
            }
        }
        if again {
            self.waiting.insert(key);
        }
    }

    fn after(&mut self, key: Key, delay: Duration) {
        self.cancel(&key);
        let timer = self.timers.insert(key.clone(), delay);
        self.due.insert(key, timer);
    }

    fn cancel(&mut self, key: &Key) {
        if let Some(timer) = self.due.remove(key) {
            self.timers.remove(&timer);
        }
    }
}

//! Which parts of the process are up, and why one is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The state of one part of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not serving yet; the text says what it waits for.
    Starting(String),
    /// Serving.
    Ready,
    /// Was up or tried to be; the text says what is wrong and what to do.
    Failed(String),
}

/// A shared board on which each part writes its state.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<BTreeMap<&'static str, State>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Readiness {
    /// Writes the state of `part`.
    pub fn set(&self, part: &'static str, state: State) {
        self.0.send_if_modified(|parts| parts.insert(part, state.clone()).as_ref() != Some(&state));
    }

    /// All parts in name order.
    pub fn parts(&self) -> BTreeMap<&'static str, State> {
        self.0.borrow().clone()
    }

    /// Wakes on every change of a part.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<&'static str, State>> {
        self.0.subscribe()
    }

    /// Whether every part that ever reported is ready.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().values().all(|state| *state == State::Ready)
    }

    /// Waits until `part` reports [`State::Ready`].
    pub async fn wait_for(&self, part: &'static str) {
        let mut watch = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = watch.wait_for(|parts| parts.get(part) == Some(&State::Ready)).await;
    }

    /// Waits until `part` is ready.
    ///
    /// # Errors
    /// It failed; the text says why.
    pub async fn settled(&self, part: &'static str) -> Result<(), String> {
        let mut watch = self.0.subscribe();
        let outcome = |parts: &BTreeMap<&'static str, State>| match parts.get(part) {
            Some(State::Ready) => Some(Ok(())),
            Some(State::Failed(reason)) => Some(Err(reason.clone())),
            _ => None,
        };
        // The sender lives in `self`, so the channel cannot close while this waits.
        let parts = watch.wait_for(|parts| outcome(parts).is_some()).await;
        parts.ok().and_then(|parts| outcome(&parts)).unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_wake_when_their_part_is_ready() {
        let readiness = Readiness::default();
        readiness.set("store", State::Starting("replaying the log".into()));
        assert!(!readiness.is_ready());
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait_for("store").await }
        });
        readiness.set("store", State::Ready);
        waiting.await.expect("the waiter does not panic");
        assert!(readiness.is_ready());
    }

    #[tokio::test]
    async fn a_part_that_fails_is_not_waited_for() {
        let readiness = Readiness::default();
        readiness.set("node", State::Starting("registering".into()));
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.settled("node").await }
        });
        readiness.set("node", State::Failed("port 10250 is taken".into()));
        let outcome = waiting.await.expect("the waiter does not panic");
        assert_eq!(outcome, Err("port 10250 is taken".into()));
    }
}

//! Until when sessions live. Pure: `now` is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct Deadline {
    patience: Duration,
    until: Instant,
    /// Where it stands in `order`; never later than `until`.
    listed: Instant,
}

/// Deadlines by session. A renewal moves one time stamp.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    deadlines: HashMap<String, Deadline>,
    order: BTreeSet<(Instant, String)>,
}

impl Deadlines {
    /// Waits this long for a session from now on.
    pub(crate) fn grant(&mut self, id: &str, patience: Duration, now: Instant) {
        self.end(id);
        let until = now + patience;
        self.deadlines.insert(id.to_owned(), Deadline { patience, until, listed: until });
        self.order.insert((until, id.to_owned()));
    }

    /// Whether a session has a deadline.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.deadlines.contains_key(id)
    }

    /// Heard of a session.
    pub(crate) fn renew(&mut self, id: &str, now: Instant) {
        if let Some(deadline) = self.deadlines.get_mut(id) {
            deadline.until = now + deadline.patience;
        }
    }

    /// Forgets a session.
    pub(crate) fn end(&mut self, id: &str) {
        if let Some(deadline) = self.deadlines.remove(id) {
            self.order.remove(&(deadline.listed, id.to_owned()));
        }
    }

    /// Takes out the sessions that were not heard of in time.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        while self.order.first().is_some_and(|(listed, _)| *listed <= now) {
            let Some((_, id)) = self.order.pop_first() else { break };
            let Some(deadline) = self.deadlines.get_mut(&id) else { continue };
            if deadline.until <= now {
                self.deadlines.remove(&id);
                expired.push(id);
            } else {
                deadline.listed = deadline.until;
                self.order.insert((deadline.until, id));
            }
        }
        expired
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(listed, _)| *listed)
    }
}

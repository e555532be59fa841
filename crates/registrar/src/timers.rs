//! Who must be heard of again, and by when. Pure: `now` is an argument.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct Timer {
    ttl: Duration,
    until: Instant,
    /// Where it stands in `order`, never later than `until`; nowhere once it has run out.
    listed: Option<Instant>,
}

/// What a sign of life met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) ttl: Duration,
    /// Time since the sign before.
    pub(crate) silence: Duration,
    /// Whether the time had run out already.
    pub(crate) late: bool,
}

/// Many timers. A sign of life moves one time stamp; the order is put right only when a timer comes
/// up. One that ran out stays until it is ended, so that a late sign is known as such.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    timers: HashMap<K, Timer>,
    order: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { timers: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Timers<K> {
    /// Starts a timer, or starts it anew with this time.
    pub(crate) fn start(&mut self, key: &K, ttl: Duration, now: Instant) {
        self.end(key);
        let until = now + ttl;
        self.timers.insert(key.clone(), Timer { ttl, until, listed: Some(until) });
        self.order.insert((until, key.clone()));
    }

    /// Starts a timer unless there is one with this time already.
    pub(crate) fn ensure(&mut self, key: &K, ttl: Duration, now: Instant) {
        if self.timers.get(key).is_none_or(|timer| timer.ttl != ttl) {
            self.start(key, ttl, now);
        }
    }

    /// Notes a sign of life; `None` if there is no such timer.
    pub(crate) fn heard(&mut self, key: &K, now: Instant) -> Option<Sign> {
        let timer = self.timers.get_mut(key)?;
        let silence = (now + timer.ttl).saturating_duration_since(timer.until);
        let sign = Sign { ttl: timer.ttl, silence, late: timer.listed.is_none() };
        timer.until = now + timer.ttl;
        if sign.late {
            timer.listed = Some(timer.until);
            self.order.insert((timer.until, key.clone()));
        }
        Some(sign)
    }

    /// How long a timer still runs; `None` if there is no such timer.
    pub(crate) fn remaining(&self, key: &K, now: Instant) -> Option<Duration> {
        Some(self.timers.get(key)?.until.saturating_duration_since(now))
    }

    /// How long nothing was heard.
    pub(crate) fn silence(&self, key: &K, now: Instant) -> Option<Duration> {
        let timer = self.timers.get(key)?;
        Some((now + timer.ttl).saturating_duration_since(timer.until))
    }

    /// Whether a timer has run out.
    pub(crate) fn has_run_out(&self, key: &K) -> bool {
        self.timers.get(key).is_some_and(|timer| timer.listed.is_none())
    }

    /// Lists a timer that ran out again, to be looked at in its own time or in `most`, whichever is
    /// sooner; it stays silent.
    pub(crate) fn again(&mut self, key: &K, most: Duration, now: Instant) {
        if let Some(timer) = self.timers.get_mut(key).filter(|timer| timer.listed.is_none()) {
            let at = now + timer.ttl.min(most);
            timer.listed = Some(at);
            self.order.insert((at, key.clone()));
        }
    }

    /// Forgets a timer.
    pub(crate) fn end(&mut self, key: &K) -> bool {
        let Some(timer) = self.timers.remove(key) else { return false };
        if let Some(listed) = timer.listed {
            self.order.remove(&(listed, key.clone()));
        }
        true
    }

    /// The timers that have run out since the last call.
    pub(crate) fn run_out(&mut self, now: Instant) -> Vec<K> {
        let mut ended = Vec::new();
        while let Some((listed, _)) = self.order.first()
            && *listed <= now
        {
            let Some((_, key)) = self.order.pop_first() else { break };
            let Some(timer) = self.timers.get_mut(&key) else { continue };
            if timer.until <= now {
                timer.listed = None;
                ended.push(key);
            } else {
                timer.listed = Some(timer.until);
                self.order.insert((timer.until, key));
            }
        }
        ended
    }

    /// Moves all timers that run into the future.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.order.clear();
        for (key, timer) in &mut self.timers {
            timer.until += by;
            if timer.listed.is_some() {
                timer.listed = Some(timer.until);
                self.order.insert((timer.until, key.clone()));
            }
        }
    }

    /// When to look again; `None` if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(listed, _)| *listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_timer_runs_out_one_time_to_live_after_the_last_sign() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.start(&"a", seconds(10), start);
        let sign = Sign { ttl: seconds(10), silence: seconds(8), late: false };
        assert_eq!(timers.heard(&"a", start + seconds(8)), Some(sign));
        assert!(timers.run_out(start + seconds(17)).is_empty());
        assert_eq!(timers.next(), Some(start + seconds(18)));
        assert_eq!(timers.run_out(start + seconds(18)), ["a"]);
        assert!(timers.has_run_out(&"a") && timers.run_out(start + seconds(100)).is_empty());
        let late = Sign { ttl: seconds(10), silence: seconds(22), late: true };
        assert_eq!(timers.heard(&"a", start + seconds(30)), Some(late));
        assert_eq!(timers.next(), Some(start + seconds(40)));
        assert!(timers.end(&"a") && !timers.end(&"a"));
        assert_eq!((timers.heard(&"a", start), timers.next()), (None, None));
    }

    #[test]
    fn seeing_it_again_does_not_prolong_a_timer_but_a_new_time_to_live_does() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.ensure(&"a", seconds(10), start);
        timers.ensure(&"a", seconds(10), start + seconds(5));
        assert_eq!(timers.next(), Some(start + seconds(10)));
        timers.ensure(&"a", seconds(20), start + seconds(5));
        assert_eq!(timers.next(), Some(start + seconds(25)));
        timers.postpone(seconds(7));
        assert_eq!(timers.next(), Some(start + seconds(32)));
    }
}

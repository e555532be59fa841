//! The leases of registrations, by service. Pure: `now` is an argument.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use portolan_client::Key;
use tokio::time::Instant;

use crate::policy::{Decision, PartitionPolicy, Stage, Standing};
use crate::timers::Timers;

/// A renewal this many times later than usual counts as missed, in halves.
const USUAL_DELAY_HALVES: u32 = 3;

/// What keeps a lease from running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Renewals in time.
    Renewals,
    /// The connection of this number, or none that is open.
    Connection(Option<u64>),
    /// A session; whether it is known to live.
    Session(bool),
}

impl Holder {
    /// Whether the time of the lease stands still.
    fn is_there(self) -> bool {
        matches!(self, Self::Connection(Some(_)) | Self::Session(true))
    }
}

#[derive(Debug)]
struct Lease {
    /// Namespace and service.
    service: Arc<Key>,
    holder: Holder,
    /// The longest time between two renewals of late, in milliseconds; 0 before there were two.
    habit_ms: u32,
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    spared: bool,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) ttl: Duration,
    /// The registration was kept although the lease had run out.
    pub(crate) was_held: bool,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    timers: Timers<Arc<Key>>,
    leases: HashMap<Arc<Key>, Lease>,
    services: HashMap<Arc<Key>, HashSet<Arc<Key>>>,
}

impl Leases {
    /// Grants a lease, or makes it full again. Returns whether its registration was held.
    pub(crate) fn grant(&mut self, key: &Key, service: &str, ttl: Duration, now: Instant) -> bool {
        let shared = self.join(key, service, Holder::Renewals);
        self.timers.start(&shared, ttl, now);
        self.leases.get_mut(&shared).is_some_and(|lease| lease.held.take().is_some())
    }

    /// Grants a lease unless one with this time to live runs already.
    pub(crate) fn ensure(&mut self, key: &Key, service: &str, ttl: Duration, now: Instant) {
        let shared = self.join(key, service, Holder::Renewals);
        self.timers.ensure(&shared, ttl, now);
    }

    /// Holds a registration by something that is there, or gives it `grace` to come. Returns whether it was held
    /// although the lease that it had before ran out.
    pub(crate) fn hold_by(&mut self, key: &Key, service: &str, holder: Holder, grace: Duration, now: Instant) -> bool {
        let shared = self.join(key, service, holder);
        if holder.is_there() {
            self.timers.end(&shared);
        } else {
            self.timers.ensure(&shared, grace, now);
        }
        self.leases.get_mut(&shared).is_some_and(|lease| lease.held.take().is_some())
    }

    /// The connection that held a registration ended; one that was replaced by another held nothing.
    pub(crate) fn disconnected(&mut self, key: &Key, connection: u64, grace: Duration, now: Instant) {
        let Some((shared, _)) = self.leases.get_key_value(key) else { return };
        let shared = shared.clone();
        if let Some(lease) = self.leases.get_mut(key)
            && lease.holder == Holder::Connection(Some(connection))
        {
            lease.holder = Holder::Connection(None);
            self.timers.start(&shared, grace, now);
        }
    }

    /// What keeps a lease from running out; `None` if there is no such lease.
    pub(crate) fn holder(&self, key: &Key) -> Option<Holder> {
        self.leases.get(key).map(|lease| lease.holder)
    }

    fn join(&mut self, key: &Key, service: &str, holder: Holder) -> Arc<Key> {
        if let Some((shared, lease)) = self.leases.get_key_value(key) {
            if lease.service.name == service {
                let shared = shared.clone();
                if let Some(lease) = self.leases.get_mut(key) {
                    lease.holder = holder;
                }
                return shared;
            }
            self.end(key);
        }
        let (shared, service) = (Arc::new(key.clone()), Key::new(key.namespace.as_str(), service));
        let service = match self.services.get_key_value(&service) {
            Some((known, _)) => known.clone(),
            None => Arc::new(service),
        };
        self.services.entry(service.clone()).or_default().insert(shared.clone());
        self.leases.insert(shared.clone(), Lease { service, holder, habit_ms: 0, held: None });
        shared
    }

    /// Makes a lease full again; `None` if there is no such lease that is renewed.
    pub(crate) fn renew(&mut self, key: &Key, now: Instant) -> Option<Renewal> {
        let (shared, lease) = self.leases.get_key_value(key)?;
        if lease.holder != Holder::Renewals {
            return None;
        }
        let sign = self.timers.heard(shared, now)?;
        let lease = self.leases.get_mut(key)?;
        // The silence of a fault is no habit.
        if sign.silence <= sign.ttl {
            let silence = u32::try_from(sign.silence.as_millis()).unwrap_or(u32::MAX);
            lease.habit_ms = silence.max(lease.habit_ms - lease.habit_ms / 8);
        }
        Some(Renewal { ttl: sign.ttl, was_held: lease.held.take().is_some() })
    }

    /// How long a lease still runs; `None` if there is no such lease, or none that runs.
    pub(crate) fn remaining(&self, key: &Key, now: Instant) -> Option<Duration> {
        let (shared, _) = self.leases.get_key_value(key)?;
        self.timers.remaining(shared, now)
    }

    /// Whether a registration is kept although its lease ran out.
    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.leases.get(key).is_some_and(|lease| lease.held.is_some())
    }

    /// Takes a registration for held again, because its mark could not be cleared.
    pub(crate) fn hold_again(&mut self, key: &Key, now: Instant) {
        if let Some(lease) = self.leases.get_mut(key) {
            lease.held = Some(Held { since: now, spared: true });
        }
    }

    /// Forgets a lease.
    pub(crate) fn end(&mut self, key: &Key) {
        let Some((shared, lease)) = self.leases.remove_entry(key) else { return };
        self.timers.end(&shared);
        if let Some(members) = self.services.get_mut(&lease.service) {
            members.remove(&shared);
            if members.is_empty() {
                self.services.remove(&lease.service);
            }
        }
    }

    /// Why a registration is kept although its lease ran out: since when, and how its service and all leases stand.
    pub(crate) fn why_held(&self, key: &Key, now: Instant) -> Option<(Duration, Standing, Standing)> {
        let lease = self.leases.get(key)?;
        let members = self.services.get(&lease.service);
        let of_service = members.map_or_else(Standing::default, |keys| self.standing(keys.iter(), now));
        Some((now - lease.held?.since, of_service, self.standing(self.leases.keys(), now)))
    }

    /// Decides over the leases that ran out; those that end are forgotten.
    pub(crate) fn judge(&mut self, policy: &PartitionPolicy, now: Instant) -> Vec<(Arc<Key>, Decision)> {
        let ended = self.timers.run_out(now);
        let mut standings: HashMap<Arc<Key>, Standing> = HashMap::new();
        let of_all = if ended.is_empty() { Standing::default() } else { self.standing(self.leases.keys(), now) };
        let mut decisions = Vec::with_capacity(ended.len());
        for key in ended {
            let Some(lease) = self.leases.get(&key) else { continue };
            if lease.holder != Holder::Renewals {
                // That a connection or a session ended is no silence: somebody said so.
                decisions.push((key, Decision::End));
                continue;
            }
            let of_service = *standings.entry(lease.service.clone()).or_insert_with(|| {
                self.services.get(&lease.service).map_or_else(Standing::default, |keys| self.standing(keys.iter(), now))
            });
            let stage = match lease.held {
                None => Stage::Fresh,
                Some(Held { since, spared: false }) => Stage::Held(now - since),
                Some(Held { since, spared: true }) => Stage::Spared(now - since),
            };
            decisions.push((key, policy.decide(stage, of_service, of_all)));
        }
        for (key, decision) in &decisions {
            let Some(lease) = self.leases.get_mut(key) else { continue };
            let since = lease.held.map_or(now, |held| held.since);
            match decision {
                Decision::End | Decision::GiveUp => self.end(key),
                Decision::Hold | Decision::Spare => {
                    lease.held = Some(Held { since, spared: *decision == Decision::Spare });
                    // Looked at again in one lease, or when it has been kept too long.
                    let left = (since + policy.longest_hold).saturating_duration_since(now);
                    self.timers.again(key, left, now);
                }
            }
        }
        decisions
    }

    fn standing<'a>(&self, keys: impl Iterator<Item = &'a Arc<Key>>, now: Instant) -> Standing {
        let mut standing = Standing::default();
        for key in keys {
            // What is not renewed is not expected to be heard of.
            let Some(lease) = self.leases.get(key).filter(|lease| lease.holder == Holder::Renewals) else { continue };
            standing.leases += 1;
            standing.silent += usize::from(self.is_silent(key, lease, now));
        }
        standing
    }

    fn is_silent(&self, key: &Arc<Key>, lease: &Lease, now: Instant) -> bool {
        if lease.held.is_some() || self.timers.has_run_out(key) {
            return true;
        }
        let usual = Duration::from_millis(lease.habit_ms.into()) * USUAL_DELAY_HALVES / 2;
        !usual.is_zero() && self.timers.silence(key, now).is_some_and(|silence| silence > usual)
    }

    /// Moves all leases that run into the future.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.timers.postpone(by);
    }

    /// When to look again; `None` if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    /// Renews every ten seconds, each at a moment of its own, those that `renews` names at each step;
    /// returns what was decided, in seconds, up to `end`.
    fn run(leases: usize, end: u64, renews: impl Fn(usize, u64) -> bool) -> Vec<(u64, usize, Decision)> {
        let (start, policy) = (Instant::now(), PartitionPolicy::default());
        let mut table = Leases::default();
        let key = |number: usize| Key::new("default", format!("i{number}"));
        for number in 0..leases {
            table.grant(&key(number), "web", TTL, start);
        }
        let mut decided = Vec::new();
        for second in 1..=end {
            let now = start + Duration::from_secs(second);
            for number in
                (0..leases).filter(|number| (second + *number as u64).is_multiple_of(10) && renews(*number, second))
            {
                table.renew(&key(number), now);
            }
            for (key, decision) in table.judge(&policy, now) {
                let number = key.name[1..].parse().expect("a number");
                decided.push((second, number, decision));
            }
        }
        decided
    }

    #[test]
    fn a_crashed_client_ends_one_lease_later() {
        // Number 7 renews at 3, 13, ..., 93 for the last time.
        assert_eq!(run(100, 300, |number, second| number != 7 || second < 100), [(123, 7, Decision::End)]);
    }

    #[test]
    fn a_third_cut_off_is_held_from_the_first_on_and_forgotten_by_all_when_it_returns() {
        let decided = run(100, 900, |number, second| number >= 30 || !(100..400).contains(&second));
        let kept = |decision: &Decision| matches!(decision, Decision::Hold | Decision::Spare);
        assert!(decided.iter().all(|(_, _, decision)| kept(decision)), "{decided:?}");
        let held: HashSet<usize> = decided.iter().map(|(_, number, _)| *number).collect();
        assert_eq!(held, (0..30).collect());
    }

    #[test]
    fn the_dead_among_those_cut_off_end_after_the_fault() {
        // Thirty are cut off at 100; all but two return at 400.
        let decided = run(100, 900, |number, second| number >= 30 || second < 100 || (second >= 400 && number >= 2));
        let ended: Vec<_> = decided.iter().filter(|(_, _, decision)| *decision == Decision::End).collect();
        assert_eq!(ended.iter().map(|(_, number, _)| *number).collect::<HashSet<_>>(), HashSet::from([0, 1]));
        // One look at the end of the fault, and one lease more.
        assert!(ended.iter().all(|(second, ..)| (430..=490).contains(second)), "{ended:?}");
    }

    #[test]
    fn what_never_returns_is_given_up() {
        let decided = run(10, 2000, |number, second| number >= 5 || second < 100);
        let given_up: Vec<_> = decided.iter().filter(|(_, _, decision)| *decision == Decision::GiveUp).collect();
        // The last of them are no longer too many.
        assert!(!given_up.is_empty());
        let ended = decided.iter().filter(|(_, _, decision)| matches!(decision, Decision::GiveUp | Decision::End));
        let mut last = 0;
        let numbers: HashSet<usize> = ended
            .map(|(second, number, _)| {
                last = last.max(*second);
                *number
            })
            .collect();
        assert_eq!(numbers, (0..5).collect());
        assert!(last <= 100 + 30 + 900 + 60, "{last}");
    }
}

//! Leases: who must be heard of again, and by when. Pure: `now` is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use portolan_client::Key;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    ttl: Duration,
    until: Instant,
    /// Where it stands in `order`; never later than `until`.
    listed: Instant,
}

/// All leases. A renewal moves one time stamp; the order is put right only when a lease comes up.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: HashMap<Key, Lease>,
    order: BTreeSet<(Instant, Key)>,
}

impl Leases {
    /// Grants a lease, or changes the time to live of one; either way it is full again.
    pub(crate) fn grant(&mut self, key: &Key, ttl: Duration, now: Instant) {
        self.end(key);
        let until = now + ttl;
        self.leases.insert(key.clone(), Lease { ttl, until, listed: until });
        self.order.insert((until, key.clone()));
    }

    /// Grants a lease unless one with this time to live runs already.
    pub(crate) fn ensure(&mut self, key: &Key, ttl: Duration, now: Instant) {
        if self.leases.get(key).is_none_or(|lease| lease.ttl != ttl) {
            self.grant(key, ttl, now);
        }
    }

    /// Makes a lease full again. Returns its time to live; `None` if there is no such lease.
    pub(crate) fn renew(&mut self, key: &Key, now: Instant) -> Option<Duration> {
        let lease = self.leases.get_mut(key)?;
        lease.until = now + lease.ttl;
        Some(lease.ttl)
    }

    /// How long a lease still runs; `None` if there is no such lease.
    pub(crate) fn remaining(&self, key: &Key, now: Instant) -> Option<Duration> {
        Some(self.leases.get(key)?.until.saturating_duration_since(now))
    }

    /// Forgets a lease.
    pub(crate) fn end(&mut self, key: &Key) {
        if let Some(lease) = self.leases.remove(key) {
            self.order.remove(&(lease.listed, key.clone()));
        }
    }

    /// Takes out the leases that have ended.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Key> {
        let mut expired = Vec::new();
        while let Some((listed, _)) = self.order.first()
            && *listed <= now
        {
            let Some((_, key)) = self.order.pop_first() else { break };
            let Some(lease) = self.leases.get_mut(&key) else { continue };
            if lease.until <= now {
                self.leases.remove(&key);
                expired.push(key);
            } else {
                lease.listed = lease.until;
                self.order.insert((lease.until, key));
            }
        }
        expired
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
    fn a_lease_ends_one_time_to_live_after_its_last_renewal() {
        let (start, key) = (Instant::now(), Key::new("default", "a"));
        let mut leases = Leases::default();
        leases.grant(&key, seconds(10), start);
        assert_eq!(leases.renew(&key, start + seconds(8)), Some(seconds(10)));
        assert!(leases.expired(start + seconds(17)).is_empty());
        assert_eq!(leases.next(), Some(start + seconds(18)));
        assert_eq!(leases.expired(start + seconds(18)), vec![key.clone()]);
        assert_eq!(leases.renew(&key, start + seconds(18)), None);
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn seeing_an_instance_again_does_not_prolong_its_lease_but_a_new_time_to_live_does() {
        let (start, key) = (Instant::now(), Key::new("default", "a"));
        let mut leases = Leases::default();
        leases.ensure(&key, seconds(10), start);
        leases.ensure(&key, seconds(10), start + seconds(5));
        assert_eq!(leases.next(), Some(start + seconds(10)));
        leases.ensure(&key, seconds(20), start + seconds(5));
        assert_eq!(leases.next(), Some(start + seconds(25)));
        leases.end(&key);
        assert_eq!(leases.expired(start + seconds(100)), []);
    }
}

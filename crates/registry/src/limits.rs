//! How often one client may ask. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Error;

/// Clients that are remembered, in each of two generations.
const MOST_CLIENTS: usize = 8 << 10;

/// How fast something may happen: `burst` at once, `per_second` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// How often each client address may ask. An item of a batch counts like a request of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests of any kind.
    pub requests: Rate,
    /// Registrations and deregistrations, which are writes.
    pub registrations: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: Rate { per_second: 1000, burst: 2000 }, registrations: Rate { per_second: 200, burst: 2000 } }
    }
}

/// Fills with time up to the burst; each request takes from it.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), filled: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * f64::from(rate.per_second)).min(f64::from(rate.burst));
        self.filled = now;
    }

    /// How long until there are so many tokens; zero if they are there.
    fn wait(&self, rate: Rate, wanted: u32) -> Duration {
        let missing = (f64::from(wanted) - self.tokens).max(0.0);
        // A rate of zero, or a wish above the burst, is never granted; an hour says so politely.
        Duration::try_from_secs_f64(missing / f64::from(rate.per_second))
            .unwrap_or(Duration::MAX)
            .min(Duration::from_secs(3600))
    }
}

/// What one client has left.
#[derive(Debug, Clone, Copy)]
struct Account {
    requests: Bucket,
    registrations: Bucket,
}

/// Two generations of clients: when the young one is full it becomes the old one, and the old one, of
/// clients that have not asked since, is forgotten.
#[derive(Debug, Default)]
struct Accounts {
    young: HashMap<IpAddr, Account>,
    old: HashMap<IpAddr, Account>,
}

/// Counts what clients ask against the limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    most_clients: usize,
    accounts: Mutex<Accounts>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, most_clients: MOST_CLIENTS, accounts: Mutex::default() }
    }

    /// Takes so many requests and registrations from what a client has left: all of them, or none and
    /// the error says when to come back.
    pub(crate) fn take(&self, client: IpAddr, requests: u32, registrations: u32, now: Instant) -> Result<(), Error> {
        let Limits { requests: request_rate, registrations: registration_rate } = self.limits;
        let mut accounts = self.accounts.lock();
        let accounts = &mut *accounts;
        let known = accounts.young.get(&client).or_else(|| accounts.old.get(&client)).copied();
        let mut account = known.unwrap_or_else(|| Account {
            requests: Bucket::full(request_rate, now),
            registrations: Bucket::full(registration_rate, now),
        });
        account.requests.fill(request_rate, now);
        account.registrations.fill(registration_rate, now);
        let waits = [
            ("requests", account.requests.wait(request_rate, requests)),
            ("registrations", account.registrations.wait(registration_rate, registrations)),
        ];
        let longest = waits.into_iter().max_by_key(|(_, wait)| *wait).filter(|(_, wait)| !wait.is_zero());
        if longest.is_none() {
            account.requests.tokens -= f64::from(requests);
            account.registrations.tokens -= f64::from(registrations);
        }
        if accounts.young.len() >= self.most_clients && !accounts.young.contains_key(&client) {
            accounts.old = std::mem::take(&mut accounts.young);
        }
        accounts.young.insert(client, account);
        longest.map_or(Ok(()), |(what, wait)| Err(Error::TooMany { what, wait }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate() {
        let limits =
            Limits { requests: Rate { per_second: 10, burst: 4 }, registrations: Rate { per_second: 1, burst: 2 } };
        let (limiter, start) = (Limiter::new(limits), Instant::now());
        // Who, when in milliseconds, requests, registrations, how long to wait in milliseconds.
        let cases = [
            (1, 0, 1, 1, None),
            (1, 0, 1, 1, None),
            (1, 0, 1, 1, Some(1000)),
            (2, 0, 1, 1, None),
            (1, 0, 2, 0, None),
            (1, 0, 1, 0, Some(100)),
            (1, 100, 1, 0, None),
            (1, 1000, 1, 1, None),
            (1, 60_000, 5, 0, Some(100)),
            (1, 60_000, 4, 2, None),
        ];
        for (who, after, requests, registrations, expected) in cases {
            let now = start + Duration::from_millis(after);
            let wait = match limiter.take(client(who), requests, registrations, now) {
                Ok(()) => None,
                Err(Error::TooMany { wait, .. }) => Some((wait.as_secs_f64() * 1000.0).round() as u64),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(wait, expected, "{who} after {after} ms, {requests} and {registrations}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_those_who_ask_are_not_forgotten() {
        let limits = Limits { requests: Rate { per_second: 1, burst: 1 }, ..Limits::default() };
        let limiter = Limiter { most_clients: 100, ..Limiter::new(limits) };
        let now = Instant::now();
        assert!(limiter.take(client(0), 1, 0, now).is_ok());
        for stranger in 1..1000 {
            assert!(limiter.take(client(stranger), 1, 0, now).is_ok());
            assert!(limiter.take(client(0), 1, 0, now).is_err(), "after {stranger} strangers");
        }
        let accounts = limiter.accounts.lock();
        assert!(accounts.young.len() <= 100 && accounts.old.len() <= 100);
    }
}

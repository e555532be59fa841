//! How much one client may ask for: clients that misbehave hurt only themselves.
//!
//! Pure but for the table: the time is an argument.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::typed::ServiceInstance;
use portolan_client::Key;
use tokio::time::Instant;

/// Clients that are remembered, in each of two generations.
const MOST_CLIENTS: usize = 8 << 10;
/// How often the registrations of a client that has too many are gone through.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How fast something may happen: `burst` at once, `per_second` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// How much each client may ask for, in all dialects together. An item of a batch counts like a request of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests of any kind.
    pub requests: Rate,
    /// Registrations, deregistrations and other writes.
    pub registrations: Rate,
    /// Requests that wait for a change, at the same time.
    pub waiting: u32,
    /// Instances that are there because this client registered them.
    pub instances: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: Rate { per_second: 1000, burst: 2000 },
            registrations: Rate { per_second: 200, burst: 2000 },
            waiting: 4096,
            instances: 20_000,
        }
    }
}

impl Limits {
    /// No limits.
    pub const OFF: Self = Self {
        requests: Rate { per_second: u32::MAX, burst: u32::MAX },
        registrations: Rate { per_second: u32::MAX, burst: u32::MAX },
        waiting: u32::MAX,
        instances: usize::MAX,
    };
}

impl std::str::FromStr for Limits {
    type Err = String;

    /// Reads `off`, or the limits that are not the default: `requests=1000,registrations=200,waiting=4096,instances=20000`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let mut limits = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let form =
                || format!("{part:?}: give `off`, or NAME=NUMBER of requests, registrations, waiting, instances");
            let (name, number) = part.split_once('=').ok_or_else(form)?;
            let number: u32 = number.trim().parse().map_err(|_| form())?;
            let rate = Rate { per_second: number, burst: number.saturating_mul(2) };
            match name.trim() {
                "requests" => limits.requests = rate,
                "registrations" => limits.registrations = rate,
                "waiting" => limits.waiting = number,
                "instances" => limits.instances = number as usize,
                _ => return Err(form()),
            }
        }
        Ok(limits)
    }
}

/// Whom limits are for: who the cluster knows, else where it asks from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// An address that may talk without credentials.
    Address(IpAddr),
    /// A user, wherever it asks from.
    User(Arc<str>),
}

/// Says on a registration whose it is, so that it counts after a restart too. Those from this machine bear
/// none: they are most of them.
const REGISTERED_BY: &str = "registry.portolan.dev/registered-by";

impl Client {
    /// The client who registered an instance through a dialect.
    pub fn of(instance: &ServiceInstance) -> Option<Self> {
        let annotations = instance.metadata.annotations.as_ref();
        match annotations.and_then(|annotations| annotations.get(REGISTERED_BY)) {
            Some(text) => match text.split_once(' ')? {
                ("address", address) => address.parse().ok().map(Self::Address),
                ("user", name) => Some(Self::User(name.into())),
                _ => None,
            },
            // What somebody wrote by other ways is nobody's.
            None if instance.spec.origin.is_empty() => None,
            None => Some(Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        }
    }

    /// Notes on an instance that is about to be registered whose it is.
    pub fn note_on(&self, instance: &mut ServiceInstance) {
        let text = match self {
            Self::Address(address) if address.is_loopback() => return,
            Self::Address(address) => format!("address {address}"),
            Self::User(name) => format!("user {name}"),
        };
        instance.metadata.annotations.get_or_insert_default().insert(REGISTERED_BY.to_owned(), text);
    }
}

/// More than a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Too often; when to come back.
    #[error("{what} come too fast from this client; try again in {wait:.1?}")]
    TooFast {
        /// What there is too much of.
        what: &'static str,
        /// When to come back.
        wait: Duration,
    },
    /// Too many at the same time.
    #[error("this client has {most} {what} already and may have no more")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
}

impl Excess {
    /// When trying again makes sense.
    pub fn wait(&self) -> Duration {
        match self {
            Self::TooFast { wait, .. } => *wait,
            Self::TooMany { .. } => Duration::from_secs(1),
        }
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
    young: HashMap<Client, Account>,
    old: HashMap<Client, Account>,
}

/// What a client registered that may still be there.
#[derive(Debug, Default)]
struct Holding {
    keys: HashSet<Key>,
    looked: Option<Instant>,
}

/// Counts what clients ask for against the limits.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    most_clients: usize,
    accounts: Mutex<Accounts>,
    waiting: Mutex<HashMap<Client, u32>>,
    holdings: Mutex<HashMap<Client, Holding>>,
}

/// A request that waits for a change; it stops to count when this is dropped.
#[derive(Debug)]
pub struct Waiting {
    limiter: Arc<Limiter>,
    client: Client,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.limiter.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}

impl Limiter {
    /// Counts against these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            most_clients: MOST_CLIENTS,
            accounts: Mutex::default(),
            waiting: Mutex::default(),
            holdings: Mutex::default(),
        }
    }

    /// Takes so many requests and registrations from what a client has left: all of them, or none.
    ///
    /// # Errors
    /// There are not that many left; the error says when to come back.
    pub fn take(&self, client: &Client, requests: u32, registrations: u32, now: Instant) -> Result<(), Excess> {
        let Limits { requests: request_rate, registrations: registration_rate, .. } = self.limits;
        let mut accounts = self.accounts.lock();
        let accounts = &mut *accounts;
        // Most are known and young; they are looked for once.
        let account = match accounts.young.get_mut(client) {
            Some(account) => account,
            None => {
                let account = accounts.old.get(client).copied().unwrap_or_else(|| Account {
                    requests: Bucket::full(request_rate, now),
                    registrations: Bucket::full(registration_rate, now),
                });
                if accounts.young.len() >= self.most_clients {
                    accounts.old = std::mem::take(&mut accounts.young);
                }
                accounts.young.entry(client.clone()).or_insert(account)
            }
        };
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
        longest.map_or(Ok(()), |(what, wait)| Err(Excess::TooFast { what, wait }))
    }

    /// Counts a request that waits, until the answer is dropped.
    ///
    /// # Errors
    /// The client has as many as it may.
    pub fn wait(self: &Arc<Self>, client: &Client) -> Result<Waiting, Excess> {
        let mut waiting = self.waiting.lock();
        let count = waiting.entry(client.clone()).or_default();
        if *count >= self.limits.waiting {
            let most = self.limits.waiting as usize;
            return Err(Excess::TooMany { what: "waiting requests", most });
        }
        *count += 1;
        Ok(Waiting { limiter: self.clone(), client: client.clone() })
    }

    /// Counts what was registered before this process started.
    pub fn restore(&self, instances: impl Iterator<Item = impl Borrow<ServiceInstance>>) {
        if self.limits.instances == usize::MAX {
            return;
        }
        let mut holdings = self.holdings.lock();
        for instance in instances {
            let instance = instance.borrow();
            if let Some(client) = Client::of(instance) {
                holdings.entry(client).or_default().keys.insert(Key::of(instance));
            }
        }
    }

    /// Counts a registration that a client is about to make. What ended meanwhile, `is_there` tells, no longer counts.
    ///
    /// # Errors
    /// The client has registered as many as it may.
    pub fn hold(
        &self,
        client: &Client,
        key: &Key,
        now: Instant,
        is_there: impl Fn(&Key) -> bool,
    ) -> Result<(), Excess> {
        let most = self.limits.instances;
        if most == usize::MAX {
            return Ok(());
        }
        let mut holdings = self.holdings.lock();
        if holdings.len() >= self.most_clients && !holdings.contains_key(client) {
            // Whoever comes back is counted anew; nobody has lost anything by it.
            holdings.retain(|_, holding| holding.keys.iter().any(&is_there));
        }
        let holding = holdings.entry(client.clone()).or_default();
        if holding.keys.contains(key) {
            return Ok(());
        }
        if holding.keys.len() >= most {
            // Going through all of them with each request would hurt the others.
            if holding.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_AGAIN) {
                return Err(Excess::TooMany { what: "registrations", most });
            }
            holding.looked = Some(now);
            holding.keys.retain(&is_there);
            if holding.keys.len() >= most {
                return Err(Excess::TooMany { what: "registrations", most });
            }
        }
        holding.keys.insert(key.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client::Address(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate() {
        let limits = Limits {
            requests: Rate { per_second: 10, burst: 4 },
            registrations: Rate { per_second: 1, burst: 2 },
            ..Limits::default()
        };
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
            let wait = match limiter.take(&client(who), requests, registrations, now) {
                Ok(()) => None,
                Err(excess) => Some((excess.wait().as_secs_f64() * 1000.0).round() as u64),
            };
            assert_eq!(wait, expected, "{who} after {after} ms, {requests} and {registrations}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_those_who_ask_are_not_forgotten() {
        let limits = Limits { requests: Rate { per_second: 1, burst: 1 }, ..Limits::default() };
        let limiter = Limiter { most_clients: 100, ..Limiter::new(limits) };
        let now = Instant::now();
        assert!(limiter.take(&client(0), 1, 0, now).is_ok());
        for stranger in 1..1000 {
            assert!(limiter.take(&client(stranger), 1, 0, now).is_ok());
            assert!(limiter.take(&client(0), 1, 0, now).is_err(), "after {stranger} strangers");
        }
        let accounts = limiter.accounts.lock();
        assert!(accounts.young.len() <= 100 && accounts.old.len() <= 100);
    }

    #[test]
    fn a_client_waits_with_so_many_requests_and_others_are_not_hurt() {
        let limiter = Arc::new(Limiter::new(Limits { waiting: 2, ..Limits::default() }));
        let first = limiter.wait(&client(1)).expect("one");
        let _second = limiter.wait(&client(1)).expect("two");
        assert!(limiter.wait(&client(1)).is_err());
        let _other = limiter.wait(&client(2)).expect("another client");
        drop(first);
        let _third = limiter.wait(&client(1)).expect("the first has ended");
    }

    #[test]
    fn a_client_holds_so_many_registrations_and_what_ended_does_not_count() {
        let limiter = Limiter::new(Limits { instances: 2, ..Limits::default() });
        let (now, all, none) = (Instant::now(), |_: &Key| true, |_: &Key| false);
        let key = |name: &str| Key::new("default", name);
        for name in ["a", "b", "a"] {
            limiter.hold(&client(1), &key(name), now, all).expect("two different ones");
        }
        assert!(limiter.hold(&client(1), &key("c"), now, all).is_err());
        limiter.hold(&client(2), &key("c"), now, all).expect("another client");
        assert!(limiter.hold(&client(1), &key("c"), now, none).is_err(), "looked through a moment ago");
        limiter.hold(&client(1), &key("c"), now + LOOK_AGAIN, none).expect("all ended");
    }

    #[test]
    fn what_a_client_registered_before_a_restart_counts() {
        let clients = [client(0x0a2a_0007), Client::User("system:serviceaccount:shop:vm".into()), client(0x7f00_0001)];
        let instances = clients.clone().map(|client| {
            let mut instance = ServiceInstance::default();
            instance.metadata.namespace = Some("default".into());
            instance.metadata.name = Some("before".into());
            instance.spec.origin = "consul".into();
            client.note_on(&mut instance);
            assert_eq!(Client::of(&instance).as_ref(), Some(&client));
            instance
        });
        assert_eq!(Client::of(&ServiceInstance::default()), None);
        let limiter = Limiter::new(Limits { instances: 1, ..Limits::default() });
        limiter.restore(instances.iter());
        for client in &clients {
            let now = Instant::now();
            limiter.hold(client, &Key::new("default", "before"), now, |_| true).expect("it was there before");
            assert!(limiter.hold(client, &Key::new("default", "after"), now, |_| true).is_err());
        }
    }

    #[test]
    fn limits_are_read_from_a_flag() {
        assert_eq!("off".parse(), Ok(Limits::OFF));
        assert_eq!("".parse(), Ok(Limits::default()));
        let limits: Limits = "registrations=5,waiting=7".parse().expect("two limits");
        assert_eq!(limits.registrations, Rate { per_second: 5, burst: 10 });
        assert_eq!((limits.waiting, limits.requests), (7, Limits::default().requests));
        for wrong in ["on", "waiting", "waiting=-1", "speed=1"] {
            assert!(wrong.parse::<Limits>().is_err(), "{wrong}");
        }
    }
}

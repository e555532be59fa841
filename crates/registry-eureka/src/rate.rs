//! A limit on how often the registry is fetched.

use parking_lot::Mutex;
use tokio::time::Instant;

/// Names by which Netflix's own clients and servers identify themselves.
const STANDARD_CLIENTS: [&str; 2] = ["DefaultClient", "DefaultServer"];

/// How often clients may fetch, all of them together, as Eureka's option of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many fetches may come at once.
    pub burst: u32,
    /// Fetches per second of all kinds, on average.
    pub fetches_per_second: u32,
    /// Full fetches per second, on average.
    pub full_fetches_per_second: u32,
    /// Whether the limit holds for clients too that say they are Netflix's standard ones.
    pub throttle_standard_clients: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { burst: 10, fetches_per_second: 500, full_fetches_per_second: 100, throttle_standard_clients: false }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self, per_second: u32, burst: u32, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * f64::from(per_second)).min(f64::from(burst));
        self.filled = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Counts fetches against a limit.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    all: Mutex<Bucket>,
    full: Mutex<Bucket>,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Self {
        let bucket = || Mutex::new(Bucket { tokens: f64::from(limit.burst), filled: now });
        Self { limit, all: bucket(), full: bucket() }
    }

    /// Whether a client of this name may fetch now.
    pub(crate) fn allows(&self, full: bool, client: Option<&str>, now: Instant) -> bool {
        let standard = client.is_some_and(|name| STANDARD_CLIENTS.contains(&name));
        if standard && !self.limit.throttle_standard_clients {
            return true;
        }
        let RateLimit { burst, fetches_per_second, full_fetches_per_second, .. } = self.limit;
        self.all.lock().take(fetches_per_second, burst, now)
            && (!full || self.full.lock().take(full_fetches_per_second, burst, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn fetches_beyond_the_burst_wait_for_new_tokens() {
        let start = Instant::now();
        let limit = RateLimit { burst: 2, fetches_per_second: 10, full_fetches_per_second: 1, ..RateLimit::default() };
        let limiter = Limiter::new(limit, start);
        let allowed = |full, after: u64| limiter.allows(full, None, start + Duration::from_millis(after));
        assert_eq!([allowed(true, 0), allowed(true, 0), allowed(true, 0)], [true, true, false]);
        assert!(allowed(false, 200), "deltas have tokens again");
        assert!(!allowed(true, 300), "full fetches not yet");
        assert!(limiter.allows(true, Some("DefaultClient"), start), "standard clients are not limited");
    }
}

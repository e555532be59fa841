//! Exponential back-off with a ceiling.

use std::time::Duration;

/// Delays that grow by a factor from a first value to a ceiling.
///
/// The sequence is deterministic; callers that talk to a shared server add [`Backoff::jittered`].
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    /// A back-off that starts at `first`, doubles each time and stays at `ceiling`.
    pub fn new(first: Duration, ceiling: Duration) -> Self {
        Self { first, ceiling, next: first }
    }

    /// The delay to wait now; the following one is twice as long.
    pub fn advance(&mut self) -> Duration {
        let delay = self.next.min(self.ceiling);
        self.next = self.next.saturating_mul(2).min(self.ceiling);
        delay
    }

    /// Like [`Backoff::advance`], spread over 50 % to 100 % of the delay so that clients which
    /// failed together do not return together.
    pub fn jittered(&mut self) -> Duration {
        self.advance().mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Forgets past failures.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_starts_over_after_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(30));
        let seconds: Vec<u64> = (0..4).map(|_| backoff.advance().as_secs()).collect();
        assert_eq!(seconds, [10, 20, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.advance().as_secs(), 10);
    }

    #[test]
    fn jitter_stays_within_half_and_whole() {
        for _ in 0..100 {
            let delay = Backoff::new(Duration::from_secs(8), Duration::from_secs(8)).jittered();
            assert!((4..=8).contains(&delay.as_secs()), "{delay:?}");
        }
    }
}

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
    factor: f64,
}

impl Backoff {
    /// A back-off that starts at `first`, doubles each time and stays at `ceiling`.
    pub fn new(first: Duration, ceiling: Duration) -> Self {
        Self { first, ceiling, next: first, factor: 2.0 }
    }

    /// The same, but each delay is so many times as long as the one before.
    #[must_use]
    pub fn growing(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// The delay to wait now; the following one is longer.
    pub fn advance(&mut self) -> Duration {
        let delay = self.next.min(self.ceiling);
        let longer = Duration::try_from_secs_f64(delay.as_secs_f64() * self.factor);
        self.next = longer.unwrap_or(self.ceiling).min(self.ceiling);
        delay
    }

    /// Like [`Backoff::advance`], spread over 50 % to 100 % of the delay so that clients which
    /// failed together do not return together.
    pub fn jittered(&mut self) -> Duration {
        self.advance().mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Like [`Backoff::advance`], but longer by up to this share of the delay.
    pub fn lengthened(&mut self, share: f64) -> Duration {
        self.advance().mul_f64(1.0 + rand::random_range(0.0..=share))
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
    fn grows_by_another_factor_and_without_an_end() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::MAX).growing(1.5);
        let delays: Vec<u128> = (0..4).map(|_| backoff.advance().as_micros()).collect();
        assert_eq!(delays, [500_000, 750_000, 1_125_000, 1_687_500]);
        let most = (0..1000).map(|_| backoff.advance()).last();
        assert_eq!(most, Some(Duration::MAX));
    }

    #[test]
    fn jitter_stays_within_half_and_whole() {
        for _ in 0..100 {
            let delay = Backoff::new(Duration::from_secs(8), Duration::from_secs(8)).jittered();
            assert!((4..=8).contains(&delay.as_secs()), "{delay:?}");
        }
    }
}

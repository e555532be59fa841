//! Connections that were refused, told in few lines however many they are. Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The first is told at once, further ones together.
const EVERY: Duration = Duration::from_secs(1);

/// What of the refusals is to be told.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Not before this; at once if nothing was told yet.
    next: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Counts one more.
    pub(crate) fn note(&mut self) {
        self.untold += 1;
    }

    /// How many to tell of now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.untold == 0 || self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + EVERY);
        Some(std::mem::take(&mut self.untold))
    }

    /// When there is something more to tell than what was taken.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.untold > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_others_once_a_second() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut told = Vec::new();
        // Refusals a millisecond apart, and then silence.
        for millisecond in 0..5000 {
            if millisecond < 1500 {
                refusals.note();
            }
            let count = refusals.take(start + Duration::from_millis(millisecond));
            told.extend(count.map(|count| (millisecond, count)));
        }
        assert_eq!(told, [(0, 1), (1000, 1000), (2000, 499)]);
        assert_eq!(refusals.due(), None);
    }
}

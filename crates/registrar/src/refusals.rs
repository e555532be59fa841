//! Connections that were refused, told in few lines however many they are. Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The first is told at once, further ones together.
const EVERY: Duration = Duration::from_secs(1);

/// What of the refusals is to be told.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Counts one more.
    pub(crate) fn note(&mut self) {
        self.untold += 1;
    }

    /// How many to tell of now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// When there is something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        let now = Instant::now;
        (self.untold > 0).then(|| self.told.map_or_else(now, |told| told + EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_others_once_a_second() {
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

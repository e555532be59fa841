//! Series of events: what repeats is one event, and is counted.
//!
//! The first and the second time are written down at once. Further ones are counted, and written when the series ends
//! or after a while.
//!
//! Source: KEP-383; `event_broadcaster.go` of `k8s.io/client-go/tools/events`.

use std::time::Duration;

/// A series that is silent for so long has ended. Also how often they are to be looked at.
pub const END: Duration = Duration::from_secs(360);

/// What is counted in a series that goes on is written this often, so that it does not expire.
const REFRESH: Duration = Duration::from_secs(1800);

/// How often something happened, by a clock that tells moments `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSeries<T> {
    count: i32,
    seen: T,
    /// When it was written last, and the count then.
    written: T,
    written_count: i32,
}

impl<T: Copy> EventSeries<T> {
    /// Something that happened once, which is written at the same time.
    pub fn begin(now: T) -> Self {
        Self { count: 1, seen: now, written: now, written_count: 1 }
    }

    /// It happened again. Whether that is to be written at once.
    pub fn again(&mut self, now: T) -> bool {
        self.count = self.count.saturating_add(1);
        self.seen = now;
        self.count == 2
    }

    /// How often it happened.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// When it happened last.
    pub fn seen(&self) -> T {
        self.seen
    }

    /// Says that the count was written.
    pub fn wrote(&mut self, now: T) {
        (self.written, self.written_count) = (now, self.count);
    }

    /// Whether the count is to be written, when `age` of a moment has passed since then.
    pub fn is_due(&self, age: impl Fn(T) -> Duration) -> bool {
        self.count > self.written_count && (self.has_ended(&age) || age(self.written) >= REFRESH)
    }

    /// Whether it is silent for so long that what comes next is another event.
    pub fn has_ended(&self, age: impl Fn(T) -> Duration) -> bool {
        age(self.seen) >= END
    }
}

//! Wall-clock time as a port, so that decisions can be tested at any moment.

use std::fmt::Debug;
use std::time::Duration;

use parking_lot::Mutex;

/// A point in wall-clock time, UTC, with nanosecond precision.
pub use jiff::Timestamp;

/// `by` after `from`, or the last moment that can be said. Objects hold moments and periods that nobody limits, and
/// the sum of two must stop no server.
pub fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `by` before `from`, or the first moment that can be said; see [`later`].
pub fn earlier(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Where the time comes from.
///
/// Pure functions take `now: Timestamp` instead; only the shell that calls them holds a clock.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved. For tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

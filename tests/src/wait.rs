//! Waiting for a condition of the outside world, which gives no notice.

use std::time::{Duration, Instant};

/// How long anything in these tests may take; only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(90);
/// How often the outside world is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asks again and again until `attempt` succeeds; panics with its last complaint at the deadline.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> anyhow::Result<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{what}: still not after {DEADLINE:?}: {error:#}"),
            Err(_) => std::thread::sleep(INTERVAL),
        }
    }
}

//! How often something took how long.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

/// A histogram of durations in buckets with these upper ends, in seconds.
#[derive(Debug)]
pub(super) struct Histogram<const BUCKETS: usize> {
    ends: &'static [f64; BUCKETS],
    counts: [u64; BUCKETS],
    count: u64,
    sum: Duration,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    pub(super) fn new(ends: &'static [f64; BUCKETS]) -> Self {
        Self { ends, counts: [0; BUCKETS], count: 0, sum: Duration::ZERO }
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
        if let Some(bucket) = self.ends.iter().position(|end| took.as_secs_f64() <= *end) {
            self.counts[bucket] += 1;
        }
    }

    /// Appends the lines of one series.
    pub(super) fn write(&self, text: &mut String, metric: &str, labels: &dyn Display) -> fmt::Result {
        let mut below = 0;
        for (end, count) in self.ends.iter().zip(self.counts) {
            below += count;
            writeln!(text, "{metric}_bucket{{{labels},le=\"{end}\"}} {below}")?;
        }
        writeln!(text, "{metric}_bucket{{{labels},le=\"+Inf\"}} {}", self.count)?;
        writeln!(text, "{metric}_sum{{{labels}}} {}", self.sum.as_secs_f64())?;
        writeln!(text, "{metric}_count{{{labels}}} {}", self.count)
    }
}

//! How often something took how long, or was how large.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

/// A histogram in buckets with these upper ends: seconds, or bytes.
#[derive(Debug)]
pub(super) struct Histogram<const BUCKETS: usize> {
    ends: &'static [f64; BUCKETS],
    counts: [u64; BUCKETS],
    count: u64,
    sum: f64,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    pub(super) fn new(ends: &'static [f64; BUCKETS]) -> Self {
        Self { ends, counts: [0; BUCKETS], count: 0, sum: 0.0 }
    }

    /// What was counted elsewhere: how many each bucket took, and behind them those above all.
    pub(super) fn of(ends: &'static [f64; BUCKETS], taken: &[u64], sum: f64) -> Self {
        let mut counts = [0; BUCKETS];
        counts.iter_mut().zip(taken).for_each(|(count, taken)| *count = *taken);
        Self { ends, counts, count: taken.iter().sum(), sum }
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.observe(took.as_secs_f64());
    }

    pub(super) fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if let Some(bucket) = self.ends.iter().position(|end| value <= *end) {
            self.counts[bucket] += 1;
        }
    }

    /// How often.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Appends the lines of one series.
    pub(super) fn write(&self, text: &mut String, metric: &str, labels: &dyn Display) -> fmt::Result {
        let labels = labels.to_string();
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for (end, count) in self.ends.iter().zip(self.counts) {
            below += count;
            writeln!(text, "{metric}_bucket{{{labels}{comma}le=\"{}\"}} {below}", End(*end))?;
        }
        writeln!(text, "{metric}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count)?;
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        writeln!(text, "{metric}_sum{labels} {}", self.sum)?;
        writeln!(text, "{metric}_count{labels} {}", self.count)
    }
}

/// The upper end of a bucket as Go writes it: `2.592e+06` from a million on.
struct End(f64);

impl Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1e6 {
            return write!(formatter, "{}", self.0);
        }
        let text = format!("{:e}", self.0);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        write!(formatter, "{digits}e+{exponent:0>2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_without_labels_has_ends_as_go_writes_them() {
        let mut histogram = Histogram::new(&[0.0, 0.5, 604_800.0, 2_592_000.0]);
        for value in [-1.0, 0.25, 86_400.0, 1e9] {
            histogram.observe(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "m", &"").expect("a text takes everything");
        expect_test::expect![[r#"
            m_bucket{le="0"} 1
            m_bucket{le="0.5"} 2
            m_bucket{le="604800"} 3
            m_bucket{le="2.592e+06"} 3
            m_bucket{le="+Inf"} 4
            m_sum 1000086399.25
            m_count 4
        "#]]
        .assert_eq(&text);
    }
}

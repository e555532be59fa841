//! How often somebody acted as somebody else, and what was asked to find out whether that is allowed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;

/// Upper ends of the histograms' buckets in seconds, as upstream.
pub(super) const BUCKETS: [f64; 15] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];

/// By mode and decision.
type Durations = BTreeMap<(&'static str, &'static str), Histogram<{ BUCKETS.len() }>>;

/// Counters of all attempts.
#[derive(Debug, Default)]
pub(crate) struct Impersonations {
    attempts: Mutex<Durations>,
    checks: Mutex<Durations>,
}

impl Impersonations {
    /// Somebody was, or was not, allowed to be somebody else.
    pub(crate) fn attempted(&self, mode: &'static str, decision: &'static str, took: Duration) {
        add(&self.attempts, mode, decision, took);
    }

    /// One of the questions behind that was answered.
    pub(crate) fn checked(&self, mode: &'static str, decision: &'static str, took: Duration) {
        add(&self.checks, mode, decision, took);
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        for (name, what, durations) in [
            ("attempts", "Attempts to act as somebody else", &self.attempts),
            ("authorization_attempts", "Questions whether somebody may act as somebody else", &self.checks),
        ] {
            let durations = durations.lock();
            let metric = format!("apiserver_impersonation_{name}_total");
            writeln!(text, "# HELP {metric} {what}.\n# TYPE {metric} counter")?;
            for ((mode, decision), histogram) in &*durations {
                let count = histogram.count();
                writeln!(text, "{metric}{{decision=\"{decision}\",mode=\"{mode}\"}} {count}")?;
            }
            let metric = format!("apiserver_impersonation_{name}_duration_seconds");
            writeln!(text, "# HELP {metric} {what}, and how long they took.\n# TYPE {metric} histogram")?;
            for ((mode, decision), histogram) in &*durations {
                let labels = format_args!("decision=\"{decision}\",mode=\"{mode}\"");
                histogram.write(text, &metric, &labels)?;
            }
        }
        Ok(())
    }
}

fn add(durations: &Mutex<Durations>, mode: &'static str, decision: &'static str, took: Duration) {
    let mut durations = durations.lock();
    durations.entry((mode, decision)).or_insert_with(|| Histogram::new(&BUCKETS)).record(took);
}

//! What happened so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What became of registrations without a request of their owners.
#[derive(Debug, Default)]
pub struct Counters {
    /// Ended because their lease did.
    pub ended: Counter,
    /// Kept although their lease ended, because too many did at once.
    pub held: Counter,
    /// Heard of again after they were kept.
    pub released: Counter,
    /// Ended because they were kept as long as the policy allows.
    pub given_up: Counter,
    /// Ended because they were critical for too long.
    pub deregistered: Counter,
    /// Checks that became critical because nobody reported them in time.
    pub expired_checks: Counter,
    /// Times that all leases were prolonged because this process had stood still.
    pub pauses: Counter,
}

impl Counters {
    /// All of them in the text format of Prometheus.
    pub fn text(&self) -> String {
        let counters = [
            ("ended", &self.ended),
            ("held", &self.held),
            ("released", &self.released),
            ("given_up", &self.given_up),
            ("deregistered_critical", &self.deregistered),
        ];
        let mut text = "# HELP portolan_registry_leases_total What became of registrations whose lease ran out or that stayed critical.\n# TYPE portolan_registry_leases_total counter\n".to_owned();
        for (outcome, counter) in counters {
            text += &format!("portolan_registry_leases_total{{outcome=\"{outcome}\"}} {}\n", counter.get());
        }
        for (name, help, counter) in [
            ("expired_checks", "Checks that nobody reported in time.", &self.expired_checks),
            ("pauses", "Times that all leases were prolonged because the process had stood still.", &self.pauses),
        ] {
            text += &format!(
                "# HELP portolan_registry_{name}_total {help}\n# TYPE portolan_registry_{name}_total counter\nportolan_registry_{name}_total {}\n",
                counter.get()
            );
        }
        text
    }
}

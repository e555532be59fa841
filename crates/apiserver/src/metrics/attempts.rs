//! How it was found out who asks and what they may, and how long that took.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;
use super::impersonation::BUCKETS;

/// By result.
type Durations = BTreeMap<&'static str, Histogram<{ BUCKETS.len() }>>;

/// Counters of all requests that came from outside.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    authentications: Mutex<Durations>,
    authorizations: Mutex<Durations>,
}

impl Attempts {
    /// Somebody was, or was not, found out.
    pub(crate) fn authenticated(&self, result: &'static str, took: Duration) {
        add(&self.authentications, result, took);
    }

    /// Somebody was, or was not, allowed to do something.
    pub(crate) fn authorized(&self, result: &'static str, took: Duration) {
        add(&self.authorizations, result, took);
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        for (counter, histogram, what, durations) in [
            (
                "authentication_attempts",
                "authentication_duration_seconds",
                "Questions of who asks",
                &self.authentications,
            ),
            (
                "authorization_attempts_total",
                "authorization_duration_seconds",
                "Questions of what somebody may do",
                &self.authorizations,
            ),
        ] {
            let durations = durations.lock();
            writeln!(text, "# HELP {counter} {what}, by result.\n# TYPE {counter} counter")?;
            for (result, durations) in &*durations {
                writeln!(text, "{counter}{{result=\"{result}\"}} {}", durations.count())?;
            }
            writeln!(text, "# HELP {histogram} {what}, and how long they took.\n# TYPE {histogram} histogram")?;
            for (result, durations) in &*durations {
                durations.write(text, histogram, &format_args!("result=\"{result}\""))?;
            }
        }
        Ok(())
    }
}

fn add(durations: &Mutex<Durations>, result: &'static str, took: Duration) {
    durations.lock().entry(result).or_insert_with(|| Histogram::new(&BUCKETS)).record(took);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_result() {
        let attempts = Attempts::default();
        attempts.authenticated("success", Duration::from_millis(3));
        attempts.authenticated("failure", Duration::from_secs(60));
        attempts.authorized("allowed", Duration::ZERO);
        let mut text = String::new();
        attempts.write(&mut text).expect("a text can be written to");
        for line in [
            "authentication_attempts{result=\"failure\"} 1\n",
            "authentication_attempts{result=\"success\"} 1\n",
            "authentication_duration_seconds_bucket{result=\"success\",le=\"0.004\"} 1\n",
            "authentication_duration_seconds_bucket{result=\"failure\",le=\"16.384\"} 0\n",
            "authorization_attempts_total{result=\"allowed\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}

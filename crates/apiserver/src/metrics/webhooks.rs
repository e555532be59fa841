//! How often admission webhooks were asked, how long they took and what came of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;

/// Upper ends of the histogram's buckets in seconds, as upstream.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];

/// Who was asked about what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) name: String,
    /// `admit` if it may change the object, else `validating`.
    pub(crate) kind: &'static str,
    pub(crate) operation: &'static str,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    /// It said no, with this code.
    Rejected(u16),
    /// It could not be asked, and the request failed for it.
    Failed,
    /// It could not be asked, and may fail.
    FailedOpen,
}

#[derive(Debug, Default)]
struct Counters {
    durations: BTreeMap<(Asked, bool), Histogram<{ BUCKETS.len() }>>,
    requests: BTreeMap<(Asked, u16, bool), u64>,
    rejections: BTreeMap<(Asked, &'static str, u16), u64>,
    open: BTreeMap<(String, &'static str), u64>,
}

/// Counters of all webhooks.
#[derive(Debug, Default)]
pub(crate) struct Webhooks(Mutex<Counters>);

impl Webhooks {
    pub(crate) fn record(&self, asked: Asked, outcome: Outcome, took: Duration) {
        let (rejected, code) = match outcome {
            Outcome::Allowed => (false, 200),
            Outcome::Rejected(code) => (true, code),
            Outcome::Failed => (true, 0),
            Outcome::FailedOpen => (false, 0),
        };
        let mut counters = self.0.lock();
        let durations = counters.durations.entry((asked.clone(), rejected));
        durations.or_insert_with(|| Histogram::new(&BUCKETS)).record(took);
        *counters.requests.entry((asked.clone(), code.min(600), rejected)).or_default() += 1;
        match outcome {
            Outcome::Allowed => {}
            Outcome::Rejected(code) => {
                *counters.rejections.entry((asked, "no_error", code.min(600))).or_default() += 1;
            }
            Outcome::Failed => *counters.rejections.entry((asked, "calling_webhook_error", 0)).or_default() += 1,
            Outcome::FailedOpen => *counters.open.entry((asked.name, asked.kind)).or_default() += 1,
        }
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let counters = self.0.lock();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            writeln!(
                text,
                "# HELP apiserver_admission_webhook_{name} {help}\n# TYPE apiserver_admission_webhook_{name} {kind}"
            )
        };
        if counters.requests.is_empty() {
            return Ok(());
        }
        head(text, "admission_duration_seconds", "histogram", "Time until a webhook answered.")?;
        for ((Asked { name, kind, operation }, rejected), durations) in &counters.durations {
            let labels = format!("name=\"{name}\",operation=\"{operation}\",rejected=\"{rejected}\",type=\"{kind}\"");
            durations.write(text, "apiserver_admission_webhook_admission_duration_seconds", &labels)?;
        }
        head(text, "request_total", "counter", "Questions to webhooks by their outcome.")?;
        for ((Asked { name, kind, operation }, code, rejected), count) in &counters.requests {
            writeln!(
                text,
                "apiserver_admission_webhook_request_total{{code=\"{code}\",name=\"{name}\",operation=\"{operation}\",rejected=\"{rejected}\",type=\"{kind}\"}} {count}"
            )?;
        }
        head(text, "rejection_count", "counter", "Requests that were refused because of a webhook.")?;
        for ((Asked { name, kind, operation }, error, code), count) in &counters.rejections {
            writeln!(
                text,
                "apiserver_admission_webhook_rejection_count{{error_type=\"{error}\",name=\"{name}\",operation=\"{operation}\",rejection_code=\"{code}\",type=\"{kind}\"}} {count}"
            )?;
        }
        head(text, "fail_open_count", "counter", "Requests that went on although a webhook failed.")?;
        for ((name, kind), count) in &counters.open {
            writeln!(text, "apiserver_admission_webhook_fail_open_count{{name=\"{name}\",type=\"{kind}\"}} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_under_upstreams_names() {
        let webhooks = Webhooks::default();
        let asked = |kind| Asked { name: "a.example.com".into(), kind, operation: "CREATE" };
        for outcome in
            [Outcome::Allowed, Outcome::Allowed, Outcome::Rejected(403), Outcome::Failed, Outcome::FailedOpen]
        {
            webhooks.record(asked("validating"), outcome, Duration::from_millis(30));
        }
        let mut text = String::new();
        webhooks.write(&mut text).expect("a text takes everything");
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.contains("duration")).collect();
        expect_test::expect![[r#"
            apiserver_admission_webhook_request_total{code="0",name="a.example.com",operation="CREATE",rejected="false",type="validating"} 1
            apiserver_admission_webhook_request_total{code="0",name="a.example.com",operation="CREATE",rejected="true",type="validating"} 1
            apiserver_admission_webhook_request_total{code="200",name="a.example.com",operation="CREATE",rejected="false",type="validating"} 2
            apiserver_admission_webhook_request_total{code="403",name="a.example.com",operation="CREATE",rejected="true",type="validating"} 1
            apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="a.example.com",operation="CREATE",rejection_code="0",type="validating"} 1
            apiserver_admission_webhook_rejection_count{error_type="no_error",name="a.example.com",operation="CREATE",rejection_code="403",type="validating"} 1
            apiserver_admission_webhook_fail_open_count{name="a.example.com",type="validating"} 1"#]]
        .assert_eq(&lines.join("\n"));
        let seconds = "apiserver_admission_webhook_admission_duration_seconds_bucket{name=\"a.example.com\",operation=\"CREATE\",rejected=\"true\",type=\"validating\",le=\"0.1\"} 2";
        assert!(text.contains(seconds), "{text}");
    }
}

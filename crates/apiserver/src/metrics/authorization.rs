//! Who decided how often, and what came of asking webhooks.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;

/// Upper ends of the buckets of a webhook's durations in seconds, as upstream.
const WEBHOOK_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper ends of the buckets of conditions' durations in seconds, as upstream.
const CONDITION_BUCKETS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

/// How often one of those who are asked decided.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) allowed: AtomicU64,
    pub(crate) denied: AtomicU64,
}

/// What came of asking a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    Success,
    Timeout,
    Error,
}

impl Reply {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// What came of a webhook's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matched {
    /// It is asked.
    Yes,
    /// It is not.
    No,
    /// Nobody knows.
    Failed,
}

/// Counters of all who are asked, by type and name.
#[derive(Debug, Default)]
pub(crate) struct Authorizations {
    decided: Mutex<BTreeMap<(&'static str, String), Arc<Decided>>>,
    webhooks: Mutex<Webhooks>,
}

#[derive(Debug, Default)]
struct Webhooks {
    replies: BTreeMap<(String, Reply), Histogram<{ WEBHOOK_BUCKETS.len() }>>,
    open: BTreeMap<(String, Reply), u64>,
    conditions: BTreeMap<String, Histogram<{ CONDITION_BUCKETS.len() }>>,
    excluded: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
}

impl Authorizations {
    /// The counters of one of them; they outlive it.
    pub(crate) fn of(&self, kind: &'static str, name: &str) -> Arc<Decided> {
        self.decided.lock().entry((kind, name.to_owned())).or_default().clone()
    }

    /// A webhook was asked.
    pub(crate) fn asked(&self, name: &str, reply: Reply, took: Duration) {
        let mut webhooks = self.webhooks.lock();
        let replies = webhooks.replies.entry((name.to_owned(), reply));
        replies.or_insert_with(|| Histogram::new(&WEBHOOK_BUCKETS)).record(took);
    }

    /// A webhook did not answer, and the next one was asked.
    pub(crate) fn failed_open(&self, name: &str, reply: Reply) {
        *self.webhooks.lock().open.entry((name.to_owned(), reply)).or_default() += 1;
    }

    /// A webhook's conditions were looked at.
    pub(crate) fn matched(&self, name: &str, matched: Matched, took: Duration) {
        let mut webhooks = self.webhooks.lock();
        let durations = webhooks.conditions.entry(name.to_owned());
        durations.or_insert_with(|| Histogram::new(&CONDITION_BUCKETS)).record(took);
        let counter = match matched {
            Matched::Yes => return,
            Matched::No => &mut webhooks.excluded,
            Matched::Failed => &mut webhooks.failed,
        };
        *counter.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let metric = "apiserver_authorization_decisions_total";
        head(text, metric, "Decisions that ended the search for one", "counter")?;
        for ((kind, name), decided) in &*self.decided.lock() {
            for (decision, count) in [("allowed", &decided.allowed), ("denied", &decided.denied)] {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(text, "{metric}{{decision=\"{decision}\",name=\"{name}\",type=\"{kind}\"}} {count}")?;
                }
            }
        }
        let webhooks = self.webhooks.lock();
        let labels = |(name, reply): &(String, Reply)| format!("name=\"{name}\",result=\"{}\"", reply.name());
        let of_type = |name: &String| format!("name=\"{name}\",type=\"Webhook\"");
        let replies = webhooks.replies.iter().map(|(key, durations)| (labels(key), durations.count()));
        counter(text, "webhook_evaluations_total", "Questions to webhooks", replies)?;
        let metric = "apiserver_authorization_webhook_duration_seconds";
        head(text, metric, "Time that webhooks took", "histogram")?;
        for (key, durations) in &webhooks.replies {
            durations.write(text, metric, &labels(key))?;
        }
        let open = webhooks.open.iter().map(|(key, count)| (labels(key), *count));
        counter(text, "webhook_evaluations_fail_open_total", "Webhooks that were passed over as they failed", open)?;
        let metric = "apiserver_authorization_match_condition_evaluation_seconds";
        head(text, metric, "Time that the conditions of webhooks took", "histogram")?;
        for (name, durations) in &webhooks.conditions {
            durations.write(text, metric, &of_type(name))?;
        }
        let failed = webhooks.failed.iter().map(|(name, count)| (of_type(name), *count));
        counter(text, "match_condition_evaluation_errors_total", "Conditions of webhooks that failed", failed)?;
        let excluded = webhooks.excluded.iter().map(|(name, count)| (of_type(name), *count));
        counter(text, "match_condition_exclusions_total", "Webhooks that were not asked for their conditions", excluded)
    }
}

fn head(text: &mut String, metric: &str, help: &str, kind: &str) -> fmt::Result {
    writeln!(text, "# HELP {metric} {help}.\n# TYPE {metric} {kind}")
}

fn counter<L: Display>(
    text: &mut String,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (L, u64)>,
) -> fmt::Result {
    let metric = format!("apiserver_authorization_{name}");
    head(text, &metric, help, "counter")?;
    for (labels, count) in series {
        writeln!(text, "{metric}{{{labels}}} {count}")?;
    }
    Ok(())
}

//! What the server counts about itself, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use portolan_api::description::Description;

use crate::request::Info;

/// Upper ends of the duration histogram's buckets in seconds.
const BUCKETS: [f64; 9] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    verb: &'static str,
    resource: portolan_api::description::Name,
}

impl Label {
    /// The label of a request; names that are not known do not become labels.
    pub(crate) fn of(info: Option<&Info>, description: &Description) -> Self {
        let found = info.and_then(|info| {
            let resource = description.resource(&info.group, &info.version, &info.resource)?;
            Some(Self { verb: info.verb, resource: resource.name.clone() })
        });
        found.unwrap_or(Self { verb: "other", resource: "".into() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)
    }
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: BTreeMap<(Label, u16), u64>,
    durations: BTreeMap<Label, Durations>,
}

impl Metrics {
    pub(crate) fn record(&self, label: Label, code: StatusCode, took: Duration) {
        let mut counters = self.0.lock();
        let durations = counters.durations.entry(label.clone()).or_default();
        durations.count += 1;
        durations.sum += took;
        if let Some(bucket) = BUCKETS.iter().position(|end| took.as_secs_f64() <= *end) {
            durations.buckets[bucket] += 1;
        }
        *counters.requests.entry((label, code.as_u16())).or_default() += 1;
    }

    /// The counters as Prometheus text.
    pub(crate) fn text(&self, store: &portolan_store::Status) -> String {
        let counters = self.0.lock();
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = render(&counters, store, &mut text);
        text
    }
}

fn render(counters: &Counters, store: &portolan_store::Status, text: &mut String) -> fmt::Result {
    text.push_str("# HELP apiserver_request_total Requests by verb, resource and code.\n");
    text.push_str("# TYPE apiserver_request_total counter\n");
    for ((label, code), count) in &counters.requests {
        let Label { verb, resource } = label;
        writeln!(text, "apiserver_request_total{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}} {count}")?;
    }
    text.push_str("# HELP apiserver_request_duration_seconds Time until the head of the answer.\n");
    text.push_str("# TYPE apiserver_request_duration_seconds histogram\n");
    for (Label { verb, resource }, durations) in &counters.durations {
        let labels = format!("verb=\"{verb}\",resource=\"{resource}\"");
        let mut below = 0;
        for (end, count) in BUCKETS.iter().zip(durations.buckets) {
            below += count;
            writeln!(text, "apiserver_request_duration_seconds_bucket{{{labels},le=\"{end}\"}} {below}")?;
        }
        let (count, sum) = (durations.count, durations.sum.as_secs_f64());
        writeln!(text, "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(text, "apiserver_request_duration_seconds_sum{{{labels}}} {sum}")?;
        writeln!(text, "apiserver_request_duration_seconds_count{{{labels}}} {count}")?;
    }
    for (name, help, value) in [
        ("portolan_store_revision", "Newest revision of the store.", store.revision.0),
        ("portolan_store_compacted_revision", "Oldest revision that is kept.", store.compacted.0),
        ("portolan_store_keys", "Live keys.", store.keys as u64),
        ("portolan_store_disk_bytes", "Bytes on disk.", store.disk_bytes),
        ("portolan_store_read_only", "1 if writes are refused.", u64::from(store.read_only.is_some())),
    ] {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
    }
    Ok(())
}

//! Events about what was wrong with addresses and ports.
//!
//! What is found again with each comparison is one event, whose repetitions are an [`EventSeries`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Duration;

use portolan_api::event_series::EventSeries;
use portolan_api::time;
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::id;
use crate::bootstrap;
use crate::server::Server;

/// Who reports what was repaired.
const REPORTER: &str = "ipallocator-repair-controller";

/// Who reports what is wrong with ports.
const PORTS_REPORTER: &str = "portallocator-repair-controller";

/// What is told of a Service or an address, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    reporter: &'static str,
    action: &'static str,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

impl Told {
    pub(super) fn of_service(reason: &'static str, note: String) -> Self {
        Self { reporter: REPORTER, action: "ClusterIPAllocation", reason, note }
    }

    pub(super) fn of_address(reason: &'static str, note: String) -> Self {
        Self { reporter: REPORTER, action: "IPAddressAllocation", reason, note }
    }

    pub(super) fn of_port(reason: &'static str, note: String) -> Self {
        Self { reporter: PORTS_REPORTER, action: "PortAllocation", reason, note }
    }

    /// The object about the address of a Service was not there.
    pub(super) fn not_allocated(address: Ipv4Addr) -> Self {
        Self::of_service("ClusterIPNotAllocated", format!("Cluster IP [IPv4]: {address} is not allocated; repairing"))
    }
}

/// What an event is about.
pub(super) fn regarding(object: &Value, kind: &str, api_version: &str) -> Value {
    let (namespace, name) = id(object);
    let metadata = &object["metadata"];
    json!({
        "kind": kind, "apiVersion": api_version, "namespace": namespace, "name": name,
        "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
    })
}

/// What was reported lately.
#[derive(Default)]
pub(crate) struct Reports(HashMap<Identity, Report>);

/// What makes two events the same: it is of the same version of an object, whatever the words.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    regarding: String,
    reporter: &'static str,
    action: &'static str,
    reason: &'static str,
}

struct Report {
    event: Value,
    series: EventSeries<Timestamp>,
}

impl Report {
    /// The event as it is to be written now.
    fn write(&mut self, now: Timestamp) -> Value {
        let series = &mut self.series;
        series.wrote(now);
        let mut event = self.event.clone();
        event["series"] = json!({"count": series.count(), "lastObservedTime": time::format_micro(series.seen())});
        event
    }
}

impl Reports {
    /// Takes note of what was found; gives the event to write, if it is not only counted.
    fn take(&mut self, regarding: Value, told: Told, now: Timestamp) -> Option<Value> {
        let Told { reporter, action, reason, note } = told;
        let identity = Identity { regarding: regarding.to_string(), reporter, action, reason };
        match self.0.entry(identity) {
            Entry::Occupied(known) => {
                let report = known.into_mut();
                report.series.again(now).then(|| report.write(now))
            }
            Entry::Vacant(vacant) => {
                let event = event((reporter, action, reason), &note, regarding, now);
                vacant.insert(Report { event: event.clone(), series: EventSeries::begin(now) });
                Some(event)
            }
        }
    }

    /// Ends series; gives the events that are to be written again.
    fn due(&mut self, now: Timestamp) -> Vec<Value> {
        // None for one that is yet to come, by a clock that was set back.
        let age = |then| Duration::try_from(now.duration_since(then)).unwrap_or_default();
        let due = self.0.values_mut().filter(|report| report.series.is_due(age));
        let due = due.map(|report| report.write(now)).collect();
        self.0.retain(|_, report| !report.series.has_ended(age));
        due
    }
}

fn event((reporter, action, reason): (&str, &str, &str), note: &str, regarding: Value, now: Timestamp) -> Value {
    let text = |field: &str| regarding[field].as_str().unwrap_or_default();
    let namespace = if text("namespace").is_empty() { "default" } else { text("namespace") };
    let host = nix::unistd::gethostname().unwrap_or_default();
    json!({
        "kind": "Event", "apiVersion": "events.k8s.io/v1",
        "metadata": {"name": format!("{}.{:x}", text("name"), now.as_nanosecond()), "namespace": namespace},
        "eventTime": time::format_micro(now), "type": "Warning",
        "reportingController": reporter, "reportingInstance": format!("{reporter}-{}", host.to_string_lossy()),
        "action": action, "reason": reason, "note": note, "regarding": regarding,
    })
}

/// Tells whoever looks at an object what was wrong.
///
/// Writing an event is a write too: without a box, the one would hold the other.
pub(super) fn report(server: &Server, regarding: Value, told: Told) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    let event = server.reports.lock().take(regarding, told, server.config.clock.now());
    Box::pin(async move {
        if let Some(event) = event {
            write(server, event).await;
        }
    })
}

/// The same of all that a comparison found, while others go on: each is a write of its own.
pub(super) fn report_all(server: &Server, found: Vec<(Value, Told)>) {
    let now = server.config.clock.now();
    let mut reports = server.reports.lock();
    let mut events: Vec<Value> =
        found.into_iter().filter_map(|(regarding, told)| reports.take(regarding, told, now)).collect();
    events.extend(reports.due(now));
    drop(reports);
    let shared = server.shared();
    server.writes.spawn(async move {
        for event in events {
            write(&shared, event).await;
        }
    });
}

/// Writes an event, or how often it happened by now.
async fn write(server: &Server, event: Value) {
    let series = event["series"].clone();
    let counted = |old: &Value| {
        let mut new = old.clone();
        new["series"] = series.clone();
        (!series.is_null()).then_some(new)
    };
    let told = format!("{} of {}", event["reason"], event["regarding"]["name"]);
    if let Err(error) = bootstrap::ensure(server, event, counted).await {
        let error = portolan_base::error::chain(&error);
        tracing::warn!(told, %error, "it could not be reported what was wrong with an address or port");
    }
}

#[cfg(test)]
mod tests {
    use portolan_base::clock::later;

    use super::*;

    #[test]
    fn what_is_found_again_and_again_is_one_series() {
        let mut reports = Reports::default();
        let start = Timestamp::UNIX_EPOCH;
        let service = |version: &str| {
            regarding(
                &json!({"metadata": {"name": "a", "namespace": "n", "resourceVersion": version}}),
                "Service",
                "v1",
            )
        };
        // Minute, version of the Service and reason of what is found then; count and note of what is written.
        for (minute, found, expected) in [
            (0, Some(("1", "R")), vec!["- 0"]),
            (3, Some(("1", "R")), vec!["2 0"]),
            (6, Some(("1", "R")), vec![]),
            (9, Some(("2", "R")), vec!["- 9"]),
            (9, Some(("2", "S")), vec!["- 9"]),
            (11, Some(("1", "R")), vec![]),
            (12, None, vec![]),
            // Its end; the others were written once and are forgotten.
            (17, None, vec!["4 0"]),
            (18, Some(("2", "R")), vec!["- 18"]),
        ] {
            let now = later(start, Duration::from_secs(60 * minute));
            let told = |reason| Told::of_service(reason, minute.to_string());
            let event = found.and_then(|(version, reason)| reports.take(service(version), told(reason), now));
            let written = event.into_iter().chain(reports.due(now)).map(|event| {
                let count = event["series"]["count"].as_u64().map_or("-".to_owned(), |count| count.to_string());
                format!("{count} {}", event["note"].as_str().unwrap_or_default())
            });
            assert_eq!(written.collect::<Vec<_>>(), expected, "minute {minute}");
        }
        let mut counts = Vec::new();
        for minute in (0..100).step_by(3) {
            let now = later(start, Duration::from_secs(3600 + 60 * minute));
            let event = reports.take(service("3"), Told::of_port("R", String::new()), now);
            let written = event.into_iter().chain(reports.due(now));
            counts.extend(written.map(|event| (minute, event["series"]["count"].as_u64().unwrap_or(1))));
        }
        assert_eq!(counts, [(0, 1), (3, 2), (33, 12), (63, 22), (93, 32)]);
    }
}

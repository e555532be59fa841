//! Events: `v1` and `events.k8s.io/v1` have the same fields under other names.

use serde_json::{Map, Value};

/// Names in the core group, and in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

pub(super) fn to_core(event: &mut Map<String, Value>) {
    for (core, own) in NAMES {
        rename(event, own, core);
    }
}

pub(super) fn from_core(event: &mut Map<String, Value>) {
    for (core, own) in NAMES {
        rename(event, core, own);
    }
    // Only the core group shows that nobody in particular reports.
    for field in ["reportingController", "reportingInstance"] {
        if event.get(field).is_some_and(|value| value == "") {
            event.remove(field);
        }
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

//! Cells of `kubectl get` that many kinds share.

use portolan_base::Timestamp;
use serde_json::Value;

/// What upstream prints for a time it does not know.
pub const UNKNOWN: &str = "<unknown>";
/// What upstream prints for an absent value.
pub const NONE: &str = "<none>";

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The cell of [`crate::strategy::NAME`].
pub fn name(object: &Value) -> Value {
    object["metadata"]["name"].as_str().unwrap_or_default().into()
}

/// The cell of [`crate::strategy::AGE`].
pub fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// The cell of [`crate::strategy::CREATED_AT`].
pub fn created_at(object: &Value) -> Value {
    object["metadata"]["creationTimestamp"].as_str().unwrap_or("0001-01-01T00:00:00Z").into()
}

/// The time since an RFC 3339 timestamp, or `<unknown>`.
pub fn since(timestamp: &Value, now: Timestamp) -> String {
    match time(timestamp) {
        Some(then) => human_duration(now.as_second() - then.as_second()),
        None => UNKNOWN.to_owned(),
    }
}

/// Reads an RFC 3339 timestamp.
pub fn time(timestamp: &Value) -> Option<Timestamp> {
    timestamp.as_str()?.parse().ok()
}

/// A duration as people say it, two units at most: `90s`, `5m30s`, `2d3h`, `3y`.
///
/// Source: `k8s.io/apimachinery/pkg/util/duration`, `HumanDuration`.
pub fn human_duration(seconds: i64) -> String {
    let two = |unit: i64, letter: char, rest: i64, rest_letter: char| match rest {
        0 => format!("{unit}{letter}"),
        _ => format!("{unit}{letter}{rest}{rest_letter}"),
    };
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(seconds / YEAR, 'y', seconds % YEAR / DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// Labels as `a=b,c=d`, or `<none>`.
pub fn labels(labels: &Value) -> String {
    match labels.as_object() {
        Some(labels) if !labels.is_empty() => labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
        _ => NONE.to_owned(),
    }
}

/// A label selector as `a=b,c in (d,e),!f`; `<none>` if it selects everything.
pub fn label_selector(selector: &Value) -> String {
    let mut terms: Vec<(&str, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push((
            key,
            match expression["operator"].as_str().unwrap_or_default() {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.to_owned(),
                _ => format!("!{key}"),
            },
        ));
    }
    if terms.is_empty() {
        return NONE.to_owned();
    }
    terms.sort_by_key(|(key, _)| *key);
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

/// Names and images of a pod template's containers, each joined by commas.
pub fn containers(pod_spec: &Value) -> (String, String) {
    let column = |field: &str| {
        pod_spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| container[field].as_str().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(",")
    };
    (column("name"), column("image"))
}

/// An integer, 0 if absent.
pub fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_read_like_upstream() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (301, "5m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 61, "3h1m"),
            (8 * HOUR + 61, "8h"),
            (2 * DAY, "2d"),
            (2 * DAY + 3 * HOUR, "2d3h"),
            (8 * DAY + HOUR, "8d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR + DAY, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn selectors_read_like_upstream() {
        let selector = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "c", "operator": "NotIn", "values": ["y", "x"]},
            {"key": "a", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"}]});
        assert_eq!(label_selector(&selector), "a,b=1,c notin (x,y),!d");
        assert_eq!(label_selector(&json!({})), "<none>");
        assert_eq!(labels(&json!({"b": "2", "a": "1"})), "a=1,b=2");
    }
}

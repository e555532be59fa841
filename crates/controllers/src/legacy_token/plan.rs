//! Which tokens go. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan_api::time;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Secret, ServiceAccount};
use portolan_base::Timestamp;
use portolan_base::clock::{earlier, later};
use serde_json::Value;

/// Labels of Secrets with tokens: the day when one was last used, and since when it is refused.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
pub(super) const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Something to do with a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Say that its token is invalid since this day.
    Mark(String),
    /// Delete it.
    Delete,
}

/// Whether the use of tokens was noted for `period` by now, from the end of the day it began.
pub(super) fn tracked_long_enough(since: Option<&str>, period: Duration, now: Timestamp) -> bool {
    since.and_then(midnight).is_some_and(|since| now >= later(later(since, DAY), period))
}

/// Whether a Secret is old, and its token was not used for `period`: what can be said without looking elsewhere.
pub(super) fn is_candidate(secret: &Secret, period: Duration, now: Timestamp) -> bool {
    let metadata = &secret.metadata;
    if metadata.deletion_timestamp.is_some()
        || metadata.creation_timestamp.as_ref().is_some_and(|it| it.0 >= earlier(now, period))
    {
        return false;
    }
    match label(secret, LAST_USED) {
        // A day that cannot be read says nothing, so the token stays.
        Some(last) => midnight(last).is_some() && last < &*day(earlier(now, period)),
        // Not since it is noted.
        None => true,
    }
}

/// What to do with a candidate of this account, beside pods that name these Secrets.
pub(super) fn plan(
    secret: &Secret,
    account: &ServiceAccount,
    mounted: &BTreeSet<String>,
    period: Duration,
    now: Timestamp,
) -> Option<Action> {
    // Tokens made by hand are not listed by their account, and stay.
    let is_listed = account.secrets.iter().flatten().any(|listed| listed.name.as_deref() == Some(secret.name()));
    if !is_listed || mounted.contains(secret.name()) {
        return None;
    }
    match label(secret, INVALID_SINCE).filter(|since| midnight(since).is_some()) {
        None => Some(Action::Mark(day(now))),
        Some(since) => (since < &*day(earlier(now, period))).then_some(Action::Delete),
    }
}

fn label<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    secret.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// `2026-01-02`.
fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// The beginning of a day.
fn midnight(day: &str) -> Option<Timestamp> {
    time::parse(&format!("{day}T00:00:00Z"))
}

/// Adds the Secrets that a pod of this spec names, wherever it can.
pub(super) fn secrets_of(spec: &Value, names: &mut BTreeSet<String>) {
    match spec {
        Value::Array(items) => items.iter().for_each(|item| secrets_of(item, names)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let mut add = |name: &Value| names.extend(name.as_str().map(str::to_owned));
                match field.as_str() {
                    // Of projected volumes, variables and drivers of storage.
                    "secret" | "secretRef" | "secretKeyRef" | "nodePublishSecretRef" => {
                        add(&value["name"]);
                        add(&value["secretName"]);
                    }
                    "azureFile" => add(&value["secretName"]),
                    "imagePullSecrets" => value.as_array().into_iter().flatten().for_each(|item| add(&item["name"])),
                    _ => secrets_of(value, names),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const YEAR: Duration = Duration::from_secs(8760 * 3600);

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn secret(created: &str, labels: &Value) -> Secret {
        let metadata = json!({"name": "t", "namespace": "n", "creationTimestamp": created, "labels": labels});
        serde_json::from_value(json!({"metadata": metadata})).expect("a Secret")
    }

    #[test]
    fn nothing_goes_before_use_was_noted_for_long_enough() {
        let cases = [
            (None, "2040-01-01T00:00:00Z", false),
            (Some("yesterday"), "2040-01-01T00:00:00Z", false),
            (Some("2026-01-01"), "2027-01-01T23:59:59Z", false),
            (Some("2026-01-01"), "2027-01-02T00:00:00Z", true),
            (Some("9999-12-30"), "2040-01-01T00:00:00Z", false),
        ];
        for (since, now, expected) in cases {
            assert_eq!(tracked_long_enough(since, YEAR, at(now)), expected, "{since:?} {now}");
        }
    }

    #[test]
    fn tokens_that_nobody_uses_are_marked_and_then_deleted() {
        let now = at("2030-06-15T12:00:00Z");
        let mark = || Some(Action::Mark("2030-06-15".into()));
        let cases = [
            ("never used", "2029-06-15T11:59:59Z", json!({}), mark()),
            ("too young", "2029-06-15T12:00:00Z", json!({}), None),
            ("used on the last day that counts", "2020-01-01T00:00:00Z", json!({LAST_USED: "2029-06-15"}), None),
            ("used the day before", "2020-01-01T00:00:00Z", json!({LAST_USED: "2029-06-14"}), mark()),
            ("used on a day that cannot be read", "2020-01-01T00:00:00Z", json!({LAST_USED: "2029-6-14"}), None),
            ("marked with nonsense", "2020-01-01T00:00:00Z", json!({INVALID_SINCE: "soon"}), mark()),
            ("marked", "2020-01-01T00:00:00Z", json!({INVALID_SINCE: "2029-06-15"}), None),
            ("marked for a year", "2020-01-01T00:00:00Z", json!({INVALID_SINCE: "2029-06-14"}), Some(Action::Delete)),
            (
                "used although marked",
                "2020-01-01T00:00:00Z",
                json!({INVALID_SINCE: "2029-06-14", LAST_USED: "2030-06-01"}),
                None,
            ),
        ];
        let account = serde_json::from_value(json!({"secrets": [{"name": "t"}]})).expect("an account");
        for (what, created, labels, expected) in cases {
            let secret = secret(created, &labels);
            let candidate = is_candidate(&secret, YEAR, now);
            let action = candidate.then(|| plan(&secret, &account, &BTreeSet::new(), YEAR, now)).flatten();
            assert_eq!(action, expected, "{what}");
        }
    }

    #[test]
    fn tokens_stay_that_pods_name_or_people_made() {
        let now = at("2030-06-15T12:00:00Z");
        let secret = secret("2020-01-01T00:00:00Z", &json!({}));
        let listed: ServiceAccount = serde_json::from_value(json!({"secrets": [{"name": "t"}]})).expect("an account");
        assert_eq!(plan(&secret, &listed, &BTreeSet::from(["t".to_owned()]), YEAR, now), None);
        assert_eq!(plan(&secret, &ServiceAccount::default(), &BTreeSet::new(), YEAR, now), None);
    }

    #[test]
    fn every_way_of_naming_a_secret_counts() {
        let spec = json!({
            "imagePullSecrets": [{"name": "a"}, {}],
            "volumes": [
                {"name": "x", "secret": {"secretName": "b"}},
                {"name": "x", "projected": {"sources": [{"secret": {"name": "c"}}, {"configMap": {"name": "x"}}]}},
                {"name": "x", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "d"}}},
                {"name": "x", "azureFile": {"secretName": "e", "shareName": "x"}},
                {"name": "x", "cephfs": {"secretRef": {"name": "f"}}},
            ],
            "containers": [{"name": "x", "env": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "g", "key": "x"}}}]}],
            "initContainers": [{"name": "x", "envFrom": [{"secretRef": {"name": "h"}}, {"configMapRef": {"name": "x"}}]}],
            "ephemeralContainers": [{"name": "x", "envFrom": [{"secretRef": {"name": "i"}}]}],
        });
        let mut names = BTreeSet::new();
        secrets_of(&spec, &mut names);
        assert_eq!(names.into_iter().collect::<String>(), "abcdefghi");
    }
}

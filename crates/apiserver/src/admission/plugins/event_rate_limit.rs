//! Events come no faster than configured: by server, namespace, user, or source and object.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_api::field::{Error, Path};
use portolan_base::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::configuration::{self, Invalid};
use crate::status::Status;

/// How many namespaces, users or sources are told apart unless the settings say.
const KEYS: usize = 4096;

const TYPES: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];

/// The settings as a file has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    limits: Vec<Limit>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Limit {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    qps: i32,
    #[serde(default)]
    burst: i32,
    #[serde(default)]
    cache_size: i32,
}

/// All limits, and what was used of them.
#[derive(Clone, Default)]
pub(crate) struct EventLimits(Arc<[Limiter]>);

struct Limiter {
    limit: Limit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What may still come at once, and when that was counted.
#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl fmt::Debug for EventLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|limiter| &limiter.limit)).finish()
    }
}

impl EventLimits {
    /// What a file says, if that can be.
    pub(crate) fn checked(file: File) -> Result<Self, Invalid> {
        let list = Path::new("limits");
        let mut errors = Vec::new();
        if file.limits.is_empty() {
            errors.push(Error::invalid(&list, Value::Null, "must not be empty"));
        }
        for (index, limit) in file.limits.iter().enumerate() {
            let place = list.index(index);
            if !TYPES.contains(&limit.kind.as_str()) {
                errors.push(Error::not_supported(&place.child("type"), limit.kind.as_str(), &TYPES));
            }
            for (field, value) in [("burst", limit.burst), ("qps", limit.qps)] {
                if value <= 0 {
                    errors.push(Error::invalid(&place.child(field), value, "must be positive"));
                }
            }
            if limit.kind != "Server" && limit.cache_size < 0 {
                errors.push(Error::invalid(&place.child("cacheSize"), limit.cache_size, "must not be negative"));
            }
        }
        configuration::all(errors)?;
        let limiters = file.limits.into_iter().map(|limit| Limiter { limit, buckets: Mutex::default() });
        Ok(Self(limiters.collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Limiter {
    /// Whether one more may come.
    fn accept(&self, key: &str, now: Timestamp) -> bool {
        let (rate, burst) = (f64::from(self.limit.qps), f64::from(self.limit.burst));
        let most = usize::try_from(self.limit.cache_size).ok().filter(|size| *size > 0).unwrap_or(KEYS);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= most && !buckets.contains_key(key) {
            // Whoever was quiet for the longest time starts anew.
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            oldest.map(|key| buckets.remove(&key));
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { left: burst, at: now });
        let seconds = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.left = (bucket.left + seconds * rate).min(burst);
        // A request may have begun before one that is through already.
        bucket.at = bucket.at.max(now);
        let accepts = bucket.left >= 1.0;
        if accepts {
            bucket.left -= 1.0;
        }
        accepts
    }
}

pub(super) fn validate(attributes: &Attributes<'_>) -> Result<(), Status> {
    let is_event = ["", "events.k8s.io"].iter().any(|group| attributes.is_main(group, "events"));
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !is_event || !writes || attributes.dry_run {
        return Ok(());
    }
    let settings = &attributes.call.server.config.access.admission.event_limits;
    let mut wrong = Vec::new();
    for limiter in settings.0.iter() {
        let key = key(&limiter.limit.kind, attributes);
        if !limiter.accept(&key, attributes.call.now) {
            wrong.push(format!("limit reached on type {} for key {key}", limiter.limit.kind));
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Status::too_many_requests(one, 0)),
        all => Err(Status::too_many_requests(&format!("[{}]", all.join(", ")), 0)),
    }
}

fn key(kind: &str, attributes: &Attributes<'_>) -> String {
    match kind {
        "Namespace" => attributes.namespace().to_owned(),
        "User" => attributes.call.user.name.clone(),
        "SourceAndObject" => {
            let event = &attributes.new;
            // The two groups of events have different names for the same.
            let first = |places: [&str; 2]| {
                let texts = places.map(|place| event.pointer(place).and_then(Value::as_str).unwrap_or_default());
                texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
            };
            let source = [
                first(["/source/component", "/deprecatedSource/component"]),
                first(["/source/host", "/deprecatedSource/host"]),
            ];
            let object = ["kind", "namespace", "name", "uid", "apiVersion"]
                .map(|field| first([&format!("/involvedObject/{field}"), &format!("/regarding/{field}")]));
            source.into_iter().chain(object).collect()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_that_began_early_and_comes_late_gives_nothing_back() {
        let limit = Limit { kind: "Server".into(), qps: 1, burst: 1, cache_size: 0 };
        let limiter = Limiter { limit, buckets: Mutex::default() };
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for (seconds, expected) in [(60, true), (0, false), (60, false), (61, true), (1, false), (61, false)] {
            let accepted = limiter.accept("", start + Duration::from_secs(seconds));
            assert_eq!(accepted, expected, "{seconds}");
        }
    }
}

//! What a namespace demands of its pods, from its labels.

use std::fmt;

use portolan_api::field::{self, Path};
use serde_json::Value;

pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much a pod may do; each level forbids what the one before does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A level as a version of Kubernetes understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) level: Level,
    pub(super) version: String,
}

impl Demand {
    /// The minor version; the largest number for the latest.
    pub(super) fn minor(&self) -> u32 {
        self.version.strip_prefix("v1.").and_then(|minor| minor.parse().ok()).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.level.name(), self.version)
    }
}

/// What is refused, noted and warned about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: Demand,
    pub(super) audit: Demand,
    pub(super) warn: Demand,
}

impl Default for Demand {
    /// Nothing.
    fn default() -> Self {
        Self { level: Level::Privileged, version: "latest".to_owned() }
    }
}

impl Policy {
    /// Reads labels; what they do not say is as in `defaults`. What is malformed is an error; until it is mended, the
    /// strictest is enforced, and nothing noted or warned about.
    pub(super) fn of(labels: &Value, defaults: &Self) -> (Self, Vec<field::Error>) {
        let mut errors = Vec::new();
        let enforce = demand(labels, "enforce", &defaults.enforce, Level::Restricted, &mut errors);
        let says_what_is_enforced = labels[format!("{PREFIX}enforce")].as_str().and_then(Level::parse).is_some();
        let audit = demand(labels, "audit", &defaults.audit, Level::Privileged, &mut errors);
        let mut warn = demand(labels, "warn", &defaults.warn, Level::Privileged, &mut errors);
        // Whoever writes a workload shall hear of pods that will be refused later.
        if labels[format!("{PREFIX}warn")].is_null() && says_what_is_enforced && enforce.level > warn.level {
            warn.level = enforce.level;
            if labels[format!("{PREFIX}warn-version")].is_null() {
                warn.version.clone_from(&enforce.version);
            }
        }
        (Self { enforce, audit, warn }, errors)
    }

    pub(super) fn allows_everything(&self) -> bool {
        [&self.enforce, &self.audit, &self.warn].iter().all(|demand| demand.level == Level::Privileged)
    }
}

/// What the labels demand in a mode; `malformed` is what counts for a level that there is not.
fn demand(labels: &Value, mode: &str, default: &Demand, malformed: Level, errors: &mut Vec<field::Error>) -> Demand {
    let place = Path::new("metadata").child("labels");
    let label = format!("{PREFIX}{mode}");
    let level = match labels[&label].as_str() {
        None => default.level,
        Some(text) => Level::parse(text).unwrap_or_else(|| {
            let detail = "must be one of privileged, baseline, restricted";
            errors.push(field::Error::invalid(&place.key(&label), text, detail));
            malformed
        }),
    };
    let label = format!("{PREFIX}{mode}-version");
    let version = match labels[&label].as_str() {
        None => default.version.as_str(),
        Some(text) if is_version(text) => text,
        Some(text) => {
            let detail = "must be \"latest\" or \"v1.x\"";
            errors.push(field::Error::invalid(&place.key(&label), text, detail));
            "latest"
        }
    };
    Demand { level, version: version.to_owned() }
}

pub(super) fn is_version(text: &str) -> bool {
    let minor = text.strip_prefix("v1.").unwrap_or_default();
    text == "latest"
        || (minor == "0"
            || (!minor.is_empty() && !minor.starts_with('0') && minor.bytes().all(|it| it.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_say_what_is_demanded() {
        let cases = [
            (json!({}), "privileged:latest privileged:latest privileged:latest", ""),
            (
                json!({"pod-security.kubernetes.io/enforce": "baseline"}),
                "baseline:latest privileged:latest baseline:latest",
                "",
            ),
            (
                json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.30", "pod-security.kubernetes.io/warn": "baseline"}),
                "restricted:v1.30 privileged:latest baseline:latest",
                "",
            ),
            (
                json!({"pod-security.kubernetes.io/audit": "x", "pod-security.kubernetes.io/warn-version": "1"}),
                "privileged:latest privileged:latest privileged:latest",
                "metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"x\": must be one of privileged, baseline, restricted; metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1\": must be \"latest\" or \"v1.x\"",
            ),
        ];
        let shown = |policy: &Policy| format!("{} {} {}", policy.enforce, policy.audit, policy.warn);
        for (labels, expected, problems) in cases {
            let (policy, errors) = Policy::of(&labels, &Policy::default());
            assert_eq!(shown(&policy), expected, "{labels}");
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("; "), problems);
        }
        // Only what a namespace says itself is warned about beforehand.
        let defaults =
            Policy { enforce: Demand { level: Level::Baseline, version: "v1.29".to_owned() }, ..Policy::default() };
        for (labels, expected) in [
            (json!({}), "baseline:v1.29 privileged:latest privileged:latest"),
            (
                json!({"pod-security.kubernetes.io/audit": "baseline"}),
                "baseline:v1.29 baseline:latest privileged:latest",
            ),
            (
                json!({"pod-security.kubernetes.io/enforce": "restricted"}),
                "restricted:v1.29 privileged:latest restricted:v1.29",
            ),
            (
                json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn-version": "v1.3"}),
                "baseline:v1.29 privileged:latest baseline:v1.3",
            ),
            (
                json!({"pod-security.kubernetes.io/enforce": "x"}),
                "restricted:v1.29 privileged:latest privileged:latest",
            ),
        ] {
            assert_eq!(shown(&Policy::of(&labels, &defaults).0), expected, "{labels}");
        }
    }
}

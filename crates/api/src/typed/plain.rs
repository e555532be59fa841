//! Which new instances need no closer look.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::{CheckType, HealthCheck, InstanceLease, LeaseKind, Object as _, ServiceInstance, ServiceInstanceSpec};
use crate::annotations::CREATED_REVISION;
use crate::validation::{is_dns1123_label, is_dns1123_subdomain, is_qualified_name, is_registered_name};

/// The longest time without a renewal.
pub const LONGEST_TTL_SECONDS: i32 = 24 * 60 * 60;
/// No output of a check is larger, in bytes.
pub const LARGEST_OUTPUT: i32 = 64 << 10;
/// Objects inside each other in what only one dialect knows.
const DEEPEST: usize = 16;
/// Bytes of texts in annotations.
const MOST_ANNOTATIONS: usize = 64 << 10;

impl ServiceInstance {
    /// Whether there is nothing about a new instance that needs a closer look: it is valid, its defaults are filled in,
    /// and each of its values is in its one form. `false` may be said of valid ones too.
    pub fn is_plain(&self) -> bool {
        let metadata = &self.metadata;
        let plain_metadata = is_dns1123_subdomain(self.name()).is_empty()
            && !self.name().is_empty()
            && metadata.resource_version.is_none()
            && metadata.generate_name.is_none()
            && metadata.deletion_timestamp.is_none()
            && metadata.managed_fields.is_none()
            && metadata.self_link.is_none()
            && metadata.labels.is_none()
            && metadata.finalizers.is_none()
            && metadata.owner_references.is_none()
            && metadata.annotations.as_ref().is_none_or(are_plain_annotations);
        plain_metadata && is_plain_spec(&self.spec) && self.has_plain_status()
    }

    fn has_plain_status(&self) -> bool {
        let Some(status) = &self.status else { return true };
        let mut ids = HashSet::new();
        status.lease_held_since.is_none()
            && status.checks.iter().all(|check| !check.id.is_empty() && ids.insert(check.id.as_str()))
    }
}

fn are_plain_annotations(annotations: &BTreeMap<String, String>) -> bool {
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    !annotations.is_empty()
        && !annotations.contains_key(CREATED_REVISION)
        && size <= MOST_ANNOTATIONS
        && annotations.keys().all(|key| is_qualified_name(key).is_empty())
}

/// A name as other registries allow it that is there.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && is_registered_name(name).is_empty()
}

fn is_plain_spec(spec: &ServiceInstanceSpec) -> bool {
    let place = match spec.address.as_str() {
        "" => !spec.node.is_empty(),
        address => is_plain_name(address),
    };
    let mut names = HashSet::new();
    let ports = spec.ports.iter().all(|port| {
        (1..=65535).contains(&port.port)
            && matches!(port.protocol.as_str(), "TCP" | "UDP" | "SCTP")
            && (port.name.is_empty() && spec.ports.len() == 1
                || is_dns1123_label(&port.name).is_empty() && names.insert(port.name.as_str()))
    });
    let mut ids = HashSet::new();
    let checks = spec.checks.iter().all(|check| is_plain_check(check) && ids.insert(check.id.as_str()));
    let is_some = |text: &String| !text.is_empty();
    is_plain_name(&spec.service)
        && is_some(&spec.instance_id)
        && place
        && ports
        && checks
        && spec.weights.is_some_and(|weights| weights.passing > 0 && weights.warning > 0)
        && spec.lease.as_ref().is_some_and(is_plain_lease)
        && spec.locality.as_ref().is_none_or(|it| is_some(&it.region) || is_some(&it.zone) || is_some(&it.rack))
        && spec.tagged_addresses.values().all(|tagged| is_some(&tagged.address) && tagged.port != 0)
        && spec.extensions.values().all(|extension| is_plain_value(extension, DEEPEST))
}

fn is_plain_lease(lease: &InstanceLease) -> bool {
    match lease.kind {
        LeaseKind::Ttl => matches!(lease.ttl_seconds, Some(1..=LONGEST_TTL_SECONDS)) && lease.session.is_empty(),
        LeaseKind::Connection => {
            matches!(lease.ttl_seconds, None | Some(1..=LONGEST_TTL_SECONDS)) && lease.session.is_empty()
        }
        LeaseKind::Session => lease.ttl_seconds.is_none() && !lease.session.is_empty(),
        LeaseKind::None => lease.ttl_seconds.is_none() && lease.session.is_empty(),
        // Who its owner is must be looked at.
        LeaseKind::Orchestrator => false,
    }
}

fn is_plain_check(check: &HealthCheck) -> bool {
    let at_intervals = check.interval_milliseconds.is_some();
    let is_complete = match check.r#type {
        CheckType::Http => !check.url.is_empty() && at_intervals,
        CheckType::Tcp | CheckType::Udp | CheckType::Grpc | CheckType::H2ping => {
            !check.address.is_empty() && at_intervals
        }
        CheckType::Script => !check.command.is_empty() && at_intervals,
        CheckType::Ttl => check.ttl_milliseconds.is_some(),
        CheckType::Alias | CheckType::External => true,
    };
    let durations = [check.interval_milliseconds, check.timeout_milliseconds, check.ttl_milliseconds];
    let counts = [check.success_before_passing, check.failures_before_warning, check.failures_before_critical];
    is_plain_name(&check.id)
        && is_complete
        && durations.iter().all(|duration| duration.is_none_or(|duration| duration > 0))
        && counts.iter().all(|count| *count >= 0)
        && check.output_max_bytes.is_none_or(|bytes| (1..=LARGEST_OUTPUT).contains(&bytes))
        && check.deregister_critical_after_seconds.is_none_or(|seconds| seconds > 0)
        && check.headers.values().all(|values| !values.is_empty())
}

/// Whether a value of any form is read and written again as it is.
fn is_plain_value(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => number.is_i64(),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_plain_value(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_plain_value(field, depth - 1)),
    }
}

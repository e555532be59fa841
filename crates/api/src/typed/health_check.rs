//! Health checks of instances and machines, and what they found.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_base::Timestamp;
use serde::{Deserialize, Serialize};

use super::Object;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// What one try over the network may take by default, as in Consul.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);
/// What one run of a command may take by default, as in Consul.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of output that are kept by default, as in Consul.
const DEFAULT_OUTPUT: usize = 4096;

/// The health of an instance, a machine or one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Takes requests.
    #[default]
    Passing,
    /// Takes requests, with its lower weight.
    Warning,
    /// Takes none.
    Critical,
}

impl Health {
    /// `passing`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How a check finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// The instance says so in time.
    #[default]
    Ttl,
    /// A request over HTTP.
    Http,
    /// A request over HTTPS is [`CheckType::Http`] with such an URL; a TCP connection.
    Tcp,
    /// A datagram that is not refused.
    Udp,
    /// The gRPC health checking protocol.
    Grpc,
    /// A ping frame over HTTP/2.
    H2ping,
    /// The exit code of a command; only where the node allows it.
    Script,
    /// Whatever another node or service is.
    Alias,
    /// Somebody else decides and writes the result.
    External,
}

impl CheckType {
    /// The word for it in objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Grpc => "grpc",
            Self::H2ping => "h2ping",
            Self::Script => "script",
            Self::Alias => "alias",
            Self::External => "external",
        }
    }

    /// Whether somebody of ours must act at intervals to know.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Ttl | Self::Alias | Self::External)
    }
}

/// One way to find out how an instance or a machine does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Identity among the checks of its owner.
    pub id: String,
    /// Name for people; the id if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How it finds out.
    pub r#type: CheckType,
    /// Words for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// What [`CheckType::Http`] asks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Method of the request, GET if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Headers of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// Body of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Takes a redirect for the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_redirects: bool,
    /// `host:port` of TCP, UDP, gRPC (`host:port/service`) and HTTP/2.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Over TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls: bool,
    /// Name that the certificate must have, if not the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_server_name: String,
    /// Takes any certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_skip_verify: bool,
    /// Command of [`CheckType::Script`] and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Node that [`CheckType::Alias`] follows; the owner's if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_node: String,
    /// Instance id that [`CheckType::Alias`] follows; the node's own checks if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_service: String,
    /// Time between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_milliseconds: Option<i64>,
    /// Time that a try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_milliseconds: Option<i64>,
    /// Time within which the instance must say how it is, for [`CheckType::Ttl`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_milliseconds: Option<i64>,
    /// Good results in a row before it passes again; 0 and 1 mean at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: i32,
    /// Bad results in a row before it warns; as many as before it is critical if 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_warning: i32,
    /// Bad results in a row before it is critical; 0 and 1 mean at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: i32,
    /// Bytes of output that are kept; 4096 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_max_bytes: Option<i32>,
    /// Seconds of critical health after which the owner is deregistered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_after_seconds: Option<i32>,
    /// Health before the first result; critical if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_health: Option<Health>,
}

/// What a check found last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckStatus {
    /// The check.
    pub id: String,
    /// What it found.
    pub health: Health,
    /// In words; may lag behind while the health stays the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Since when the health is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl HealthCheck {
    /// Health before the first result.
    pub fn initial(&self) -> Health {
        self.initial_health.unwrap_or(Health::Critical)
    }

    /// Time between two tries.
    pub fn interval(&self) -> Duration {
        milliseconds(self.interval_milliseconds).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Time that a try may take; by default not longer than the interval, scripts excepted.
    pub fn timeout(&self) -> Duration {
        let default = match self.r#type {
            CheckType::Script => SCRIPT_TIMEOUT,
            _ => self.interval().min(NETWORK_TIMEOUT),
        };
        milliseconds(self.timeout_milliseconds).unwrap_or(default)
    }

    /// Time within which the instance must say how it is; none if it is no such check.
    pub fn ttl(&self) -> Option<Duration> {
        milliseconds(self.ttl_milliseconds).filter(|_| self.r#type == CheckType::Ttl)
    }

    /// Time of critical health after which the owner is deregistered.
    pub fn deregister_critical_after(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.deregister_critical_after_seconds?).ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// How many bytes of output are kept.
    pub fn output_limit(&self) -> usize {
        self.output_max_bytes.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_OUTPUT)
    }

    /// The part of `output` that is kept.
    pub fn capped<'a>(&self, output: &'a str) -> &'a str {
        let mut end = output.len().min(self.output_limit());
        while !output.is_char_boundary(end) {
            end -= 1;
        }
        &output[..end]
    }

    /// Its name for people.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}

/// A kind whose objects have checks.
pub trait Checked: Object {
    /// What is to be checked.
    fn checks(&self) -> &[HealthCheck];

    /// What that found.
    fn results(&self) -> &[HealthCheckStatus];

    /// What that found, to be changed.
    fn results_mut(&mut self) -> &mut Vec<HealthCheckStatus>;

    /// A check by its identity.
    fn check(&self, id: &str) -> Option<&HealthCheck> {
        self.checks().iter().find(|check| check.id == id)
    }

    /// What a check found.
    fn result(&self, id: &str) -> Option<&HealthCheckStatus> {
        self.results().iter().find(|result| result.id == id)
    }
}

/// Notes what a check found among the results of its owner, `since` only when the health changes.
/// Returns whether that changed anything.
pub fn record_check(
    results: &mut Vec<HealthCheckStatus>,
    check: &HealthCheck,
    health: Health,
    output: &str,
    now: Timestamp,
) -> bool {
    let output = check.capped(output);
    let Some(present) = results.iter_mut().find(|result| result.id == check.id) else {
        let since = Some(Time(now));
        results.push(HealthCheckStatus { id: check.id.clone(), health, output: output.to_owned(), since });
        return true;
    };
    if present.health == health && present.output == output {
        return false;
    }
    if present.health != health || present.since.is_none() {
        present.since = Some(Time(now));
    }
    (present.health, present.output) = (health, output.to_owned());
    true
}

/// Whether there are results of checks that their owner does not have.
pub fn has_leftovers(object: &impl Checked) -> bool {
    object.results().iter().any(|result| object.check(&result.id).is_none())
}

/// Drops results of checks that their owner no longer has. Returns whether there were any.
pub fn drop_leftovers(object: &mut impl Checked) -> bool {
    let has_any = has_leftovers(object);
    if has_any {
        let known: Vec<String> = object.checks().iter().map(|check| check.id.clone()).collect();
        object.results_mut().retain(|result| known.contains(&result.id));
    }
    has_any
}

fn milliseconds(value: Option<i64>) -> Option<Duration> {
    let value = u64::try_from(value?).ok()?;
    (value > 0).then(|| Duration::from_millis(value))
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_health_moves_its_time() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        let check = HealthCheck { id: "c".into(), output_max_bytes: Some(3), ..HealthCheck::default() };
        let mut results = Vec::new();
        let steps = [
            (Health::Critical, "no", 1, true, 1),
            (Health::Critical, "no", 2, false, 1),
            (Health::Critical, "äö", 3, true, 1),
            (Health::Passing, "yes, it does", 4, true, 4),
        ];
        for (health, output, now, changed, since) in steps {
            assert_eq!(record_check(&mut results, &check, health, output, at(now)), changed);
            assert_eq!(results[0].since, Some(Time(at(since))));
        }
        assert_eq!((results.len(), results[0].output.as_str()), (1, "yes"));
    }
}

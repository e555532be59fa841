//! What a session is, and whether it may live. Pure.

use std::time::Duration;

use portolan_catalog::{Snapshot, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Machines;
use crate::{Error, duration, fold};

const SHORTEST_TTL: Duration = Duration::from_secs(10);
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);
const LONGEST_LOCK_DELAY: Duration = Duration::from_secs(60);
/// Numbers below this are seconds, others nanoseconds.
const SECONDS_BELOW: i64 = 1000;
/// The check that each machine of the cluster has.
const MACHINE_CHECK: &str = "serfHealth";

/// What happens to the keys that a session holds when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Behavior {
    /// They stay, without their lock.
    #[default]
    Release,
    /// They go.
    Delete,
}

/// A check of an instance that a session depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ServiceCheck {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Session {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) node: String,
    /// Nanoseconds.
    pub(crate) lock_delay: u64,
    pub(crate) behavior: Behavior,
    /// As written by the client; empty: it lives until it is destroyed.
    #[serde(rename = "TTL")]
    pub(crate) ttl: String,
    pub(crate) node_checks: Vec<String>,
    pub(crate) service_checks: Option<Vec<ServiceCheck>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    name: String,
    node: String,
    lock_delay: Option<Value>,
    behavior: String,
    #[serde(rename = "TTL")]
    ttl: String,
    checks: Option<Vec<String>>,
    node_checks: Option<Vec<String>>,
    service_checks: Option<Vec<ServiceCheck>>,
}

const FIELDS: [&str; 10] =
    ["Name", "Node", "LockDelay", "Behavior", "TTL", "Checks", "NodeChecks", "ServiceChecks", "ID", "Namespace"];

impl Session {
    /// Reads what a client asks for; `node` is where it lives if the client does not say.
    pub(crate) fn parse(body: &[u8], id: String, node: &str) -> Result<Self, Error> {
        let empty = body.iter().all(u8::is_ascii_whitespace);
        let wanted: Wanted = if empty { Wanted::default() } else { fold::read(body, &FIELDS, &[])? };
        // Consul's servers find this, behind the agent that the client asks; so it is a failure by its code.
        let invalid = |text: String| Error::Internal(text);
        let behavior = match wanted.behavior.as_str() {
            "" | "release" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return Err(invalid(format!("Invalid Behavior setting '{other}'"))),
        };
        if !wanted.ttl.is_empty() {
            let ttl = duration::parse(&wanted.ttl)
                .map_err(|error| invalid(format!("Session TTL '{}' invalid: {error}", wanted.ttl)))?;
            if !(ttl.is_zero() || (SHORTEST_TTL..=LONGEST_TTL).contains(&ttl)) {
                return Err(invalid(format!(
                    "Invalid Session TTL '{}', must be between [10s=24h0m0s]",
                    ttl.as_nanos()
                )));
            }
        }
        let lock_delay = lock_delay(wanted.lock_delay)?;
        // `Checks` is the old name of `NodeChecks`.
        let node_checks = wanted.node_checks.or(wanted.checks).unwrap_or_else(|| vec![MACHINE_CHECK.to_owned()]);
        Ok(Self {
            id,
            name: wanted.name,
            node: if wanted.node.is_empty() { node.to_owned() } else { wanted.node },
            lock_delay: u64::try_from(lock_delay.as_nanos()).unwrap_or(u64::MAX),
            behavior,
            ttl: wanted.ttl,
            node_checks,
            service_checks: wanted.service_checks,
        })
    }

    /// Time to live; `None`: until it is destroyed.
    pub(crate) fn time_to_live(&self) -> Option<Duration> {
        duration::parse(&self.ttl).ok().filter(|ttl| !ttl.is_zero())
    }

    /// How long keys that it held cannot be locked.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_nanos(self.lock_delay)
    }

    /// Why it cannot live, if so.
    pub(crate) fn verdict(&self, machines: &Machines, snapshot: &Snapshot) -> Option<Broken> {
        let Some(node) = machines.get(&self.node) else {
            return Some(Broken::Missing("Missing node registration".into()));
        };
        let services = self.service_checks.iter().flatten().map(|check| check.id.as_str());
        for id in self.node_checks.iter().map(String::as_str).chain(services) {
            let of_node = node.checks.iter().find(|check| &*check.id == id);
            match of_node.map(|check| check.status).or_else(|| of_instances(machines, snapshot, &node.name, id)) {
                None => return Some(Broken::Missing(format!("Missing check '{id}' registration"))),
                Some(Status::Critical) => return Some(Broken::Critical(format!("Check '{id}' is in critical state"))),
                Some(_) => {}
            }
        }
        None
    }
}

/// Why a session cannot live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Its node or a check is not there.
    Missing(String),
    /// A check is critical.
    Critical(String),
}

impl Broken {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Missing(text) | Self::Critical(text) => text,
        }
    }
}

/// The worst of the checks with this id among the instances of a node.
fn of_instances(machines: &Machines, snapshot: &Snapshot, node: &str, id: &str) -> Option<Status> {
    let instances = snapshot.instances().flat_map(|(_, instances)| instances.iter());
    let on_node = instances.filter(|instance| machines.name_of(instance) == node);
    let checks = on_node.flat_map(|instance| instance.checks.iter());
    checks.filter(|check| &*check.id == id).map(|check| check.status).max()
}

fn lock_delay(value: Option<Value>) -> Result<Duration, Error> {
    let invalid = |value: &Value| Error::BadRequest(format!("Request decode failed: invalid LockDelay {value}"));
    let delay = match &value {
        None => DEFAULT_LOCK_DELAY,
        Some(Value::String(text)) if text.is_empty() => DEFAULT_LOCK_DELAY,
        Some(text @ Value::String(written)) => duration::parse(written).map_err(|_| invalid(text))?,
        Some(number @ Value::Number(written)) => match written.as_i64() {
            Some(seconds @ 0..SECONDS_BELOW) => Duration::from_secs(seconds.unsigned_abs()),
            Some(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds.unsigned_abs()),
            _ => return Err(invalid(number)),
        },
        Some(other) => return Err(invalid(other)),
    };
    Ok(delay.min(LONGEST_LOCK_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_as_consul_reads_them() {
        /// Lock-delay in seconds, behaviour and TTL; or part of the complaint.
        type Read = Result<(u64, Behavior, &'static str), &'static str>;
        let cases: [(&str, Read); 10] = [
            ("", Ok((15, Behavior::Release, ""))),
            ("{}", Ok((15, Behavior::Release, ""))),
            (r#"{"lockdelay": "5s", "behavior": "delete", "ttl": "20s"}"#, Ok((5, Behavior::Delete, "20s"))),
            (r#"{"LockDelay": 0}"#, Ok((0, Behavior::Release, ""))),
            (r#"{"LockDelay": 30}"#, Ok((30, Behavior::Release, ""))),
            (r#"{"LockDelay": 2000000000}"#, Ok((2, Behavior::Release, ""))),
            (r#"{"LockDelay": "10m"}"#, Ok((60, Behavior::Release, ""))),
            (r#"{"TTL": "9s"}"#, Err("must be between")),
            (r#"{"Behavior": "keep"}"#, Err("Invalid Behavior")),
            ("[", Err("Request decode failed")),
        ];
        for (body, expected) in cases {
            match (Session::parse(body.as_bytes(), "id".into(), "n"), expected) {
                (Ok(session), Ok(expected)) => {
                    assert_eq!((session.delay().as_secs(), session.behavior, session.ttl.as_str()), expected, "{body}");
                    assert_eq!((session.node.as_str(), session.node_checks), ("n", vec!["serfHealth".into()]));
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{body}: {error}"),
                (got, expected) => panic!("{body}: {got:?} instead of {expected:?}"),
            }
        }
    }
}

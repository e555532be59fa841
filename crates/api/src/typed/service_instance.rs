//! Our own kind: one running copy of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Serialize};

use super::health_check::is_false;
use super::{Checked, Health, HealthCheck, HealthCheckStatus};

/// One running copy of a service, registered by itself or by an agent on its behalf.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct ServiceInstance {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What was registered.
    #[serde(default)]
    pub spec: ServiceInstanceSpec,
    /// How it is.
    #[serde(default)]
    pub status: Option<ServiceInstanceStatus>,
}

/// What was registered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceInstanceSpec {
    /// Name of the service.
    pub service: String,
    /// What the client calls the instance.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
    /// Address or host name where it is reached.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<InstancePort>,
    /// Words to select it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whatever else the client says about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Version of the software.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its share of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<InstanceWeights>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<InstanceLocality>,
    /// How long it stays registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<InstanceLease>,
    /// Node it runs on, of the cluster or external; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Further addresses by the kind of client they are for, for example `wan`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Whether others than its agent may change the tags.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_tag_override: bool,
    /// How to find out how it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
    /// What an administrator decided about it.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub administrative: Option<InstanceOverride>,
    /// Dialect that registered it: `http`, `consul`, `eureka` and so on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// What only one dialect knows of, by the dialect's name.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub extensions: serde_json::Map<String, serde_json::Value>,
}

/// A further address of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaggedAddress {
    /// Address or host name.
    pub address: String,
    /// Port.
    pub port: i32,
}

/// What an administrator decided about an instance, whatever its checks say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceOverride {
    /// The decision.
    pub mode: OverrideMode,
    /// Why; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl Eq for InstanceOverride {}

/// An administrative decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OverrideMode {
    /// Takes no requests while somebody works on it.
    #[default]
    Maintenance,
    /// Takes no requests.
    OutOfService,
    /// Declared down.
    Down,
    /// Takes requests whatever it says itself.
    Up,
}

impl OverrideMode {
    /// The word for it in objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::OutOfService => "outOfService",
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// A port of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstancePort {
    /// Name; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Number.
    pub port: i32,
    /// `TCP` if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
}

/// Shares of requests, by health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceWeights {
    /// While it is passing.
    pub passing: i32,
    /// While it is warning.
    pub warning: i32,
}

/// Where an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceLocality {
    /// Region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Zone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Rack.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rack: String,
}

/// How long an instance stays registered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceLease {
    /// What ends the registration.
    pub kind: LeaseKind,
    /// The session that it lives by, for [`LeaseKind::Session`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Seconds without renewal after which it ends, for [`LeaseKind::Ttl`]; without a connection, for
    /// [`LeaseKind::Connection`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<i32>,
}

/// What a registration lives by, and how long it stays without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTerm<'a> {
    /// Renewals.
    Renewals(Duration),
    /// An open connection.
    Connection(Duration),
    /// The session of this id.
    Session(&'a str),
}

/// How long a registration stays after its connection ended, unless it says: as long as a client needs to come back.
const CONNECTION_GRACE: Duration = Duration::from_secs(5);

/// What ends a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseKind {
    /// Missing renewals.
    Ttl,
    /// The end of a connection.
    Connection,
    /// The end of a session.
    Session,
    /// The end of its owner, an object of the cluster.
    Orchestrator,
    /// Only a request.
    #[default]
    None,
}

impl LeaseKind {
    /// The word for it in objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Connection => "connection",
            Self::Session => "session",
            Self::Orchestrator => "orchestrator",
            Self::None => "none",
        }
    }
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceInstanceStatus {
    /// Its health.
    pub health: Health,
    /// Why; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What its checks found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheckStatus>,
    /// Since when it stays although its lease has run out, because too many ran out at once.
    #[serde(rename = "leaseHeldSince", skip_serializing_if = "Option::is_none")]
    pub lease_held_since: Option<Time>,
}

/// How an instance is, all things considered.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its health.
    pub health: Health,
    /// Why; may be empty.
    pub reason: String,
    /// Since when, if known.
    pub since: Option<Time>,
}

impl ServiceInstanceSpec {
    /// Fills in what the API fills in, so that a registration compares with what is stored.
    pub fn fill_defaults(&mut self, name: &str) {
        if self.instance_id.is_empty() {
            self.instance_id = name.to_owned();
        }
        for port in self.ports.iter_mut().filter(|port| port.protocol.is_empty()) {
            port.protocol = "TCP".to_owned();
        }
        self.weights.get_or_insert(InstanceWeights { passing: 1, warning: 1 });
        self.lease.get_or_insert_default();
    }
}

impl ServiceInstance {
    /// What it lives by; `None` if it stays until somebody ends it.
    pub fn lease_term(&self) -> Option<LeaseTerm<'_>> {
        let lease = self.spec.lease.as_ref()?;
        let seconds = || Some(Duration::from_secs(u64::try_from(lease.ttl_seconds?).ok()?.max(1)));
        match lease.kind {
            LeaseKind::Ttl => seconds().map(LeaseTerm::Renewals),
            LeaseKind::Connection => Some(LeaseTerm::Connection(seconds().unwrap_or(CONNECTION_GRACE))),
            LeaseKind::Session => Some(LeaseTerm::Session(&lease.session)),
            LeaseKind::Orchestrator | LeaseKind::None => None,
        }
    }

    /// Time without renewal after which it goes, if it has such a lease.
    pub fn lease_ttl(&self) -> Option<Duration> {
        match self.lease_term()? {
            LeaseTerm::Renewals(ttl) => Some(ttl),
            LeaseTerm::Connection(_) | LeaseTerm::Session(_) => None,
        }
    }

    /// Reads an object that is JSON already.
    ///
    /// # Errors
    /// It does not fit the kind.
    pub fn decode_value(object: &serde_json::Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(object)
    }

    /// How the instance is, all things considered: an administrator's decision first, then the worst
    /// of its checks, then what it said of itself; with the reason.
    pub fn effective_health(&self) -> (Health, String) {
        let verdict = self.verdict();
        (verdict.health, verdict.reason)
    }

    /// As [`ServiceInstance::effective_health`], and since when.
    pub fn verdict(&self) -> Verdict {
        if let Some(decision) = &self.spec.administrative {
            let reason = match (decision.mode, decision.reason.as_str()) {
                (mode, "") => format!("override: {}", mode.as_str()),
                (mode, reason) => format!("override: {} ({reason})", mode.as_str()),
            };
            let health = match decision.mode {
                OverrideMode::Up => Health::Passing,
                _ => Health::Critical,
            };
            return Verdict { health, reason, since: decision.since.clone() };
        }
        let own = ServiceInstanceStatus::default();
        let own = self.status.as_ref().unwrap_or(&own);
        let checks = self.spec.checks.iter().map(|check| (self.check_health(check), self.result(&check.id), check));
        // Of equally bad ones, the first that found something says more than one that did not.
        let worst = checks.rev().max_by_key(|(health, result, _)| (*health, result.is_some()));
        match worst {
            Some((health, result, check)) if health >= own.health && health > Health::Passing => {
                let name = check.display_name();
                let reason = match result.map(|result| result.output.trim()).unwrap_or_default() {
                    "" => format!("check {name}"),
                    output => format!("check {name}: {output}"),
                };
                Verdict { health, reason, since: result.and_then(|result| result.since.clone()) }
            }
            _ => match &own.lease_held_since {
                Some(since) => Verdict { health: own.health, reason: held_reason(since), since: own.since.clone() },
                None => Verdict { health: own.health, reason: own.reason.clone(), since: own.since.clone() },
            },
        }
    }

    /// What a check of this instance found last.
    pub fn check_health(&self, check: &HealthCheck) -> Health {
        let found = self.status.iter().flat_map(|status| &status.checks).find(|found| found.id == check.id);
        found.map_or_else(|| check.initial(), |found| found.health)
    }
}

impl Checked for ServiceInstance {
    fn checks(&self) -> &[HealthCheck] {
        &self.spec.checks
    }

    fn results(&self) -> &[HealthCheckStatus] {
        self.status.as_ref().map_or(&[], |status| &status.checks)
    }

    fn results_mut(&mut self) -> &mut Vec<HealthCheckStatus> {
        &mut self.status.get_or_insert_default().checks
    }
}

/// Why an instance is still there although its lease ran out.
fn held_reason(since: &Time) -> String {
    format!(
        "its lease ran out at {}, with too many others to be deaths: kept until it is heard of again, its health is the last known",
        crate::time::format(since.0)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::description::GroupVersionKind;
    use crate::schema;
    use crate::typed::Object;

    #[test]
    fn fits_its_own_description() {
        let object = json!({
            "apiVersion": "registry.portolan.dev/v1", "kind": "ServiceInstance", "metadata": {"name": "cart-1"},
            "spec": {"service": "cart", "instanceId": "1", "address": "10.0.0.1", "version": "2",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "tags": ["a"], "metadata": {"k": "v"},
                "weights": {"passing": 10, "warning": 1}, "locality": {"region": "r", "zone": "z", "rack": "k"},
                "lease": {"kind": "ttl", "ttlSeconds": 30}, "node": "vm-1", "enableTagOverride": true, "origin": "consul",
                "taggedAddresses": {"wan": {"address": "192.0.2.1", "port": 80}},
                "override": {"mode": "outOfService", "reason": "disk", "since": "2026-01-01T00:00:00Z"},
                "extensions": {"eureka": {"countryId": 1}},
                "checks": [{"id": "c", "type": "http", "url": "http://10.0.0.1/", "headers": {"a": ["b"]},
                    "intervalMilliseconds": 100, "initialHealth": "passing"}]},
            "status": {"health": "warning", "reason": "slow", "since": "2026-01-01T00:00:00Z",
                "leaseHeldSince": "2026-01-01T00:00:00Z",
                "checks": [{"id": "c", "health": "critical", "output": "refused", "since": "2026-01-01T00:00:00Z"}]}
        });
        let kind = GroupVersionKind::from_api_version(ServiceInstance::API_VERSION, ServiceInstance::KIND);
        assert_eq!(schema::check(&object, kind), schema::Findings::default());
        let decoded = ServiceInstance::decode(object.to_string().as_bytes()).expect("decodes");
        let encoded: Value = serde_json::from_slice(&decoded.encode()).expect("JSON");
        assert_eq!(encoded, object);
        let list = json!({"metadata": {"resourceVersion": "7"}, "items": [object]}).to_string();
        let list = ServiceInstance::decode_list(list.as_bytes()).expect("decodes");
        assert_eq!((list.items, list.resource_version.as_str()), (vec![decoded], "7"));
    }
}

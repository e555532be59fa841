//! A registration as clients send it, and the object it becomes. Pure.

use std::collections::BTreeMap;

use portolan_api::typed::{
    HealthCheck, InstanceLease, InstanceLocality, InstancePort, InstanceWeights, LeaseKind, ServiceInstance,
    ServiceInstanceSpec,
};
use serde::Deserialize;

use crate::{Error, strict};

/// A lease shorter than this would be lost to ordinary delays.
const SHORTEST_TTL: u32 = 1;
/// A lease longer than this is no sign of life.
const LONGEST_TTL: u32 = 24 * 3600;

/// The body of `POST /registry/instances`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Registration {
    service: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    id: Option<String>,
    #[serde(default)]
    address: String,
    port: Option<u16>,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    version: String,
    #[serde(default, deserialize_with = "strict::weights")]
    weights: Option<InstanceWeights>,
    #[serde(default, deserialize_with = "strict::locality")]
    locality: Option<InstanceLocality>,
    ttl_seconds: Option<u32>,
    /// How to find out how it does, as in the object.
    #[serde(default, deserialize_with = "strict::checks")]
    checks: Vec<HealthCheck>,
    /// The session of Consul that it lives by.
    session: Option<String>,
    /// Whether it lives by the connection that it came over.
    #[serde(skip)]
    is_connected: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    #[serde(default)]
    name: String,
    port: u16,
    #[serde(default)]
    protocol: String,
}

pub(crate) fn default_namespace() -> String {
    "default".into()
}

impl Registration {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(body).map_err(|error| malformed("the body", &error))
    }

    /// Reads an item of a batch.
    pub(crate) fn from_item(item: serde_json::Value) -> Result<Self, Error> {
        serde_json::from_value(item).map_err(|error| malformed("the item", &error))
    }

    /// It lives by the connection that it came over.
    pub(crate) fn connected(self) -> Self {
        Self { is_connected: true, ..self }
    }

    fn lease(&self) -> Result<InstanceLease, Error> {
        let ttl_seconds = match self.ttl_seconds {
            Some(seconds) if !(SHORTEST_TTL..=LONGEST_TTL).contains(&seconds) => {
                return Err(Error::BadRequest(format!(
                    "ttlSeconds: {seconds} is not between {SHORTEST_TTL} and {LONGEST_TTL}"
                )));
            }
            seconds => seconds.and_then(|seconds| i32::try_from(seconds).ok()),
        };
        let kind = match (&self.session, self.is_connected, ttl_seconds) {
            (Some(_), true, _) | (Some(_), _, Some(_)) => {
                return Err(Error::BadRequest(
                    "session: what lives by a session has no other lease, neither ttlSeconds nor a connection".into(),
                ));
            }
            (Some(session), ..) => {
                let session = required(session, "session")?.to_owned();
                return Ok(InstanceLease { kind: LeaseKind::Session, session, ttl_seconds: None });
            }
            (None, true, _) => LeaseKind::Connection,
            (None, false, Some(_)) => LeaseKind::Ttl,
            (None, false, None) => LeaseKind::None,
        };
        Ok(InstanceLease { kind, ttl_seconds, ..InstanceLease::default() })
    }

    /// The object that it becomes. An absent address is that of the `peer`.
    pub(crate) fn into_object(self, peer: std::net::IpAddr) -> Result<ServiceInstance, Error> {
        let service = required(&self.service, "service")?;
        for check in &self.checks {
            required(&check.id, "checks: id")?;
        }
        let lease = self.lease()?;
        let mut ports: Vec<InstancePort> = self
            .ports
            .iter()
            .map(|port| InstancePort {
                name: port.name.clone(),
                port: port.port.into(),
                protocol: port.protocol.clone(),
            })
            .collect();
        if let Some(port) = self.port {
            ports.insert(0, InstancePort { port: port.into(), ..InstancePort::default() });
        }
        if ports.iter().any(|port| port.port == 0) {
            return Err(Error::BadRequest("port: must be between 1 and 65535".into()));
        }
        let address = if self.address.is_empty() { peer.to_string() } else { self.address };
        let id = match self.id {
            Some(id) => required(&id, "id")?.to_owned(),
            None => default_id(service, &address, ports.first().map(|port| port.port)),
        };
        let mut instance = ServiceInstance {
            spec: ServiceInstanceSpec {
                service: service.to_owned(),
                instance_id: id.clone(),
                address,
                ports,
                tags: self.tags,
                metadata: self.metadata,
                version: self.version,
                weights: self.weights,
                locality: self.locality,
                lease: Some(lease),
                checks: self.checks,
                origin: "http".into(),
                ..ServiceInstanceSpec::default()
            },
            ..ServiceInstance::default()
        };
        instance.metadata.name = Some(id);
        instance.metadata.namespace = Some(self.namespace);
        Ok(instance)
    }
}

fn malformed(what: &str, error: &serde_json::Error) -> Error {
    Error::BadRequest(format!(
        "{what} is not a registration: {error}; send at least {{\"service\": NAME, \"address\": IP, \"port\": NUMBER}}"
    ))
}

fn required<'a>(value: &'a str, field: &str) -> Result<&'a str, Error> {
    if value.is_empty() { Err(Error::BadRequest(format!("{field}: must not be empty"))) } else { Ok(value) }
}

/// One per place: the same process that registers again finds itself.
fn default_id(service: &str, address: &str, port: Option<i32>) -> String {
    let place: String =
        address.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' }).collect();
    match port {
        Some(port) => format!("{service}-{place}-{port}").to_lowercase(),
        None => format!("{service}-{place}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(body: &str) -> Result<ServiceInstance, String> {
        let peer = "192.0.2.9".parse().expect("an address");
        Registration::parse(body.as_bytes()).and_then(|it| it.into_object(peer)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minimal_registration_gets_a_stable_id_and_the_peers_address() {
        let instance = object(r#"{"service": "billing", "port": 8080}"#).expect("accepted");
        assert_eq!(instance.metadata.name.as_deref(), Some("billing-192-0-2-9-8080"));
        assert_eq!(instance.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(instance.spec.address, "192.0.2.9");
        assert_eq!(instance.spec.lease.map(|lease| lease.kind), Some(LeaseKind::None));
        let leased = object(r#"{"service": "billing", "port": 8080, "ttlSeconds": 15}"#).expect("accepted");
        assert_eq!(
            leased.spec.lease,
            Some(InstanceLease { kind: LeaseKind::Ttl, ttl_seconds: Some(15), ..InstanceLease::default() })
        );
    }

    #[test]
    fn a_registration_brings_its_checks() {
        let check =
            r#"{"id": "alive", "type": "http", "url": "http://192.0.2.9/health", "intervalMilliseconds": 10000}"#;
        let instance = object(&format!(r#"{{"service": "billing", "port": 8080, "checks": [{check}]}}"#));
        let checks = instance.expect("accepted").spec.checks;
        assert_eq!(checks, [serde_json::from_str::<HealthCheck>(check).expect("a check")]);
    }

    #[test]
    fn what_cannot_be_registered_is_refused_by_field() {
        let cases = [
            ("{", "the body is not a registration"),
            (r#"{"port": 1}"#, "missing field `service`"),
            (r#"{"service": "", "port": 1}"#, "service: must not be empty"),
            (r#"{"service": "a", "port": 70000}"#, "invalid value"),
            (r#"{"service": "a", "port": 0}"#, "port: must be between"),
            (r#"{"service": "a", "ttlSeconds": 0}"#, "ttlSeconds: 0 is not between"),
            (r#"{"service": "a", "session": "s", "ttlSeconds": 5}"#, "session: what lives by a session"),
            (r#"{"service": "a", "session": ""}"#, "session: must not be empty"),
            (r#"{"service": "a", "isConnected": true}"#, "unknown field `isConnected`"),
            (r#"{"service": "a", "checks": [{"type": "http"}]}"#, "checks: id: must not be empty"),
            (r#"{"service": "a", "checks": [{"id": "c", "type": "telnet"}]}"#, "unknown variant `telnet`"),
            (r#"{"service": "a", "prot": 1}"#, "unknown field `prot`"),
            (
                r#"{"service": "a", "checks": [{"id": "a"}, {"id": "c", "intervall": 1}]}"#,
                "checks[1]: unknown field `intervall`",
            ),
            (
                r#"{"service": "a", "weights": {"pasing": 1}}"#,
                "weights: unknown field `pasing`, expected one of `passing`",
            ),
            (r#"{"service": "a", "locality": {"zone": 1}}"#, "locality: invalid type"),
            (r#"{"service": "a", "locality": {"az": "b"}}"#, "locality: unknown field `az`"),
            (r#"{"service": "a", "ports": [{"port": 1, "nodePort": 2}]}"#, "unknown field `nodePort`"),
        ];
        for (body, complaint) in cases {
            let error = object(body).expect_err(body);
            assert!(error.contains(complaint), "{body}: {error}");
        }
    }
}

//! What a snapshot is made of.

mod key;
mod machines;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portolan_base::Timestamp;

use crate::registration::Registration;

pub use key::Key;
pub(crate) use key::KeyParts;
pub(crate) use machines::Published;
pub use machines::{HostPort, Node, Pod};

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Reads `TCP`, `UDP` or `SCTP` in any case; anything else is TCP, the default of the API.
    pub fn of(name: Option<&str>) -> Self {
        match name {
            Some(name) if name.eq_ignore_ascii_case("udp") => Self::Udp,
            Some(name) if name.eq_ignore_ascii_case("sctp") => Self::Sctp,
            _ => Self::Tcp,
        }
    }

    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// How a service is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceType {
    /// On a cluster address.
    ClusterIp,
    /// By the addresses of its endpoints only.
    Headless,
    /// On a port of every node too.
    NodePort,
    /// On addresses reachable from outside too.
    LoadBalancer,
    /// An alias of a name elsewhere.
    ExternalName(Arc<str>),
}

/// Which endpoints may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Any.
    #[default]
    Cluster,
    /// Those on the node where the packet arrived.
    Local,
}

/// A port that a service offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty if the only port has none.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port at the service's addresses.
    pub port: u16,
    /// Port at every node.
    pub node_port: Option<u16>,
}

/// A service and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: Key,
    /// How it is offered.
    pub service_type: ServiceType,
    /// Cluster addresses; none for headless and external ones.
    pub cluster_addresses: Vec<IpAddr>,
    /// Addresses given by a load balancer.
    pub load_balancer_addresses: Vec<IpAddr>,
    /// Addresses from `spec.externalIPs`.
    pub external_addresses: Vec<IpAddr>,
    /// Client networks that may use the load balancer's addresses; empty means all.
    pub load_balancer_source_ranges: Vec<Arc<str>>,
    /// Ports in the order of the object.
    pub ports: Vec<ServicePort>,
    /// How long a client keeps its endpoint, if it does.
    pub session_affinity: Option<Duration>,
    /// Policy for traffic from outside.
    pub external_traffic_policy: TrafficPolicy,
    /// Policy for traffic from inside.
    pub internal_traffic_policy: TrafficPolicy,
    /// Whether endpoints count before they are ready.
    pub publish_not_ready_addresses: bool,
    /// Label selector; empty for services whose endpoints someone else writes.
    pub selector: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Who answers, ordered by address.
    pub endpoints: Arc<[Endpoint]>,
}

impl Service {
    /// Addresses and target ports of the endpoints that take traffic for `port`.
    ///
    /// Ready ones; if there is none, those that terminate but still serve. A service that
    /// publishes addresses that are not ready takes all.
    pub fn backends<'a>(&'a self, port: &'a ServicePort) -> impl Iterator<Item = (&'a Endpoint, u16)> + 'a {
        let any_ready = self.endpoints.iter().any(|endpoint| endpoint.ready);
        let all = self.publish_not_ready_addresses;
        self.endpoints
            .iter()
            .filter(move |endpoint| {
                all || if any_ready { endpoint.ready } else { endpoint.serving && endpoint.terminating }
            })
            .filter_map(move |endpoint| endpoint.port(port).map(|number| (endpoint, number)))
    }

    /// Whether it has no cluster address and is not an alias.
    pub fn is_headless(&self) -> bool {
        self.service_type == ServiceType::Headless
    }
}

/// A port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// Name of the service's port.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port at the endpoint.
    pub port: u16,
}

/// One address behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Ports.
    pub ports: Arc<[EndpointPort]>,
    /// Takes new connections.
    pub ready: bool,
    /// Able to answer, even while it terminates.
    pub serving: bool,
    /// Being deleted.
    pub terminating: bool,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Zone it runs in.
    pub zone: Option<Arc<str>>,
    /// Name in the headless service.
    pub hostname: Option<Arc<str>>,
    /// Pod it is.
    pub pod: Option<Key>,
}

impl Endpoint {
    /// Where this endpoint serves the service's `port`.
    pub fn port(&self, port: &ServicePort) -> Option<u16> {
        self.ports
            .iter()
            .find(|candidate| candidate.name == port.name && candidate.protocol == port.protocol)
            .map(|candidate| candidate.port)
    }
}

/// How an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Takes traffic.
    Passing,
    /// Takes traffic but something is wrong.
    Warning,
    /// Takes no traffic.
    Critical,
}

impl Status {
    /// `passing`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How an instance does, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The state.
    pub status: Status,
    /// Why, in words for a person.
    pub reason: Arc<str>,
    /// Since when, if known.
    pub since: Option<Timestamp>,
}

/// Who started an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A workload of this cluster.
    Orchestrator,
    /// It registered itself.
    Registry,
}

impl Origin {
    /// `orchestrator` or `registry`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Registry => "registry",
        }
    }
}

/// A port of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstancePort {
    /// Name; may be empty.
    pub name: Arc<str>,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// How much traffic an instance wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// While passing.
    pub passing: u32,
    /// While warning.
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region; may be empty.
    pub region: String,
    /// Zone; may be empty.
    pub zone: String,
    /// Rack; may be empty.
    pub rack: String,
}

/// One running copy of a service.
///
/// There may be very many, so what several say alike is in memory once.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Name of the instance: its pod, or the id under which it registered.
    pub name: Arc<str>,
    /// Service it belongs to.
    pub service: Arc<str>,
    /// Namespace of both.
    pub namespace: Arc<str>,
    /// Identity within the service.
    pub id: Arc<str>,
    /// Address: an IP address, or a host name that the instance registered with.
    pub address: Arc<str>,
    /// Ports.
    pub ports: Arc<Vec<InstancePort>>,
    /// Health with the reason.
    pub health: Health,
    /// Node it runs on; empty if unknown.
    pub node: Arc<str>,
    /// Tags.
    pub tags: Arc<Vec<String>>,
    /// Labels of the pod or of the registration.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Free metadata of the registration.
    pub metadata: Arc<BTreeMap<String, String>>,
    /// Version; empty if unknown.
    pub version: Arc<str>,
    /// Weights.
    pub weights: Weights,
    /// Where it is.
    pub locality: Arc<Locality>,
    /// Lease of a self-registered instance.
    pub ttl: Option<Duration>,
    /// Who started it.
    pub origin: Origin,
    /// What is checked and what that found; of a pod, its readiness.
    pub checks: Arc<[Check]>,
    /// The registration that it is, for what only one dialect knows of; none for a pod.
    pub registration: Option<Box<Registration>>,
    /// When it was registered: the store's revision, or the index of the first snapshot that had it. Of a pod, as
    /// [`Instance::modified_index`].
    pub created_index: u64,
    /// When it became as it is: the revision of its object, so the same after a restart; or the index of the first
    /// snapshot that had it like this. No snapshot that has it has a lower index.
    pub modified_index: u64,
}

impl Instance {
    /// Since when it stays although its lease ran out, because too many ran out at once.
    pub fn held_since(&self) -> Option<Timestamp> {
        self.registration.as_ref()?.held_since()
    }

    /// Whether both are the same but for the indexes of the snapshots that show them.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            name,
            service,
            namespace,
            id,
            address,
            ports,
            health,
            node,
            tags,
            labels,
            metadata,
            version,
            weights,
            locality,
            ttl,
            origin,
            checks,
            registration,
            created_index: _,
            modified_index: _,
        } = self;
        registration == &other.registration
            && (address, health, id, node, version)
                == (&other.address, &other.health, &other.id, &other.node, &other.version)
            && (name, service, namespace) == (&other.name, &other.service, &other.namespace)
            && (ports, tags, labels, metadata) == (&other.ports, &other.tags, &other.labels, &other.metadata)
            && (weights, locality, ttl, origin) == (&other.weights, &other.locality, &other.ttl, &other.origin)
            && checks == &other.checks
    }
}

/// A check and what it found last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Identity among the checks of its owner.
    pub id: Arc<str>,
    /// Name for people.
    pub name: Arc<str>,
    /// How it finds out: `ttl`, `http` and so on; empty for what an orchestrator says.
    pub check_type: &'static str,
    /// What it found.
    pub status: Status,
    /// In words.
    pub output: String,
    /// Words for people about the check.
    pub notes: String,
    /// Since when the status is this, if known.
    pub since: Option<Timestamp>,
}

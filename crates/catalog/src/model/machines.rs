//! What instances run on and in: nodes, machines outside the cluster, pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Check, Health, InstancePort, Key, Locality, Origin, Protocol};

/// A pod as far as names, host ports and health need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// Address; none until its network is up.
    pub address: Option<IpAddr>,
    /// Whether it shares the network of its node.
    pub host_network: bool,
    /// Node it is bound to; empty if none.
    pub node: Arc<str>,
    /// `spec.hostname`, or its name.
    pub hostname: Arc<str>,
    /// `spec.subdomain`; may be empty.
    pub subdomain: Arc<str>,
    /// Labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Ports of its node that lead to it.
    pub host_ports: Vec<HostPort>,
    /// Health with the reason.
    pub health: Health,
    /// Whether all its containers ended for good.
    pub has_ended: bool,
    /// Under which name it is in the registry besides the services that select it, if it says so.
    pub published: Option<Published>,
    /// The store's revision at which it became like this; 0 if that is not known.
    pub revision: u64,
}

impl Pod {
    /// Whether both are the same but for the revisions at which they became so.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            key,
            address,
            host_network,
            node,
            hostname,
            subdomain,
            labels,
            host_ports,
            health,
            has_ended,
            published,
            revision: _,
        } = self;
        (key, address, host_network, node) == (&other.key, &other.address, &other.host_network, &other.node)
            && (hostname, subdomain, labels) == (&other.hostname, &other.subdomain, &other.labels)
            && (host_ports, health, has_ended) == (&other.host_ports, &other.health, &other.has_ended)
            && published == &other.published
    }
}

/// What a pod's annotations say about its place in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Name of the service there.
    pub service: Arc<str>,
    /// Port to show; none if the pod names none.
    pub port: Option<InstancePort>,
    /// Why the port that the pod asks for is none; it takes no requests there until that is mended.
    pub complaint: Option<Arc<str>>,
    /// Tags.
    pub tags: Vec<String>,
}

/// A port of a node that leads to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Address of the node; none means all.
    pub host_address: Option<IpAddr>,
    /// Port of the node.
    pub host_port: u16,
    /// Port of the pod.
    pub container_port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A node as far as discovery needs it: of the cluster, or a machine outside that was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: Arc<str>,
    /// Identity; a UUID for nodes of the cluster, may be empty for others.
    pub id: Arc<str>,
    /// Address as registered, if it is a host name.
    pub host: Arc<str>,
    /// Internal addresses first, then external ones.
    pub addresses: Vec<IpAddr>,
    /// Its share of the pod network.
    pub pod_cidr: Option<Arc<str>>,
    /// Where it is.
    pub locality: Locality,
    /// Further addresses by the kind of client they are for.
    pub tagged_addresses: BTreeMap<String, String>,
    /// Labels, or the metadata of a registration.
    pub metadata: BTreeMap<String, String>,
    /// What is checked of the machine itself.
    pub checks: Arc<[Check]>,
    /// Who made it known.
    pub origin: Origin,
    /// Index of the first snapshot that had it.
    pub created_index: u64,
    /// Index of the first snapshot that had it like this.
    pub modified_index: u64,
}

impl Node {
    /// Whether both are the same but for the indexes of the snapshots that show them.
    pub fn is_like(&self, other: &Self) -> bool {
        let (created_index, modified_index) = (self.created_index, self.modified_index);
        *self == Self { created_index, modified_index, ..other.clone() }
    }
}

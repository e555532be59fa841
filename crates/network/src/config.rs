//! What one node needs to know to run its network.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Cidr;

/// Settings of a node's network. Several instances on one machine need different names and networks.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this node, for traffic policies that stay on the node.
    pub node: Arc<str>,
    /// Name of the nftables table: letters, digits and `_`.
    pub table: String,
    /// Name of the bridge that pods are attached to, at most 15 bytes.
    pub bridge: String,
    /// Addresses of this node's pods; the first one is the gateway on the bridge.
    pub pod_cidr: Cidr,
    /// Addresses of all pods.
    pub cluster_cidr: Cidr,
    /// Cluster addresses of services.
    pub service_cidr: Cidr,
    /// Addresses of load balancers.
    pub load_balancer_cidr: Cidr,
    /// Ports of nodes that services may use.
    pub node_ports: RangeInclusive<u16>,
    /// Service addresses that a process on this node listens on, such as the one of DNS. They are
    /// put on the bridge and left out of the rules.
    pub local_addresses: Vec<Ipv4Addr>,
    /// Largest packet of a pod.
    pub mtu: u32,
    /// Folder for the address leases.
    pub state_dir: PathBuf,
}

impl Config {
    /// Defaults for a node that is alone on its machine.
    pub fn new(node: impl Into<Arc<str>>, state_dir: impl Into<PathBuf>) -> Self {
        let cidr = |third: u8, prefix| Cidr::new(Ipv4Addr::new(10, third, 0, 0), prefix);
        Self {
            node: node.into(),
            table: "portolan".into(),
            bridge: "portolan0".into(),
            pod_cidr: cidr(42, 24),
            cluster_cidr: cidr(42, 16),
            service_cidr: cidr(43, 16),
            load_balancer_cidr: cidr(44, 24),
            node_ports: 30_000..=32_767,
            local_addresses: vec![Ipv4Addr::new(10, 43, 0, 10)],
            mtu: 1500,
            state_dir: state_dir.into(),
        }
    }

    /// The networks of services and load balancers, none of them inside another.
    pub(crate) fn service_networks(&self) -> Vec<Cidr> {
        let (services, balancers) = (self.service_cidr, self.load_balancer_cidr);
        if services.covers(balancers) {
            vec![services]
        } else if balancers.covers(services) {
            vec![balancers]
        } else {
            vec![services, balancers]
        }
    }

    /// Checks what the kernel and nft would refuse with a worse message.
    ///
    /// # Errors
    /// Names the setting and what it must look like.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let table_ok = self.table.starts_with(|first: char| first.is_ascii_alphabetic())
            && self.table.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
            && self.table.len() <= 64;
        if !table_ok {
            return Err(InvalidConfig::Table(self.table.clone()));
        }
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if self.bridge.is_empty() || self.bridge.len() > 15 || !self.bridge.chars().all(plain) {
            return Err(InvalidConfig::Bridge(self.bridge.clone()));
        }
        if !(16..=30).contains(&self.pod_cidr.prefix()) {
            return Err(InvalidConfig::PodCidr(self.pod_cidr));
        }
        Ok(())
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The table's name.
    #[error("nftables table {0:?}: use up to 64 letters, digits and underscores, beginning with a letter")]
    Table(String),
    /// The name of the bridge.
    #[error("bridge {0:?}: use 1 to 15 letters, digits, '-', '_' or '.'")]
    Bridge(String),
    /// The size of the node's pod network.
    #[error("pod network {0}: the prefix of a node must have 16 to 30 bits")]
    PodCidr(Cidr),
}

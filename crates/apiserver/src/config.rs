//! What the server is given, and why it could not start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use portolan_base::{Clock, Readiness};
use portolan_identity::{Authority, KeyPairPem, TokenIssuer};
use portolan_store::Store;

use crate::access::Access;

/// Everything the server needs from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// The cluster's certificate authority.
    pub authority: Arc<Authority>,
    /// Signs and verifies service-account tokens.
    pub tokens: Arc<TokenIssuer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Address ranges of the cluster.
    pub networks: Networks,
    /// Where clients inside the cluster reach this server.
    pub advertise: SocketAddr,
    /// The client certificate that the server shows to node agents.
    pub node_client: KeyPairPem,
    /// Board on which the process says which parts are up; shown by `/readyz`.
    pub readiness: Readiness,
    /// Who is believed, who decides.
    pub access: Access,
    /// Folder for files that live as long as one request; on a disk with room for a backup.
    pub scratch: PathBuf,
}

/// Address ranges of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// Addresses of Services.
    pub service_cidr: Network,
    /// Ports that Services may open on every node.
    pub node_ports: RangeInclusive<u16>,
    /// Addresses of Services of type LoadBalancer.
    pub load_balancer_cidr: Network,
    /// Domain of the cluster's DNS names, for example `cluster.local`.
    pub cluster_domain: String,
}

impl Default for Networks {
    fn default() -> Self {
        Self {
            service_cidr: Network { address: Ipv4Addr::new(10, 43, 0, 0), prefix: 16 },
            node_ports: 30000..=32767,
            load_balancer_cidr: Network { address: Ipv4Addr::new(10, 44, 0, 0), prefix: 24 },
            cluster_domain: "cluster.local".into(),
        }
    }
}

/// An IPv4 network such as `10.43.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// First address.
    pub address: Ipv4Addr,
    /// How many leading bits all its addresses share, at most 32.
    pub prefix: u8,
}

impl Network {
    /// How many addresses it has.
    pub fn size(&self) -> u64 {
        1 << (32 - u32::from(self.prefix.min(32)))
    }

    /// Its address number `index`, counted from 0; `None` behind the last.
    pub fn nth(&self, index: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(index).ok().filter(|_| index < self.size())?;
        u32::from(self.address).checked_add(offset).map(Ipv4Addr::from)
    }

    /// Whether it holds `address`.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(u32::from(self.address)).is_some_and(|offset| u64::from(offset) < self.size())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// A text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network such as 10.43.0.0/16 whose address is the first one of it")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let network = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            let aligned = network.prefix <= 32 && u64::from(u32::from(network.address)) % network.size() == 0;
            aligned.then_some(network)
        };
        parse().ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused what every cluster has from the start.
    #[error("write the objects that every cluster has")]
    Bootstrap {
        /// Why.
        #[source]
        source: portolan_store::Error,
    },
    /// An object that every cluster has was refused.
    #[error("create {what}: {message}")]
    BootstrapObject {
        /// Which one.
        what: String,
        /// What the server answered.
        message: String,
    },
    /// TLS towards pods cannot be set up.
    #[error("set up TLS towards pods")]
    UserTls {
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A service that the settings name cannot be asked.
    #[error("set up a service that helps to decide who may do what")]
    Outgoing {
        /// Why.
        #[source]
        source: crate::outgoing::Unusable,
    },
    /// The audit log cannot be written.
    #[error("open the audit log {path}")]
    AuditLog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS towards the nodes cannot be set up.
    #[error("set up TLS towards node agents")]
    NodeTls {
        /// Why.
        #[source]
        source: portolan_identity::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_counted_and_bounded() {
        let network: Network = "10.43.0.0/16".parse().expect("valid");
        assert_eq!(network.nth(1), Some(Ipv4Addr::new(10, 43, 0, 1)));
        assert_eq!(network.nth(network.size()), None);
        assert!(network.contains(Ipv4Addr::new(10, 43, 255, 255)));
        assert!(!network.contains(Ipv4Addr::new(10, 44, 0, 0)));
        for bad in ["10.43.0.1/16", "10.43.0.0", "10.43.0.0/33", "x/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}

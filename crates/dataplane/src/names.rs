//! The names that a machine of the cluster answers for: zones, and for whom other names are asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portolan_dns::{ConsulZone, Forwarder, Listener, NamesOf, Recursion, Sockets, Upstreams, Zone};
use portolan_network::Cidr;

use crate::Error;

/// Where Consul's clients look for names.
const CONSUL_DOMAIN: &str = "consul";

/// What names in Consul's zone are like.
#[derive(Debug, Clone)]
pub struct ConsulNames {
    /// The datacenter that Consul's clients are told, in names as over HTTP.
    pub datacenter: String,
    /// Seconds for which answers about services may be kept.
    pub service_ttl: u32,
    /// Seconds for which answers about machines and addresses may be kept.
    pub node_ttl: u32,
    /// Seconds for which the absence of a name may be kept.
    pub negative_ttl: u32,
}

/// What names are like.
#[derive(Debug, Clone)]
pub struct Names {
    /// Networks for whose clients names elsewhere are asked, besides this machine and its pods.
    pub recursion_from: Vec<Cidr>,
    /// Domain of the cluster.
    pub cluster_domain: String,
    /// Names for Consul's clients.
    pub consul: ConsulNames,
    /// Where the name server is reached, if no node object says so.
    pub advertised: Option<IpAddr>,
}

impl Names {
    /// The zone as a machine of this network serves it, and where it is asked for.
    ///
    /// # Errors
    /// A domain is none, or a socket is broken.
    pub fn served(
        &self,
        network: &portolan_network::Config,
        sockets: Vec<Sockets>,
    ) -> Result<(portolan_dns::Config, Vec<Listener>), Error> {
        let listener = |sockets| Listener::new(sockets).and_then(|listener| for_its_clients(network, listener));
        let listeners = sockets.into_iter().map(listener).collect::<Result<Vec<_>, _>>().map_err(Error::Sockets)?;
        let own: Result<Vec<SocketAddr>, _> = listeners.iter().map(Listener::address).collect();
        let zone = Zone::new(&self.cluster_domain).ok_or_else(|| Error::Domain(self.cluster_domain.clone()));
        let mut zone = zone?;
        // Names of the cluster's own addresses are nobody else's business, whether there is one or not.
        let networks = [network.cluster_cidr, network.service_cidr];
        zone.reverse = networks.map(|cidr| (cidr.network(), cidr.prefix())).into();
        zone.node = network.node.clone();
        zone.addresses.extend(self.advertised);
        zone.consul = Some(self.consul_zone(network)?);
        let forwarder = Forwarder::new(Upstreams::File("/etc/resolv.conf".into()), own.map_err(Error::Sockets)?);
        let config = portolan_dns::Config { zone, forwarder: Arc::new(forwarder), recursion: self.recursion(network) };
        Ok((config, listeners))
    }

    fn consul_zone(&self, network: &portolan_network::Config) -> Result<ConsulZone, Error> {
        let ConsulNames { datacenter, service_ttl, node_ttl, negative_ttl } = &self.consul;
        let zone = ConsulZone::new(CONSUL_DOMAIN, datacenter, network.node.clone());
        let mut zone = zone.ok_or_else(|| Error::Domain(format!("{datacenter}.{CONSUL_DOMAIN}")))?;
        (zone.ttl, zone.node_ttl, zone.negative_ttl) = (*service_ttl, *node_ttl, *negative_ttl);
        Ok(zone)
    }

    /// Names elsewhere are asked for this machine, for pods, and for whom the operator names.
    fn recursion(&self, network: &portolan_network::Config) -> Recursion {
        let networks = [&[network.cluster_cidr], &*self.recursion_from].concat();
        Arc::new(move |peer| match peer {
            IpAddr::V4(peer) if networks.iter().any(|network| network.contains(peer)) => true,
            peer => peer.is_loopback() || is_own(peer),
        })
    }
}

/// Pods know an address by the cluster's names; whoever asks elsewhere is a client of Consul, or a person.
fn for_its_clients(network: &portolan_network::Config, listener: Listener) -> std::io::Result<Listener> {
    let is_for_pods = match listener.address()?.ip() {
        IpAddr::V4(own) => own == network.pod_cidr.gateway() || network.local_addresses.contains(&own),
        IpAddr::V6(_) => false,
    };
    Ok(listener.with_names_of(if is_for_pods { NamesOf::Cluster } else { NamesOf::Consul }))
}

/// Whether an address is one of this machine's.
fn is_own(address: IpAddr) -> bool {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine cannot be listed");
            return false;
        }
    };
    let addresses = interfaces.filter_map(|interface| interface.address);
    addresses.into_iter().any(|own| {
        let v4 = own.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
        v4.or_else(|| own.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip()))) == Some(address)
    })
}

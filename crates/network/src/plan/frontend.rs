//! What a service or a pod offers on this node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use portolan_catalog::{Endpoint, Pod, Protocol, Service, ServiceType, TrafficPolicy};

use crate::{Cidr, Config};

/// Where connections arrive, apart from protocol and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An address of a service.
    Address(Ipv4Addr),
    /// An address of a service, from outside of the cluster, for endpoints of this node only.
    LocalAddress(Ipv4Addr),
    /// Any address of this node.
    NodePort,
    /// Any address of this node, from outside of the cluster, for endpoints of this node only.
    LocalNodePort,
}

/// What identifies a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontendKey {
    /// Where.
    pub place: Place,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

/// Who answers at a frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backends {
    /// These, in the order of their addresses.
    Some(Vec<SocketAddrV4>),
    /// Nobody anywhere: refuse.
    None,
    /// Nobody on this node, and the policy forbids others: drop, so that a balancer goes elsewhere.
    NoneHere,
}

/// One address and port at which a service is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend {
    /// Who answers.
    pub backends: Backends,
    /// How long a client keeps its endpoint.
    pub affinity: Option<Duration>,
    /// Client networks that may connect; empty means all.
    pub allowed: Vec<Cidr>,
}

/// The frontends of a service on this node.
pub(super) fn of_service(service: &Service, config: &Config) -> BTreeMap<FrontendKey, Frontend> {
    let mut frontends = BTreeMap::new();
    if matches!(service.service_type, ServiceType::Headless | ServiceType::ExternalName(_)) {
        return frontends;
    }
    let here = |endpoint: &Endpoint| endpoint.node.as_deref() == Some(&config.node);
    let ranges = &service.load_balancer_source_ranges;
    // A range we cannot read must not open the service to everybody: it allows nobody.
    let unreadable = Cidr::new(Ipv4Addr::UNSPECIFIED, 32);
    let mut allowed: Vec<Cidr> = ranges.iter().map(|range| range.trim().parse().unwrap_or(unreadable)).collect();
    // The kernel refuses ranges that overlap. The wider ones come first.
    allowed.sort_unstable();
    allowed.dedup_by(|next, kept| kept.covers(*next));

    for port in &service.ports {
        let select = |only_here: bool| {
            let mut chosen: Vec<SocketAddrV4> = service
                .backends(port)
                .filter(|(endpoint, _)| !only_here || here(endpoint))
                .filter_map(|(endpoint, number)| Some(SocketAddrV4::new(v4(endpoint.address)?, number)))
                .collect();
            chosen.sort_unstable();
            chosen.dedup();
            match (chosen.is_empty(), only_here) {
                (false, _) => Backends::Some(chosen),
                (true, true) => Backends::NoneHere,
                (true, false) => Backends::None,
            }
        };
        let offers = |place: Place, number: u16, backends: Backends, allowed: &[Cidr]| {
            let key = FrontendKey { place, protocol: port.protocol, port: number };
            (key, Frontend { backends, affinity: service.session_affinity, allowed: allowed.to_vec() })
        };
        let inside = select(service.internal_traffic_policy == TrafficPolicy::Local);
        let cluster_addresses = service.cluster_addresses.iter().filter_map(|address| v4(*address));
        frontends.extend(
            cluster_addresses
                .filter(|address| !config.local_addresses.contains(address))
                .map(|address| offers(Place::Address(address), port.port, inside.clone(), &[])),
        );

        let stays = service.external_traffic_policy == TrafficPolicy::Local;
        let balanced = service.load_balancer_addresses.iter().map(|address| (address, &allowed[..]));
        let external = service.external_addresses.iter().map(|address| (address, &[][..]));
        for (address, allowed) in balanced.chain(external) {
            let Some(address) = v4(*address) else { continue };
            frontends.extend([offers(Place::Address(address), port.port, select(false), allowed)]);
            if stays {
                frontends.extend([offers(Place::LocalAddress(address), port.port, select(true), allowed)]);
            }
        }
        if let Some(number) = port.node_port {
            frontends.extend([offers(Place::NodePort, number, select(false), &[])]);
            if stays {
                frontends.extend([offers(Place::LocalNodePort, number, select(true), &[])]);
            }
        }
    }
    frontends
}

/// The host ports of a pod, if it runs on this node and has a network of its own.
pub(super) fn of_pod(pod: &Pod, config: &Config) -> BTreeMap<FrontendKey, Frontend> {
    let address = pod.address.and_then(v4).filter(|_| !pod.host_network && pod.node == config.node);
    let Some(address) = address else { return BTreeMap::new() };
    let offered = pod.host_ports.iter().filter_map(|port| {
        let place = match port.host_address {
            None => Place::NodePort,
            Some(IpAddr::V4(address)) if address.is_unspecified() => Place::NodePort,
            Some(address) => Place::Address(v4(address)?),
        };
        let key = FrontendKey { place, protocol: port.protocol, port: port.host_port };
        let backends = Backends::Some(vec![SocketAddrV4::new(address, port.container_port)]);
        Some((key, Frontend { backends, affinity: None, allowed: Vec::new() }))
    });
    offered.collect()
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

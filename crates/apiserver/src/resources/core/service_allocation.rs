//! Which service holds which cluster address and which node port.
//!
//! The endpoint of services uses it around its writes:
//!
//! 1. At start: one [`Allocator::new`], then [`Allocator::hold`] for every stored service. Before each question
//!    [`Allocator::use_ranges`] says where addresses come from now.
//! 2. Create and update: after defaulting, `let grant = allocator.allocate(&service, old)?`, then
//!    `grant.apply(&mut service)`, then validate and write. If the write succeeds,
//!    [`Allocator::commit`]; otherwise (also for a dry run) [`Allocator::abandon`]. The errors of
//!    `allocate` go to the client as they are: `422 Invalid`.
//! 3. After a delete: [`Allocator::release`] with the last stored object.
//!
//! Between `allocate` and `commit` the granted values are reserved, so that two creates at the same
//! time cannot get the same one. Nothing here does IO; the caller holds the allocator in a mutex
//! and does not hold the mutex across the write. Load-balancer addresses are not handled here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use portolan_api::field;
use serde_json::{Value, json};

use crate::config::Network;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

/// The addresses and ports of all services.
#[derive(Debug)]
pub struct Allocator {
    ranges: Vec<Range>,
    node_ports: RangeInclusive<u16>,
    addresses: HashSet<Ipv4Addr>,
    /// Addresses that something else than a Service has.
    foreign: HashSet<Ipv4Addr>,
    ports: HashSet<(Protocol, u16)>,
    next_port: u32,
}

/// A network that addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    network: Network,
    /// Where the search for the next free address starts, so that an address rests before reuse.
    next: u32,
}

impl Range {
    fn new(network: Network) -> Self {
        let mut range = Self { network, next: 0 };
        range.next = dynamic_start(range.size());
        range
    }

    /// How many addresses the network has, the first and the last included.
    fn size(&self) -> u32 {
        u32::try_from(self.network.size()).unwrap_or(u32::MAX)
    }

    /// Whether an address can be handed out: the first one (the network's own) and the last never are.
    fn contains(&self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(u32::from(self.network.address));
        offset > 0 && offset < self.size().saturating_sub(1)
    }

    fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network.address).wrapping_add(offset))
    }

    /// The next free address: first above the part that is left to people who choose for
    /// themselves, then in it.
    fn free_address(&mut self, is_taken: impl Fn(&Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let last = self.size().saturating_sub(1);
        let first = dynamic_start(self.size());
        let offset = (self.next..last)
            .chain(first..self.next)
            .chain(1..first)
            .find(|offset| !is_taken(&self.address(*offset)))?;
        self.next = if offset + 1 < last && offset >= first { offset + 1 } else { first };
        Some(self.address(offset))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// What [`Allocator::allocate`] reserved for one write.
#[derive(Debug, Default)]
#[must_use = "commit it after the write, or abandon it"]
pub struct Grant {
    /// `None`: the service keeps what it has.
    cluster_ip: Option<String>,
    /// Index in `spec.ports` and the node port for it.
    node_ports: Vec<(usize, u16)>,
    health_check: Option<u16>,
    taken: Held,
    freed: Held,
}

/// What a service holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Held {
    address: Option<Ipv4Addr>,
    ports: Vec<(Protocol, u16)>,
}

impl Allocator {
    /// Nothing allocated yet, out of these node ports and no addresses; see [`Allocator::use_ranges`].
    pub fn new(node_ports: RangeInclusive<u16>) -> Self {
        Self {
            ranges: Vec::new(),
            node_ports,
            addresses: HashSet::new(),
            foreign: HashSet::new(),
            ports: HashSet::new(),
            next_port: 0,
        }
    }

    /// From now on addresses come from these networks, in this order.
    pub fn use_ranges(&mut self, networks: &[Network]) {
        if self.ranges.iter().map(|range| range.network).eq(networks.iter().copied()) {
            return;
        }
        let known = std::mem::take(&mut self.ranges);
        let range = |network: &Network| {
            let before = known.iter().find(|known| known.network == *network);
            before.cloned().unwrap_or_else(|| Range::new(*network))
        };
        self.ranges = networks.iter().map(range).collect();
    }

    /// Something else than a Service has an address.
    pub fn hold_foreign(&mut self, address: Ipv4Addr) {
        self.foreign.insert(address);
    }

    /// It has it no longer.
    pub fn release_foreign(&mut self, address: Ipv4Addr) {
        self.foreign.remove(&address);
    }

    /// Takes over what a stored service holds.
    pub fn hold(&mut self, service: &Value) {
        let held = held(&service["spec"]);
        self.addresses.extend(held.address);
        self.ports.extend(held.ports);
    }

    /// Gives back what a deleted service held.
    pub fn release(&mut self, service: &Value) {
        self.free(&held(&service["spec"]));
    }

    /// The write took place: what the new version no longer holds is free.
    pub fn commit(&mut self, grant: Grant) {
        self.free(&grant.freed);
    }

    /// The write did not take place: what was reserved for it is free.
    pub fn abandon(&mut self, grant: Grant) {
        self.free(&grant.taken);
    }

    /// Reserves what a new service, or a new version of `old`, needs.
    ///
    /// # Errors
    /// An address or port that the service asks for is taken or out of range, or none is left.
    pub fn allocate(&mut self, service: &Value, old: Option<&Value>) -> Result<Grant, Vec<field::Error>> {
        let before = old.map(|old| held(&old["spec"])).unwrap_or_default();
        let (mut grant, mut errors) = (Grant::default(), Errors::default());
        let (at, spec) = (At::root("spec"), &service["spec"]);
        self.allocate_address(spec, &before, &mut grant, &at, &mut errors);
        self.allocate_ports(spec, &before, &mut grant, &at, &mut errors);
        if errors.0.is_empty() {
            let mut after = held(spec);
            after.address = after.address.or(grant.taken.address);
            after.ports.extend(&grant.taken.ports);
            grant.freed.address = before.address.filter(|address| after.address != Some(*address));
            grant.freed.ports = before.ports.into_iter().filter(|port| !after.ports.contains(port)).collect();
            Ok(grant)
        } else {
            self.free(&grant.taken);
            Err(errors.0)
        }
    }

    fn allocate_address(&mut self, spec: &Value, before: &Held, grant: &mut Grant, at: &At<'_>, errors: &mut Errors) {
        if text(&spec["type"]) == "ExternalName" {
            return;
        }
        self.check_families(spec, before, at, errors);
        let (list, wanted) = (at.child("clusterIPs"), text(&spec["clusterIP"]));
        match wanted {
            "None" => {}
            "" => match self.free_address() {
                Some(address) => {
                    self.addresses.insert(address);
                    grant.taken.address = Some(address);
                    grant.cluster_ip = Some(address.to_string());
                }
                None => errors.0.push(internal(&list, "failed to allocate a serviceIP: range is full")),
            },
            _ => {
                let Ok(IpAddr::V4(address)) = wanted.parse() else {
                    // Validation says what is wrong with a malformed address; only IPv6 is left.
                    if wanted.parse::<IpAddr>().is_ok() {
                        let detail = "failed to allocate IP: IPv6 is not configured on this cluster";
                        errors.invalid(&list, spec["clusterIPs"].clone(), detail);
                    }
                    return;
                };
                if before.address == Some(address) {
                    return;
                }
                if !self.ranges.iter().any(|range| range.contains(address)) {
                    errors.invalid(&list, json!([wanted]), self.out_of_range(address));
                } else if !self.foreign.contains(&address) && self.addresses.insert(address) {
                    grant.taken.address = Some(address);
                } else {
                    let detail = format!("failed to allocate IP {address}: provided IP is already allocated");
                    errors.invalid(&list, json!([wanted]), detail);
                }
            }
        }
    }

    /// There are addresses of one family only. A service without an address and without pods of its own may
    /// name what it likes, and what was taken before stays.
    fn check_families(&self, spec: &Value, before: &Held, at: &At<'_>, errors: &mut Errors) {
        let is_own_matter = text(&spec["clusterIP"]) == "None" && !is_set(&spec["selector"]);
        if is_own_matter || before.address.is_some() {
            return;
        }
        if text(&spec["ipFamilyPolicy"]) == "RequireDualStack" {
            let detail = "this cluster is not configured for dual-stack services";
            errors.invalid(&at.child("ipFamilyPolicy"), "RequireDualStack", detail);
        }
        let list = at.child("ipFamilies");
        for (index, family) in items(&spec["ipFamilies"]).iter().enumerate().filter(|(_, family)| *family == "IPv6") {
            errors.invalid(&list.index(index), family.clone(), "not configured on this cluster");
        }
    }

    fn allocate_ports(&mut self, spec: &Value, before: &Held, grant: &mut Grant, at: &At<'_>, errors: &mut Errors) {
        let balancer = text(&spec["type"]) == "LoadBalancer";
        if !balancer && text(&spec["type"]) != "NodePort" {
            return;
        }
        let on_request_only = balancer && spec["allocateLoadBalancerNodePorts"] == false;
        let list = at.child("ports");
        // One number serves two protocols of the same port, as DNS needs it.
        let mut given: Vec<(i64, u16)> = Vec::new();
        for (index, port) in items(&spec["ports"]).iter().enumerate() {
            let at = list.index(index);
            let protocol = protocol(port);
            let wanted = port["nodePort"].as_i64().unwrap_or_default();
            if wanted != 0 {
                self.take_port(protocol, wanted, before, grant, &at.child("nodePort"), errors);
                if let (Some(number), Ok(wanted)) = (port["port"].as_i64(), u16::try_from(wanted)) {
                    given.push((number, wanted));
                }
                continue;
            }
            if on_request_only {
                continue;
            }
            let twin = given
                .iter()
                .find(|(number, _)| port["port"].as_i64() == Some(*number))
                .map(|(_, node_port)| *node_port)
                .filter(|node_port| !self.ports.contains(&(protocol, *node_port)));
            match twin.or_else(|| self.free_port(protocol)) {
                Some(node_port) => {
                    self.ports.insert((protocol, node_port));
                    grant.taken.ports.push((protocol, node_port));
                    grant.node_ports.push((index, node_port));
                    given.extend(port["port"].as_i64().map(|number| (number, node_port)));
                }
                None => errors.0.push(internal(&at.child("nodePort"), "failed to allocate a nodePort: range is full")),
            }
        }
        if balancer && text(&spec["externalTrafficPolicy"]) == "Local" {
            let at = at.child("healthCheckNodePort");
            match spec["healthCheckNodePort"].as_i64().unwrap_or_default() {
                0 => match self.free_port(Protocol::Tcp) {
                    Some(port) => {
                        self.ports.insert((Protocol::Tcp, port));
                        grant.taken.ports.push((Protocol::Tcp, port));
                        grant.health_check = Some(port);
                    }
                    None => errors.0.push(internal(&at, "failed to allocate a nodePort: range is full")),
                },
                wanted => self.take_port(Protocol::Tcp, wanted, before, grant, &at, errors),
            }
        }
    }

    /// Takes the port that the service asks for.
    fn take_port(
        &mut self,
        protocol: Protocol,
        wanted: i64,
        before: &Held,
        grant: &mut Grant,
        at: &At<'_>,
        errors: &mut Errors,
    ) {
        let in_range = u16::try_from(wanted).ok().filter(|port| self.node_ports.contains(port));
        let Some(port) = in_range else {
            let (low, high) = (self.node_ports.start(), self.node_ports.end());
            let detail = format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
            errors.invalid(at, wanted, detail);
            return;
        };
        let key = (protocol, port);
        if before.ports.contains(&key) || grant.taken.ports.contains(&key) {
            return;
        }
        if self.ports.insert(key) {
            grant.taken.ports.push(key);
        } else {
            errors.invalid(at, wanted, "provided port is already allocated");
        }
    }

    fn free_address(&mut self) -> Option<Ipv4Addr> {
        let (addresses, foreign) = (&self.addresses, &self.foreign);
        let is_taken = |address: &Ipv4Addr| addresses.contains(address) || foreign.contains(address);
        self.ranges.iter_mut().find_map(|range| range.free_address(is_taken))
    }

    /// Why an address that no range has cannot be had.
    fn out_of_range(&self, address: Ipv4Addr) -> String {
        match &self.ranges[..] {
            [Range { network, .. }] => format!(
                "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}"
            ),
            _ => format!("failed to allocate IP {address}: the provided network does not match the current range"),
        }
    }

    fn free_port(&mut self, protocol: Protocol) -> Option<u16> {
        let (low, high) = (u32::from(*self.node_ports.start()), u32::from(*self.node_ports.end()));
        let count = (high + 1).checked_sub(low).filter(|count| *count > 0)?;
        // Ports at the bottom are those that people write into manifests.
        let reserved = reserved(count);
        let free = |offset: &u32| {
            let port = u16::try_from(low + offset).ok().filter(|port| !self.ports.contains(&(protocol, *port)))?;
            Some((*offset, port))
        };
        let start = self.next_port.max(reserved);
        let (offset, port) =
            (start..count).chain(reserved..start.min(count)).chain(0..reserved).find_map(|offset| free(&offset))?;
        self.next_port = if offset + 1 < count { offset + 1 } else { reserved };
        Some(port)
    }

    fn free(&mut self, held: &Held) {
        if let Some(address) = held.address {
            self.addresses.remove(&address);
        }
        for port in &held.ports {
            self.ports.remove(port);
        }
    }
}

/// Addresses that a write gives to a service and takes from it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The service gets it.
    pub taken: Option<Ipv4Addr>,
    /// The service no longer has it.
    pub freed: Option<Ipv4Addr>,
}

/// The address that a service has.
pub fn address_of(service: &Value) -> Option<Ipv4Addr> {
    held(&service["spec"]).address
}

impl Grant {
    /// The addresses that change hands.
    pub fn moved(&self) -> Moved {
        Moved { taken: self.taken.address, freed: self.freed.address }
    }

    /// Writes the allocated values into the service.
    pub fn apply(&self, service: &mut Value) {
        let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return };
        if let Some(address) = &self.cluster_ip {
            spec.insert("clusterIP".to_owned(), address.as_str().into());
            spec.insert("clusterIPs".to_owned(), json!([address]));
        }
        if let Some(port) = self.health_check {
            spec.insert("healthCheckNodePort".to_owned(), port.into());
        }
        let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) else { return };
        for (index, node_port) in &self.node_ports {
            if let Some(port) = ports.get_mut(*index).and_then(Value::as_object_mut) {
                port.insert("nodePort".to_owned(), (*node_port).into());
            }
        }
    }
}

/// The lower part of a range, which automatic allocation uses last.
///
/// Source: KEP-3070, "Reserve Service IP Ranges For Dynamic and Static IP Allocation".
fn dynamic_start(size: u32) -> u32 {
    if size < 16 { 1 } else { (size / 16).clamp(16, 256) }
}

/// The same for node ports. Source: KEP-3668.
fn reserved(count: u32) -> u32 {
    if count < 16 { 0 } else { (count / 32).clamp(16, 128) }
}

fn held(spec: &Value) -> Held {
    let kind = text(&spec["type"]);
    if kind == "ExternalName" {
        return Held::default();
    }
    let mut ports = Vec::new();
    let mut add = |protocol: Protocol, port: &Value| {
        let port = port.as_i64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        ports.extend(port.map(|port| (protocol, port)));
    };
    if kind == "NodePort" || kind == "LoadBalancer" {
        for port in items(&spec["ports"]) {
            add(protocol(port), &port["nodePort"]);
        }
        add(Protocol::Tcp, &spec["healthCheckNodePort"]);
    }
    Held { address: text(&spec["clusterIP"]).parse().ok(), ports }
}

fn protocol(port: &Value) -> Protocol {
    match text(&port["protocol"]) {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn internal(at: &At<'_>, detail: &str) -> field::Error {
    field::Error {
        error_type: field::ErrorType::Internal,
        path: at.path(),
        value: Value::Null,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;

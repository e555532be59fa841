//! Which service holds which cluster address and which node port.
//!
//! The endpoint of services uses it around its writes:
//!
//! 1. At start: one [`Allocator::new`], then [`Allocator::compare`] with all stored services, and again now and
//!    then. Before each question [`Allocator::use_ranges`] says where addresses come from now.
//! 2. Create and update: after the strategy prepared it and its families are settled
//!    ([`super::service_families`]), `let grant = allocator.allocate(&service, old)?`, then
//!    `grant.apply(&mut service)`, then validate and write. If the write succeeds,
//!    [`Allocator::commit`]; otherwise (also for a dry run) [`Allocator::abandon`].
//! 3. After a delete: [`Allocator::release`] with the last stored object.
//!
//! Between `allocate` and `commit` the granted values are reserved, so that two creates at the same
//! time cannot get the same one. Nothing here does IO; the caller holds the allocator in a mutex
//! and does not hold the mutex across the write. Load-balancer addresses are not handled here.
//!
//! Source: `kubernetes/pkg/registry/core/service/storage/alloc.go`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use portolan_api::field;
use serde_json::{Value, json};

use super::service_families::needs_address;
use super::service_update::{has_node_ports, needs_health_port, needs_node_ports};
use crate::config::Network;
use crate::resources::addresses::parse_sloppy;
use crate::resources::at::At;
use crate::resources::json::{items, text};

/// The addresses and ports of all services.
#[derive(Debug)]
pub struct Allocator {
    ranges: Vec<Range>,
    node_ports: RangeInclusive<u16>,
    addresses: HashSet<Ipv4Addr>,
    /// Addresses that something else than a Service has.
    foreign: HashSet<Ipv4Addr>,
    /// A number serves one Service, whatever its protocols.
    ports: HashSet<u16>,
    next_port: u32,
    /// What no stored Service had, and in how many comparisons in a row.
    leaks: HashMap<Holding, u32>,
    /// How often something was given back.
    returns: u64,
}

/// What a Service may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holding {
    Address(Ipv4Addr),
    Port(u16),
}

/// In how many comparisons in a row something is held by no stored Service before it is free: the write of its
/// Service may be under way. As upstream.
const LEAKED_AFTER: u32 = 3;

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

/// Why a Service does not get what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// What it asks for cannot be had.
    Invalid(field::Error),
    /// Nothing is left, or upstream does not say of which field it is.
    Internal(String),
}

impl Refusal {
    fn invalid(at: &At<'_>, value: impl Into<field::Shown>, detail: impl Into<String>) -> Self {
        Self::Invalid(field::Error::invalid(&at.path(), value, detail))
    }
}

/// What [`Allocator::allocate`] reserved for one write.
#[derive(Debug, Default)]
#[must_use = "commit it after the write, or abandon it"]
pub struct Grant {
    /// `None`: the service keeps what it has.
    cluster_ip: Option<String>,
    /// Index in `spec.ports` and the node port for it.
    node_ports: Vec<(usize, i64)>,
    health_check: Option<u16>,
    taken: Held,
    freed: Held,
}

/// What a service holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Held {
    address: Option<Ipv4Addr>,
    ports: Vec<u16>,
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
            leaks: HashMap::new(),
            returns: 0,
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
        self.returns += 1;
        self.foreign.remove(&address);
    }

    /// Something else than Services had these addresses, and no others, after [`Allocator::returns`] had told what it
    /// did.
    pub fn hold_all_foreign(&mut self, addresses: HashSet<Ipv4Addr>, returns: u64) {
        if self.returns == returns {
            self.foreign = addresses;
        } else {
            // Any of them may have been given back since.
            self.foreign.retain(|address| addresses.contains(address));
        }
    }

    /// Tells what was given back up to now: [`Allocator::compare`] has to know whether something was since services
    /// were read.
    pub fn returns(&self) -> u64 {
        self.returns
    }

    /// Takes over what all stored services hold, and frees what none of them has held for some time. The services were
    /// read after [`Allocator::returns`] had told what it did.
    pub fn compare<'a>(&mut self, services: impl IntoIterator<Item = &'a Value>, returns: u64) {
        let (mut addresses, mut ports) = (HashSet::new(), HashSet::new());
        for service in services {
            let held = held(&service["spec"]);
            addresses.extend(held.address);
            ports.extend(held.ports);
        }
        let known = std::mem::take(&mut self.leaks);
        let leaked = self.addresses.difference(&addresses).map(|address| Holding::Address(*address));
        let leaked = leaked.chain(self.ports.difference(&ports).map(|port| Holding::Port(*port)));
        self.leaks = leaked.map(|holding| (holding, known.get(&holding).map_or(1, |times| times + 1))).collect();
        for (holding, _) in self.leaks.extract_if(|_, times| *times >= LEAKED_AFTER) {
            tracing::warn!(?holding, "no service has had it for some time: it is free");
            match holding {
                Holding::Address(address) => self.addresses.remove(&address),
                Holding::Port(port) => self.ports.remove(&port),
            };
        }
        // What was given back since may be among what was read; the next comparison takes the rest over.
        if self.returns == returns {
            self.addresses.extend(addresses);
            self.ports.extend(ports);
        }
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
    pub fn allocate(&mut self, service: &Value, old: Option<&Value>) -> Result<Grant, Refusal> {
        let (spec, old) = (&service["spec"], old.map(|old| &old["spec"]));
        let before = old.map(held).unwrap_or_default();
        let mut grant = Grant::default();
        let taken = self
            .allocate_address(service, old, &mut grant)
            .and_then(|()| self.allocate_ports(spec, old, &before, &mut grant))
            .and_then(|()| self.allocate_health_port(spec, old, &mut grant));
        if let Err(refusal) = taken {
            self.free(&grant.taken);
            return Err(refusal);
        }
        let mut after = held(spec);
        after.address = after.address.or(grant.taken.address);
        after.ports.extend(&grant.taken.ports);
        grant.freed.address = before.address.filter(|address| after.address != Some(*address));
        grant.freed.ports = before.ports.into_iter().filter(|port| !after.ports.contains(port)).collect();
        Ok(grant)
    }

    /// A Service keeps its address as long as it has one: validation refuses another.
    fn allocate_address(&mut self, service: &Value, old: Option<&Value>, grant: &mut Grant) -> Result<(), Refusal> {
        let spec = &service["spec"];
        if !needs_address(spec) || old.is_some_and(needs_address) {
            return Ok(());
        }
        let at = At::root("spec");
        let list = at.child("clusterIPs");
        let wanted = items(&spec["clusterIPs"]).first().map(text).unwrap_or_default();
        if wanted == "None" {
            return Ok(());
        }
        let address = if wanted.is_empty() {
            let name = &service["metadata"]["name"];
            let full = || format!("failed to allocate a serviceIP for Service {name}: range is full");
            self.free_address().ok_or_else(|| Refusal::Internal(full()))?
        } else {
            let refused = |why: String| {
                let detail = format!("failed to allocate IP {wanted}: {why}");
                Refusal::invalid(&list, spec["clusterIPs"].clone(), detail)
            };
            // Validation took the others out.
            let Some(IpAddr::V4(address)) = parse_sloppy(wanted) else { return Ok(()) };
            self.offered(address).map_err(refused)?;
            if self.foreign.contains(&address) || self.addresses.contains(&address) {
                return Err(refused("provided IP is already allocated".to_owned()));
            }
            address
        };
        self.addresses.insert(address);
        grant.taken.address = Some(address);
        grant.cluster_ip = Some(address.to_string());
        Ok(())
    }

    /// Whether an address is one that is given to Services, or why not.
    fn offered(&self, address: Ipv4Addr) -> Result<(), String> {
        let around = || self.ranges.iter().filter(|range| range.network.contains(address));
        match around().next() {
            None => Err("the provided network does not match the current range".to_owned()),
            Some(Range { network, .. }) if !around().any(|range| range.contains(address)) => Err(format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}"
            )),
            Some(_) => Ok(()),
        }
    }

    fn allocate_ports(
        &mut self,
        spec: &Value,
        old: Option<&Value>,
        before: &Held,
        grant: &mut Grant,
    ) -> Result<(), Refusal> {
        if !has_node_ports(spec) {
            return Ok(());
        }
        let (at, ports) = (At::root("spec"), items(&spec["ports"]));
        let list = at.child("ports");
        // In a new Service one number serves two protocols of the same port, as DNS needs it.
        let mut given: HashMap<i64, i64> = HashMap::new();
        for (index, port) in ports.iter().enumerate() {
            let at = list.index(index);
            let at = at.child("nodePort");
            let (number, mut wanted) = (number(&port["port"]), number(&port["nodePort"]));
            if wanted == 0 && !needs_node_ports(spec) {
                continue;
            }
            if old.is_some() {
                let has = |port: u16| before.ports.contains(&port) || grant.taken.ports.contains(&port);
                if wanted == 0 {
                    wanted = self.next_port(grant)?;
                    grant.node_ports.push((index, wanted));
                } else if !u16::try_from(wanted).is_ok_and(has) {
                    self.take_port(wanted, grant).map_err(|why| Refusal::invalid(&at, wanted, why))?;
                }
                continue;
            }
            match given.get(&number) {
                Some(same) if wanted == 0 => grant.node_ports.push((index, *same)),
                Some(same) if wanted == *same => {}
                Some(_) => self.take_port(wanted, grant).map_err(|why| Refusal::invalid(&at, wanted, why))?,
                None => {
                    let asked = ports.iter().filter(|other| self::number(&other["port"]) == number);
                    let chosen = match asked.map(|other| self::number(&other["nodePort"])).find(|port| *port != 0) {
                        Some(asked) => {
                            self.take_port(asked, grant).map_err(|why| Refusal::invalid(&at, asked, why))?;
                            asked
                        }
                        None => self.next_port(grant)?,
                    };
                    given.insert(number, chosen);
                    grant.node_ports.push((index, chosen));
                }
            }
        }
        Ok(())
    }

    fn allocate_health_port(&mut self, spec: &Value, old: Option<&Value>, grant: &mut Grant) -> Result<(), Refusal> {
        if !needs_health_port(spec) || old.is_some_and(needs_health_port) {
            return Ok(());
        }
        let wanted = number(&spec["healthCheckNodePort"]);
        let chosen = if wanted == 0 {
            let chosen = self.free_port();
            chosen.ok_or_else(|| Refusal::Internal("failed to allocate a HealthCheck NodePort 0: range is full".into()))
        } else {
            return self.take_port(wanted, grant).map_err(|why| {
                Refusal::Internal(format!("failed to allocate requested HealthCheck NodePort {wanted}: {why}"))
            });
        }?;
        self.hold_port(chosen, grant);
        grant.health_check = Some(chosen);
        Ok(())
    }

    /// Takes the port that a Service asks for, or says why not.
    fn take_port(&mut self, wanted: i64, grant: &mut Grant) -> Result<(), String> {
        let in_range = u16::try_from(wanted).ok().filter(|port| self.node_ports.contains(port));
        let Some(port) = in_range else {
            let (low, high) = (self.node_ports.start(), self.node_ports.end());
            return Err(format!("provided port is not in the valid range. The range of valid ports is {low}-{high}"));
        };
        if self.ports.contains(&port) {
            return Err("provided port is already allocated".to_owned());
        }
        self.hold_port(port, grant);
        Ok(())
    }

    fn hold_port(&mut self, port: u16, grant: &mut Grant) {
        self.ports.insert(port);
        grant.taken.ports.push(port);
    }

    /// Takes any free port.
    fn next_port(&mut self, grant: &mut Grant) -> Result<i64, Refusal> {
        let full = || Refusal::Internal("failed to allocate a nodePort: range is full".to_owned());
        let port = self.free_port().ok_or_else(full)?;
        self.hold_port(port, grant);
        Ok(port.into())
    }

    fn free_address(&mut self) -> Option<Ipv4Addr> {
        let (addresses, foreign) = (&self.addresses, &self.foreign);
        let is_taken = |address: &Ipv4Addr| addresses.contains(address) || foreign.contains(address);
        self.ranges.iter_mut().find_map(|range| range.free_address(is_taken))
    }

    fn free_port(&mut self) -> Option<u16> {
        let (low, high) = (u32::from(*self.node_ports.start()), u32::from(*self.node_ports.end()));
        let count = (high + 1).checked_sub(low).filter(|count| *count > 0)?;
        // Ports at the bottom are those that people write into manifests.
        let reserved = reserved(count);
        let free = |offset: &u32| {
            let port = u16::try_from(low + offset).ok().filter(|port| !self.ports.contains(port))?;
            Some((*offset, port))
        };
        let start = self.next_port.max(reserved);
        let (offset, port) =
            (start..count).chain(reserved..start.min(count)).chain(0..reserved).find_map(|offset| free(&offset))?;
        self.next_port = if offset + 1 < count { offset + 1 } else { reserved };
        Some(port)
    }

    fn free(&mut self, held: &Held) {
        self.returns += 1;
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

/// A number, 0 if there is none.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn held(spec: &Value) -> Held {
    if !needs_address(spec) {
        return Held::default();
    }
    let mut ports: Vec<u16> = Vec::new();
    if has_node_ports(spec) {
        let listed = items(&spec["ports"]).iter().map(|port| &port["nodePort"]);
        let all = listed.chain([&spec["healthCheckNodePort"]]);
        ports.extend(all.filter_map(|port| u16::try_from(number(port)).ok()).filter(|port| *port != 0));
    }
    Held { address: text(&spec["clusterIP"]).parse().ok(), ports }
}

#[cfg(test)]
mod tests;

//! Decides what is repaired, and what is told of it.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use portolan_base::Timestamp;
use portolan_base::clock::later;
use serde_json::Value;

use super::Seen;
use crate::config::Network;
use crate::resources::core::service_allocation::address_of;
use crate::resources::json::{items, text};
use crate::service_addresses::reports::Told;
use crate::service_addresses::{FAMILY, Id, MANAGED_BY, id, parent};

/// How old an address without its Service must be: the Service may be about to be written, as long as requests take.
const GRACE: Duration = Duration::from_secs(60);

/// The same of an address that is newer than its Service, which has another.
const SHORT_GRACE: Duration = Duration::from_secs(5);

/// What one repair is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The Service at this index.
    Service(usize),
    /// The object of this address.
    Address(Ipv4Addr),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The object of this address is written for the Service.
    Write(Ipv4Addr),
    /// The object is removed.
    Remove,
    /// Only people can mend it.
    Tell,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) subject: Subject,
    pub(super) action: Action,
    pub(super) told: Option<Told>,
}

/// Addresses that something else than Services has.
pub(super) fn foreign(seen: &Seen) -> HashSet<Ipv4Addr> {
    let held: HashSet<Ipv4Addr> = seen.services.iter().filter_map(address_of).collect();
    let others = seen.addresses.iter().filter(|(address, object)| !held.contains(address) && !is_managed(object));
    others.map(|(address, _)| *address).collect()
}

/// All repairs: those of Services first.
pub(super) fn plan(seen: &Seen, now: Timestamp) -> Vec<Repair> {
    let services: HashMap<Id, &Value> = seen.services.iter().map(|service| (id(service), service)).collect();
    let mut repairs = Vec::new();
    let mut written = HashSet::new();
    for (index, service) in seen.services.iter().enumerate() {
        let Some(address) = address_of(service) else { continue };
        let found = of_service(seen, &services, service, address, written.contains(&address));
        written.extend(found.iter().filter(|(action, _)| *action == Action::Write(address)).map(|_| address));
        repairs.extend(found.into_iter().map(|(action, told)| Repair {
            subject: Subject::Service(index),
            action,
            told,
        }));
    }
    let mut addresses: Vec<_> = seen.addresses.iter().filter(|(address, _)| !written.contains(*address)).collect();
    addresses.sort_unstable_by_key(|(address, _)| **address);
    for (address, object) in addresses {
        let told = left_over(&services, *address, object, now);
        let subject = Subject::Address(*address);
        repairs.extend(told.map(|told| Repair { subject, action: Action::Remove, told: Some(told) }));
    }
    repairs.extend(ports(seen));
    repairs
}

/// What is wrong with the address of a Service.
fn of_service(
    seen: &Seen,
    services: &HashMap<Id, &Value>,
    service: &Value,
    address: Ipv4Addr,
    is_written: bool,
) -> Vec<(Action, Option<Told>)> {
    let own @ (namespace, name) = &id(service);
    let tell = |reason, note: String| (Action::Tell, Some(Told::of_service(reason, note)));
    if !seen.ranges.iter().any(|range| gives(range, address)) {
        let why = "is not within any configured Service CIDR; please recreate service";
        return vec![tell("ClusterIPOutOfRange", format!("Cluster IP [IPv4]: {address} {why}"))];
    }
    let taken = || {
        let note = format!("Cluster IP [IPv4]:{address} was assigned to multiple services; please recreate service");
        tell("ClusterIPAlreadyAllocated", note)
    };
    if is_written {
        return vec![taken()];
    }
    let Some(object) = seen.addresses.get(&address) else {
        return vec![(Action::Write(address), Some(Told::not_allocated(address)))];
    };
    let parent = parent(object);
    let holder = parent.as_ref().and_then(|parent| services.get(parent));
    let mut found = Vec::new();
    match holder {
        _ if parent.as_ref() == Some(own) => {}
        None => {
            let note = format!(
                "the ClusterIP [IPv4]: {address} for Service {namespace}/{name} has a wrong reference; repairing"
            );
            return vec![(Action::Write(address), Some(Told::of_service("ClusterIPNotAllocated", note)))];
        }
        Some(holder) if address_of(holder) == Some(address) => found.push(taken()),
        // That the other Service does not have it is found with the address.
        Some(_) => {}
    }
    // Somebody may have taken the labels off what is right otherwise.
    if !(is_managed(object) && has(object, FAMILY)) {
        found.push((Action::Write(address), None));
    }
    found
}

/// Why an address that was given to a Service is none of one.
fn left_over(services: &HashMap<Id, &Value>, address: Ipv4Addr, object: &Value, now: Timestamp) -> Option<Told> {
    if !is_managed(object) {
        return None;
    }
    let Some(parent) = parent(object) else {
        let parent = &object["spec"]["parentRef"];
        let field = |name: &str| text(&parent[name]);
        let shown = format!(
            "&ParentReference{{Group:{},Resource:{},Namespace:{},Name:{},}}",
            field("group"),
            field("resource"),
            field("namespace"),
            field("name")
        );
        let note = format!(
            "IPAddress {address} appears to have been modified, not referencing a Service {shown}: cleaning up"
        );
        return Some(Told::of_address("IPAddressNotAllocated", note));
    };
    let born = |object: &Value| text(&object["metadata"]["creationTimestamp"]).parse::<Timestamp>().ok();
    let is_younger_than = |age| born(object).is_some_and(|born| now < later(born, age));
    let (namespace, name) = &parent;
    let Some(service) = services.get(&parent) else {
        let note = format!("IPAddress: {address} for Service {namespace}/{name} appears to have leaked: cleaning up");
        return (!is_younger_than(GRACE)).then(|| Told::of_address("IPAddressNotAllocated", note));
    };
    let is_awaited = text(&service["spec"]["type"]) == "ExternalName" && is_younger_than(GRACE)
        || born(object) > born(service) && is_younger_than(SHORT_GRACE);
    if address_of(service) == Some(address) || is_awaited {
        return None;
    }
    let note = format!("IPAddress: {address} for Service {namespace}/{name} has a wrong reference; cleaning up");
    Some(Told::of_address("IPAddressWrongReference", note))
}

/// What is wrong with node ports, which only people can mend.
fn ports(seen: &Seen) -> Vec<Repair> {
    let (mut repairs, mut taken) = (Vec::new(), HashSet::new());
    for (index, service) in seen.services.iter().enumerate() {
        for port in ports_of(service) {
            let told = if !u16::try_from(port).is_ok_and(|port| seen.node_ports.contains(&port)) {
                let (low, high) = (seen.node_ports.start(), seen.node_ports.end());
                let note = format!("Port {port} is not within the port range {low}-{high}; please recreate service");
                Told::of_port("PortOutOfRange", note)
            } else if !taken.insert(port) {
                let note = format!("Port {port} was assigned to multiple services; please recreate service");
                Told::of_port("PortAlreadyAllocated", note)
            } else {
                continue;
            };
            repairs.push(Repair { subject: Subject::Service(index), action: Action::Tell, told: Some(told) });
        }
    }
    repairs
}

/// The node ports of a Service; one for several protocols is one.
fn ports_of(service: &Value) -> Vec<i64> {
    let spec = &service["spec"];
    let mut protocols: HashMap<i64, HashSet<&str>> = HashMap::new();
    let mut ports = Vec::new();
    let listed = items(&spec["ports"]).iter().map(|port| (&port["nodePort"], text(&port["protocol"])));
    for (port, protocol) in listed.chain([(&spec["healthCheckNodePort"], "TCP")]) {
        let Some(port) = port.as_i64().filter(|port| *port != 0) else { continue };
        let known = protocols.entry(port).or_default();
        let is_first = known.is_empty();
        if !known.insert(protocol) || is_first {
            ports.push(port);
        }
    }
    ports
}

fn has(object: &Value, (label, value): (&str, &str)) -> bool {
    object["metadata"]["labels"][label] == value
}

fn is_managed(object: &Value) -> bool {
    has(object, MANAGED_BY)
}

/// Whether Services may get an address of a network: its first and its last are never given.
fn gives(network: &Network, address: Ipv4Addr) -> bool {
    let last = network.nth(network.size().saturating_sub(1));
    network.contains(address) && network.nth(0) != Some(address) && last != Some(address)
}

#[cfg(test)]
mod tests;

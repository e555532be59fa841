//! Names of the endpoints of headless services.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portolan_catalog::{Endpoint, Locality, Service, ServicePort, Snapshot, balance};

use super::{EQUAL_WEIGHT, Found, Zone};
use crate::place::{Verdict, here, in_turn, wants_address};
use crate::wire::{Name, Question, Section, Writer, name_of, record};

/// The longest address as text is one of IPv6 that ends as one of IPv4.
pub(crate) const LONGEST_ADDRESS: usize = 45;

/// The label of one of several: a name, or an address with hyphens.
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
    pub(super) address: Option<IpAddr>,
}

impl<'a> Host<'a> {
    pub(super) fn read(label: &'a str) -> Self {
        Self { name: label, address: read_dashed(label) }
    }
}

/// What a label that is found below a service stands for.
pub(super) fn find<'a>(service: &'a Service, host: Host<'a>) -> Found<'a> {
    if service.is_headless() && named(service, &host).next().is_some() {
        return Found::Endpoints(service, host);
    }
    Found::Nothing
}

/// Endpoints of a name: one of each family, or several that share a host name.
fn named<'a>(service: &'a Service, host: &Host<'_>) -> impl Iterator<Item = &'a Endpoint> {
    let matches = |endpoint: &&Endpoint| {
        shown(service, endpoint)
            && match &endpoint.hostname {
                Some(hostname) => hostname.eq_ignore_ascii_case(host.name),
                None => host.address == Some(endpoint.address),
            }
    };
    service.endpoints.iter().filter(matches)
}

/// How far the endpoints of a service are by their addresses.
pub(super) fn distances(service: &Service, here: &Locality, snapshot: &Snapshot) -> HashMap<IpAddr, u8> {
    service.endpoints.iter().map(|endpoint| (endpoint.address, distance(here, endpoint, snapshot))).collect()
}

fn distance(here: &Locality, endpoint: &Endpoint, snapshot: &Snapshot) -> u8 {
    match endpoint.node.as_ref().and_then(|node| snapshot.node(node)) {
        Some(node) => balance::distance(here, &node.locality),
        None => {
            let zone = endpoint.zone.as_deref().unwrap_or_default().to_owned();
            balance::distance(here, &Locality { zone, ..Locality::default() })
        }
    }
}

/// Whether a headless service names this endpoint.
fn shown(service: &Service, endpoint: &Endpoint) -> bool {
    endpoint.ready || service.publish_not_ready_addresses
}

impl Zone {
    pub(super) fn write_headless(
        &self,
        service: &Service,
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
        seed: usize,
    ) -> Verdict {
        if !service.endpoints.iter().any(|endpoint| shown(service, endpoint)) {
            // The schema: a headless service without ready endpoints does not exist.
            return Verdict::Unknown;
        }
        if question.kind == record::SRV {
            service.ports.iter().for_each(|port| self.write_headless_srv(service, port, snapshot, writer, seed));
            return Verdict::Exists;
        }
        let wanted = |endpoint: &Endpoint| shown(service, endpoint) && wants_address(question, endpoint.address);
        for endpoint in in_turn(&service.endpoints, wanted, self.distance(snapshot), seed) {
            self.write_address(endpoint.address, question, writer);
            if writer.is_truncated() {
                break;
            }
        }
        Verdict::Exists
    }

    pub(super) fn write_headless_srv(
        &self,
        service: &Service,
        port: &ServicePort,
        snapshot: &Snapshot,
        writer: &mut Writer<'_>,
        seed: usize,
    ) {
        let offers = |endpoint: &Endpoint| shown(service, endpoint) && endpoint.port(port).is_some();
        // One host name may have an address of each family.
        let mut told = HashSet::new();
        for endpoint in in_turn(&service.endpoints, offers, self.distance(snapshot), seed) {
            let (Some(number), Some(target)) = (endpoint.port(port), self.endpoint_name(service, endpoint)) else {
                continue;
            };
            let is_new = endpoint.hostname.is_none() || told.insert((target, number));
            if is_new {
                self.srv(writer, &target, number, EQUAL_WEIGHT, std::iter::once(endpoint.address));
            } else if !writer.is_truncated() {
                writer.address(Section::Additional, Some(&target), self.ttl, endpoint.address);
            }
            if writer.is_truncated() {
                break;
            }
        }
    }

    pub(super) fn write_endpoints(
        &self,
        service: &Service,
        host: &Host<'_>,
        question: &Question,
        writer: &mut Writer<'_>,
    ) {
        named(service, host).for_each(|endpoint| self.write_address(endpoint.address, question, writer));
        if question.kind != record::SRV {
            return;
        }
        let mut told = HashSet::new();
        for endpoint in named(service, host) {
            let Some(target) = self.endpoint_name(service, endpoint) else { continue };
            for port in &service.ports {
                let number = endpoint.port(port).unwrap_or(port.port);
                if told.insert(number) {
                    let addresses = named(service, host).map(|endpoint| endpoint.address);
                    self.srv(writer, &target, number, EQUAL_WEIGHT, addresses);
                }
            }
        }
    }

    /// How far endpoints are from whom this server answers, if that is known.
    fn distance<'a>(&self, snapshot: &'a Snapshot) -> Option<impl Fn(&Endpoint) -> u8 + 'a> {
        let here = here(snapshot, &self.node)?;
        Some(move |endpoint: &Endpoint| distance(here, endpoint, snapshot))
    }

    pub(crate) fn endpoint_name(&self, service: &Service, endpoint: &Endpoint) -> Option<Name> {
        let mut buffer = [0; LONGEST_ADDRESS];
        let host = match &endpoint.hostname {
            Some(hostname) => hostname.as_bytes(),
            None => write_dashed(endpoint.address, &mut buffer),
        };
        name_of(std::iter::once(host).chain(self.service_labels(service)))
    }
}

/// `10-42-0-2`, `2001-db8--1`.
pub(crate) fn write_dashed(address: IpAddr, buffer: &mut [u8; LONGEST_ADDRESS]) -> &[u8] {
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    write!(cursor, "{address}").expect("the buffer holds every address");
    let length = cursor.position() as usize;
    let label = &mut buffer[..length];
    label.iter_mut().filter(|byte| matches!(byte, b'.' | b':')).for_each(|byte| *byte = b'-');
    label
}

/// The opposite of [`write_dashed`].
fn read_dashed(label: &str) -> Option<IpAddr> {
    let hyphens = label.bytes().filter(|byte| *byte == b'-').count();
    if hyphens < 2 || !label.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        return None;
    }
    let v4 = (hyphens == 3).then(|| label.replace('-', ".").parse::<Ipv4Addr>().ok()).flatten();
    v4.map(IpAddr::V4).or_else(|| label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_its_label() {
        let mut buffer = [0; LONGEST_ADDRESS];
        for (label, address) in [
            ("10-42-0-2", "10.42.0.2"),
            ("255-255-255-255", "255.255.255.255"),
            ("2001-db8--1", "2001:db8::1"),
            ("--1", "::1"),
            ("1-2-3-4-5-6-7-8", "1:2:3:4:5:6:7:8"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(write_dashed(address, &mut buffer), label.as_bytes());
            assert_eq!(read_dashed(label), Some(address), "{label}");
        }
        for label in ["", "10", "10-42-0", "10-42-0-256", "010-42-0-2", "+1-2-3-4", "10.42.0.2", "web-0", "a-b", "g--1"]
        {
            assert_eq!(read_dashed(label), None, "{label}");
        }
    }
}

//! What the cluster's zone says.

use std::net::{IpAddr, Ipv4Addr};

use portolan_catalog::{AddressOwner, Endpoint, Instance, Key, Service, ServicePort, ServiceType, Snapshot, Status};

use crate::authority::Authority;
use crate::consul::ConsulZone;
use crate::encoded::Source;
use crate::wire::{Malformed, Name, Question, Rcode, Section, Writer, name_of, record, write_error, write_name};

/// Version of the schema that `dns-version` announces.
const SCHEMA_VERSION: &[u8] = b"1.1.0";

/// The zone of a cluster.
#[derive(Debug, Clone)]
pub struct Zone {
    domain: Name,
    /// Seconds that answers may be kept.
    pub ttl: u32,
    /// Seconds that the absence of a name may be kept.
    pub negative_ttl: u32,
    /// Networks whose reverse names belong to the cluster: address and prefix length.
    pub reverse: Vec<(Ipv4Addr, u8)>,
    /// The zone of Consul's clients, if they have one.
    pub consul: Option<ConsulZone>,
}

/// What is to be done with a packet.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack of one call; a box would be an allocation")]
pub enum Outcome {
    /// The answer is in the buffer.
    Answered,
    /// Not a query; say nothing.
    Ignored,
    /// The name is not the cluster's: ask someone else.
    Forward(Question),
    /// The name is an alias of a name elsewhere. The buffer holds the answer with the alias alone.
    Alias(Question, Alias),
}

/// Where an alias leads.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    pub(crate) target: Name,
    pub(crate) ttl: u32,
}

/// What a name is.
enum Found<'a> {
    /// Exists, without data of its own.
    Empty,
    Version,
    Service(&'a Service),
    /// `_port._protocol` of a service.
    Port {
        service: &'a Service,
        port: &'a [u8],
        protocol: &'a [u8],
    },
    Endpoint(&'a Service, &'a Endpoint),
    Instances(&'a [std::sync::Arc<Instance>], Option<&'a [u8]>),
    InstancePort {
        instances: &'a [std::sync::Arc<Instance>],
        port: &'a [u8],
        protocol: &'a [u8],
    },
    Pod(Ipv4Addr),
    Nothing,
}

impl Zone {
    /// The zone `domain`, for example `cluster.local`; `None` if that is no domain name.
    pub fn new(domain: &str) -> Option<Self> {
        let domain = Name::parse(domain).filter(|name| *name != Name::ROOT)?;
        Some(Self { domain, ttl: 5, negative_ttl: 5, reverse: Vec::new(), consul: None })
    }

    /// Answers `packet` from `snapshot` into `out`.
    ///
    /// `limit` bounds the answer over TCP; over UDP (`None`) the client's own limit holds.
    pub fn answer(&self, packet: &[u8], snapshot: &Snapshot, limit: Option<usize>, out: &mut Vec<u8>) -> Outcome {
        let question = match Question::read(packet) {
            Ok(question) => question,
            Err(Malformed::Ignore) => return Outcome::Ignored,
            Err(Malformed::Refuse(rcode)) => {
                write_error(out, packet, rcode);
                return Outcome::Answered;
            }
        };
        let limit = limit.unwrap_or_else(|| question.udp_limit());
        let mut writer = Writer::new(out, packet, &question, limit);
        if !question.is_internet() || (251..=254).contains(&question.kind) {
            writer.finish(Rcode::Refused, false);
            return Outcome::Answered;
        }
        let below = question.name.labels_below(&self.domain);
        let consul = self.consul.as_ref().filter(|zone| below.is_none() && zone.contains(&question.name));
        if below.is_none() && consul.is_none() {
            return self.reverse_answer(question, snapshot, writer);
        }
        if snapshot.index() == 0 {
            // Nothing is known yet; "does not exist" would be remembered by clients.
            writer.finish(Rcode::ServFail, false);
            return Outcome::Answered;
        }
        if let Some(consul) = consul {
            return consul.answer(question, snapshot, writer);
        }
        let found = find(snapshot, &question.name, below.unwrap_or(0));
        if let Found::Service(service) = &found
            && let ServiceType::ExternalName(target) = &service.service_type
        {
            let Some(target) = Name::parse(target) else {
                writer.finish(Rcode::ServFail, true);
                return Outcome::Answered;
            };
            writer.record(Section::Answer, None, record::CNAME, self.ttl, |out| write_name(out, &target));
            writer.finish(Rcode::NoError, true);
            return Outcome::Alias(question, Alias { target, ttl: self.ttl });
        }
        let exists = self.write(&found, &question, &mut writer);
        self.finish(writer, exists, &question);
        Outcome::Answered
    }

    /// What the answer to a question is made from, if it is one of those that may be kept.
    pub(crate) fn source(&self, question: &Question, snapshot: &Snapshot) -> Option<Source> {
        let Some(below) = question.name.labels_below(&self.domain) else {
            return self.consul.as_ref()?.source(question, snapshot);
        };
        let mut labels = question.name.labels().take(below).skip(below.checked_sub(3)?);
        let (service, namespace, kind) = (labels.next()?, labels.next()?, labels.next()?);
        if kind != b"svc" {
            return None;
        }
        let text = |label| std::str::from_utf8(label).ok();
        Some(Source::service(Key::new(text(namespace)?, text(service)?), snapshot, false))
    }

    /// Writes the records of what was found; returns whether the name exists.
    fn write(&self, found: &Found<'_>, question: &Question, writer: &mut Writer<'_>) -> bool {
        let wants = |kind: u16| question.kind == kind || question.kind == record::ANY;
        // Clients that take the first address are spread by the ids of their queries.
        let seed = usize::from(question.id);
        match found {
            Found::Nothing => return false,
            Found::Empty => {}
            Found::Version => {
                if wants(record::TXT) {
                    writer.record(Section::Answer, None, record::TXT, self.ttl, |out| {
                        out.push(SCHEMA_VERSION.len() as u8);
                        out.extend_from_slice(SCHEMA_VERSION);
                    });
                }
            }
            Found::Pod(address) => {
                if wants(record::A) {
                    writer.a(Section::Answer, None, self.ttl, *address);
                }
            }
            Found::Endpoint(service, endpoint) => {
                if wants(record::A) {
                    v4(endpoint.address)
                        .into_iter()
                        .for_each(|address| writer.a(Section::Answer, None, self.ttl, address));
                }
                if question.kind == record::SRV {
                    for port in &service.ports {
                        let target = self.endpoint_name(service, endpoint);
                        self.srv(writer, target, endpoint.port(port).unwrap_or(port.port), v4(endpoint.address));
                    }
                }
            }
            Found::Service(service) => return self.write_service(service, question, writer, seed),
            Found::Port { service, port, protocol } => {
                let matches = |candidate: &&ServicePort| {
                    *candidate.name.as_bytes() == **port && candidate.protocol.as_str().as_bytes() == *protocol
                };
                let Some(port) = service.ports.iter().find(matches) else { return false };
                if question.kind == record::SRV {
                    self.write_srv(service, port, writer, seed);
                }
            }
            Found::Instances(instances, id) => return self.write_instances(instances, *id, question, writer, seed),
            Found::InstancePort { instances, port, protocol } => {
                let mut any = false;
                for instance in rotated(instances, seed).filter(|instance| answers(instance)) {
                    for offered in instance.ports.iter().filter(|offered| {
                        *offered.name.as_bytes() == **port && offered.protocol.as_str().as_bytes() == *protocol
                    }) {
                        any = true;
                        if question.kind == record::SRV {
                            self.srv(writer, self.instance_name(instance), offered.port, instance.address.parse().ok());
                        }
                    }
                }
                return any;
            }
        }
        true
    }

    fn write_service(&self, service: &Service, question: &Question, writer: &mut Writer<'_>, seed: usize) -> bool {
        let wants = |kind: u16| question.kind == kind || question.kind == record::ANY;
        if service.is_headless() {
            let shown = || service.endpoints.iter().filter(|endpoint| shown(service, endpoint));
            if shown().next().is_none() {
                // The schema: a headless service without ready endpoints does not exist.
                return false;
            }
            if wants(record::A) {
                let count = shown().count();
                let in_turn = shown().cycle().skip(seed % count).take(count);
                in_turn.filter_map(|endpoint| v4(endpoint.address)).for_each(|address| {
                    writer.a(Section::Answer, None, self.ttl, address);
                });
            }
        } else if wants(record::A) {
            let addresses = service.cluster_addresses.iter().filter_map(|address| v4(*address));
            addresses.for_each(|address| writer.a(Section::Answer, None, self.ttl, address));
        }
        if question.kind == record::SRV {
            service.ports.iter().for_each(|port| self.write_srv(service, port, writer, seed));
        }
        true
    }

    fn write_srv(&self, service: &Service, port: &ServicePort, writer: &mut Writer<'_>, seed: usize) {
        if !service.is_headless() {
            let target = name_of(self.service_labels(service));
            let address = service.cluster_addresses.iter().find_map(|address| v4(*address));
            return self.srv(writer, target, port.port, address);
        }
        for endpoint in rotated(&service.endpoints, seed).filter(|endpoint| shown(service, endpoint)) {
            if let Some(number) = endpoint.port(port) {
                self.srv(writer, self.endpoint_name(service, endpoint), number, v4(endpoint.address));
            }
        }
    }

    fn write_instances(
        &self,
        instances: &[std::sync::Arc<Instance>],
        id: Option<&[u8]>,
        question: &Question,
        writer: &mut Writer<'_>,
        seed: usize,
    ) -> bool {
        let mut any = false;
        let chosen = |instance: &&std::sync::Arc<Instance>| {
            answers(instance) && id.is_none_or(|id| instance.id.as_bytes().eq_ignore_ascii_case(id))
        };
        for instance in rotated(instances, seed).filter(chosen) {
            any = true;
            let address = instance.address.parse::<Ipv4Addr>().ok();
            if question.kind == record::A || question.kind == record::ANY {
                match address {
                    Some(address) => writer.a(Section::Answer, None, self.ttl, address),
                    // It registered with a name; an alias may only stand alone, so the first one wins.
                    None => {
                        if let Some(target) = Name::parse(&instance.address)
                            && instances.len() == 1
                        {
                            writer
                                .record(Section::Answer, None, record::CNAME, self.ttl, |out| write_name(out, &target));
                        }
                    }
                }
            }
            if question.kind == record::SRV {
                for port in instance.ports.iter() {
                    self.srv(writer, self.instance_name(instance), port.port, address);
                }
            }
        }
        any
    }

    fn srv(&self, writer: &mut Writer<'_>, target: Option<Name>, port: u16, address: Option<Ipv4Addr>) {
        let Some(target) = target else { return };
        writer.record(Section::Answer, None, record::SRV, self.ttl, |out| {
            // Priority 0, equal weights.
            out.extend_from_slice(&[0, 0, 0, 100]);
            out.extend_from_slice(&port.to_be_bytes());
            write_name(out, &target);
        });
        if let Some(address) = address
            && !writer.is_truncated()
        {
            writer.a(Section::Additional, Some(&target), self.ttl, address);
        }
    }

    fn finish(&self, writer: Writer<'_>, exists: bool, question: &Question) {
        let server: &[&[u8]] = &[b"ns", b"dns"];
        let (ttl, negative_ttl) = (self.ttl, self.negative_ttl);
        Authority { domain: &self.domain, server, ttl, negative_ttl }.finish(writer, exists, question);
    }

    fn service_labels<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a [u8]> {
        [service.key.name.as_bytes(), service.key.namespace.as_bytes(), b"svc"].into_iter().chain(self.domain.labels())
    }

    fn endpoint_name(&self, service: &Service, endpoint: &Endpoint) -> Option<Name> {
        let mut dashed = [0; 15];
        let host = match (&endpoint.hostname, v4(endpoint.address)) {
            (Some(hostname), _) => hostname.as_bytes(),
            (None, Some(address)) => write_dashed(address, &mut dashed),
            (None, None) => return None,
        };
        name_of(std::iter::once(host).chain(self.service_labels(service)))
    }

    fn instance_name(&self, instance: &Instance) -> Option<Name> {
        let own = [instance.id.as_bytes(), instance.service.as_bytes(), instance.namespace.as_bytes(), b"svc"];
        name_of(own.into_iter().chain(self.domain.labels()))
    }

    fn reverse_answer(&self, question: Question, snapshot: &Snapshot, mut writer: Writer<'_>) -> Outcome {
        let Some(address) = reverse_address(&question.name) else { return Outcome::Forward(question) };
        let mut known = false;
        for owner in snapshot.owners_of(IpAddr::V4(address)) {
            let name = match owner {
                AddressOwner::Service(key) => snapshot
                    .service(&key.namespace, &key.name)
                    .and_then(|service| name_of(self.service_labels(service))),
                AddressOwner::Endpoint(key) => {
                    let service = snapshot.service(&key.namespace, &key.name).filter(|service| service.is_headless());
                    service.and_then(|service| {
                        let endpoint = service.endpoints.iter().find(|endpoint| endpoint.address == address);
                        self.endpoint_name(service, endpoint?)
                    })
                }
                AddressOwner::Pod(key) => {
                    let mut dashed = [0; 15];
                    let own = [write_dashed(address, &mut dashed), key.namespace.as_bytes(), b"pod"];
                    name_of(own.into_iter().chain(self.domain.labels()))
                }
            };
            let Some(name) = name else { continue };
            known = true;
            if matches!(question.kind, record::PTR | record::ANY) {
                writer.record(Section::Answer, None, record::PTR, self.ttl, |out| write_name(out, &name));
            }
        }
        let ours = self.reverse.iter().any(|(network, prefix)| {
            let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        });
        if !known && !ours {
            return Outcome::Forward(question);
        }
        self.finish(writer, known, &question);
        Outcome::Answered
    }
}

/// Looks up the labels before the zone's own: `below` of them.
fn find<'a>(snapshot: &'a Snapshot, name: &'a Name, below: usize) -> Found<'a> {
    let mut labels = [&b""[..]; 5];
    if below > labels.len() {
        return Found::Nothing;
    }
    for (target, label) in labels.iter_mut().zip(name.labels().take(below)) {
        *target = label;
    }
    // Names of objects are ASCII, so a label that is no text matches none.
    let text = |label: &'a [u8]| std::str::from_utf8(label).unwrap_or_default();
    match &labels[..below] {
        [] => Found::Empty,
        [b"svc" | b"pod"] => Found::Empty,
        [b"dns-version"] => Found::Version,
        [address, namespace, b"pod"] => find_pod(snapshot, text(address), text(namespace)),
        [service, namespace, b"svc"] => match snapshot.service(text(namespace), text(service)) {
            Some(service) => Found::Service(service),
            None => registered(snapshot, text(namespace), text(service))
                .map_or(Found::Nothing, |instances| Found::Instances(instances, None)),
        },
        [host, service, namespace, b"svc"] => match snapshot.service(text(namespace), text(service)) {
            Some(service) => find_endpoint(service, text(host)),
            None => registered(snapshot, text(namespace), text(service))
                .map_or(Found::Nothing, |instances| Found::Instances(instances, Some(host))),
        },
        [port, protocol, service, namespace, b"svc"] => {
            let (Some(port), Some(protocol)) = (port.strip_prefix(b"_"), protocol.strip_prefix(b"_")) else {
                return Found::Nothing;
            };
            match snapshot.service(text(namespace), text(service)) {
                Some(service) => Found::Port { service, port, protocol },
                None => registered(snapshot, text(namespace), text(service))
                    .map_or(Found::Nothing, |instances| Found::InstancePort { instances, port, protocol }),
            }
        }
        _ => Found::Nothing,
    }
}

fn registered<'a>(snapshot: &'a Snapshot, namespace: &str, service: &str) -> Option<&'a [std::sync::Arc<Instance>]> {
    snapshot.instances_of(namespace, service).map(|instances| &**instances)
}

fn find_endpoint<'a>(service: &'a Service, host: &str) -> Found<'a> {
    if !service.is_headless() {
        return Found::Nothing;
    }
    let dashed = dashed_address(host);
    let matches = |endpoint: &&Endpoint| {
        shown(service, endpoint)
            && match &endpoint.hostname {
                Some(hostname) => hostname.eq_ignore_ascii_case(host),
                None => dashed.is_some_and(|address| endpoint.address == address),
            }
    };
    service.endpoints.iter().find(matches).map_or(Found::Nothing, |endpoint| Found::Endpoint(service, endpoint))
}

fn find_pod<'a>(snapshot: &Snapshot, address: &str, namespace: &str) -> Found<'a> {
    let Some(address) = dashed_address(address) else { return Found::Nothing };
    let owners = snapshot.owners_of(IpAddr::V4(address));
    let known = owners.iter().any(|owner| matches!(owner, AddressOwner::Pod(key) if *key.namespace == *namespace));
    if known { Found::Pod(address) } else { Found::Nothing }
}

/// Whether a headless service names this endpoint.
fn shown(service: &Service, endpoint: &Endpoint) -> bool {
    endpoint.ready || service.publish_not_ready_addresses
}

fn answers(instance: &Instance) -> bool {
    instance.health.status != Status::Critical
}

fn rotated<T>(items: &[T], seed: usize) -> impl Iterator<Item = &T> {
    let start = if items.is_empty() { 0 } else { seed % items.len() };
    items[start..].iter().chain(&items[..start])
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// `10-42-0-2`.
fn dashed_address(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('-');
    let mut octet = || parts.next().filter(|part| part.len() <= 3 && !part.starts_with('+'))?.parse::<u8>().ok();
    let address = Ipv4Addr::new(octet()?, octet()?, octet()?, octet()?);
    parts.next().is_none().then_some(address)
}

fn write_dashed(address: Ipv4Addr, buffer: &mut [u8; 15]) -> &[u8] {
    use std::io::Write as _;
    let [a, b, c, d] = address.octets();
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    write!(cursor, "{a}-{b}-{c}-{d}").expect("fifteen bytes hold every address");
    let length = cursor.position() as usize;
    &buffer[..length]
}

/// The address in `2.0.42.10.in-addr.arpa`.
fn reverse_address(name: &Name) -> Option<Ipv4Addr> {
    let mut labels = name.labels();
    let mut octet = || std::str::from_utf8(labels.next()?).ok()?.parse::<u8>().ok();
    let (d, c, b, a) = (octet()?, octet()?, octet()?, octet()?);
    labels.eq([b"in-addr".as_slice(), b"arpa"]).then(|| Ipv4Addr::new(a, b, c, d))
}

//! What the cluster's zone says.

pub(crate) mod endpoints;
mod registered;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portolan_catalog::{AddressOwner, Instance, Key, Service, ServicePort, ServiceType, Snapshot, find_in_any_case};

use self::endpoints::Host;
use crate::authority::{Authority, Machine};
use crate::consul::ConsulZone;
use crate::encoded::{Also, Source};
use crate::place::{Made, Verdict, distances, here, wants_address};
use crate::wire::{Malformed, Name, Question, Rcode, Section, Writer, name_of, record, write_error, write_name};

/// Version of the schema that `dns-version` announces.
const SCHEMA_VERSION: &[u8] = b"1.1.0";

/// The zone of a cluster.
#[derive(Debug, Clone)]
pub struct Zone {
    pub(crate) domain: Name,
    /// The machine whose clients are served: they get what is near to it first.
    pub node: Arc<str>,
    /// Addresses of the name server itself; if there are none, those of `node`. A listener on an address has that one.
    pub addresses: Vec<IpAddr>,
    /// Seconds that answers may be kept.
    pub ttl: u32,
    /// Seconds that the absence of a name may be kept.
    pub negative_ttl: u32,
    /// Networks whose reverse names belong to the cluster: address and prefix length.
    pub reverse: Vec<(Ipv4Addr, u8)>,
    /// The zone of Consul's clients, if they have one.
    pub consul: Option<ConsulZone>,
    /// Whose names are given to an address of which both zones know one.
    pub names_of_addresses: NamesOf,
}

/// Whose names the clients of a listener expect for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamesOf {
    /// Those of the cluster's zone, as pods do.
    #[default]
    Cluster,
    /// Those of Consul's zone, as programs beside the cluster do. Pods and services keep theirs.
    Consul,
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
    /// Endpoints of a headless service that have this name.
    Endpoints(&'a Service, Host<'a>),
    /// Those that registered themselves, or the ones of them that have this name.
    Instances(&'a [Arc<Instance>], Option<Host<'a>>),
    InstancePort {
        instances: &'a [Arc<Instance>],
        port: &'a [u8],
        protocol: &'a [u8],
    },
    Pod(IpAddr),
    Nothing,
}

impl Zone {
    /// The zone `domain`, for example `cluster.local`; `None` if that is no domain name.
    pub fn new(domain: &str) -> Option<Self> {
        let domain = Name::parse(domain).filter(|name| *name != Name::ROOT)?;
        Some(Self {
            domain,
            node: "".into(),
            addresses: Vec::new(),
            ttl: 5,
            negative_ttl: 5,
            reverse: Vec::new(),
            consul: None,
            names_of_addresses: NamesOf::default(),
        })
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
        if question.edns_version > 0 {
            writer.finish(Rcode::BadVers, false);
            return Outcome::Answered;
        }
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
            return consul.answer(question, snapshot, &self.addresses, writer);
        }
        let found = find(snapshot, &question.name, below.unwrap_or(0));
        match self.write(&found, snapshot, &question, &mut writer) {
            Verdict::Alias(target) => {
                writer.record(Section::Answer, None, record::CNAME, self.ttl, |out| write_name(out, &target));
                writer.finish(Rcode::NoError, true);
                Outcome::Alias(question, Alias { target, ttl: self.ttl })
            }
            verdict => {
                self.finish(writer, matches!(verdict, Verdict::Exists), &question, snapshot);
                Outcome::Answered
            }
        }
    }

    /// What the answer to a question was made from, if it is one of those that may be kept.
    pub(crate) fn source(&self, question: &Question, snapshot: &Snapshot) -> Option<Made> {
        let Some(below) = question.name.labels_below(&self.domain) else {
            return self.consul.as_ref()?.source(question, snapshot);
        };
        let mut labels = question.name.labels().take(below).skip(below.checked_sub(3)?);
        let (service, namespace, kind) = (labels.next()?, labels.next()?, labels.next()?);
        if kind != b"svc" {
            return None;
        }
        let (namespace, service) = (std::str::from_utf8(namespace).ok()?, std::str::from_utf8(service).ok()?);
        let near = here(snapshot, &self.node);
        if let Some(service) = snapshot.service(namespace, service) {
            // How far endpoints are, their nodes say.
            let headless = service.is_headless();
            let near = near.filter(|_| headless);
            let also = Also { services: false, nodes: headless };
            let distances = near.map(|near| endpoints::distances(service, near, snapshot)).unwrap_or_default();
            return Some(Made { from: Source::service(service.key.clone(), snapshot, also), distances });
        }
        let (other_case, instances) = registered(snapshot, namespace, service)?;
        let also = Also { services: other_case.is_some(), nodes: true };
        let key = other_case.cloned().unwrap_or_else(|| Key::new(namespace, service));
        let distances = near.map(|near| distances(instances, near, snapshot)).unwrap_or_default();
        Some(Made { from: Source::service(key, snapshot, also), distances })
    }

    /// Writes the records of what was found.
    fn write(&self, found: &Found<'_>, snapshot: &Snapshot, question: &Question, writer: &mut Writer<'_>) -> Verdict {
        // Clients that take the first address are spread by the ids of their queries.
        let seed = usize::from(question.id);
        match found {
            Found::Nothing => return Verdict::Unknown,
            Found::Empty => {}
            Found::Version => {
                if matches!(question.kind, record::TXT | record::ANY) {
                    writer.record(Section::Answer, None, record::TXT, self.ttl, |out| {
                        out.push(SCHEMA_VERSION.len() as u8);
                        out.extend_from_slice(SCHEMA_VERSION);
                    });
                }
            }
            Found::Pod(address) => self.write_address(*address, question, writer),
            Found::Endpoints(service, host) => self.write_endpoints(service, host, question, writer),
            Found::Service(service) => return self.write_service(service, snapshot, question, writer, seed),
            Found::Port { service, port, protocol } => {
                let matches = |candidate: &&ServicePort| {
                    *candidate.name.as_bytes() == **port && candidate.protocol.as_str().as_bytes() == *protocol
                };
                let Some(port) = service.ports.iter().find(matches) else { return Verdict::Unknown };
                if question.kind == record::SRV {
                    self.write_srv(service, port, snapshot, writer, seed);
                }
            }
            Found::Instances(instances, host) => {
                return self.write_instances(instances, host.as_ref(), snapshot, question, writer);
            }
            Found::InstancePort { instances, port, protocol } => {
                return self.write_instance_port(instances, (port, protocol), snapshot, question, writer);
            }
        }
        Verdict::Exists
    }

    fn write_service(
        &self,
        service: &Service,
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
        seed: usize,
    ) -> Verdict {
        if let ServiceType::ExternalName(target) = &service.service_type {
            return match Name::parse(target) {
                Some(target) => Verdict::Alias(target),
                // The API takes host names only.
                None => Verdict::Exists,
            };
        }
        if service.is_headless() {
            return self.write_headless(service, snapshot, question, writer, seed);
        }
        service.cluster_addresses.iter().for_each(|address| self.write_address(*address, question, writer));
        if question.kind == record::SRV {
            service.ports.iter().for_each(|port| self.write_srv(service, port, snapshot, writer, seed));
        }
        Verdict::Exists
    }

    fn write_srv(
        &self,
        service: &Service,
        port: &ServicePort,
        snapshot: &Snapshot,
        writer: &mut Writer<'_>,
        seed: usize,
    ) {
        if service.is_headless() {
            return self.write_headless_srv(service, port, snapshot, writer, seed);
        }
        if let Some(target) = name_of(self.service_labels(service)) {
            self.srv(writer, &target, port.port, EQUAL_WEIGHT, service.cluster_addresses.iter().copied());
        }
    }

    /// Writes the address if it is asked for.
    fn write_address(&self, address: IpAddr, question: &Question, writer: &mut Writer<'_>) {
        if wants_address(question, address) {
            writer.address(Section::Answer, None, self.ttl, address);
        }
    }

    fn srv(
        &self,
        writer: &mut Writer<'_>,
        target: &Name,
        port: u16,
        weight: u16,
        addresses: impl Iterator<Item = IpAddr>,
    ) {
        writer.record(Section::Answer, None, record::SRV, self.ttl, |out| {
            // All are of the same priority, 0.
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&weight.to_be_bytes());
            out.extend_from_slice(&port.to_be_bytes());
            write_name(out, target);
        });
        for address in addresses {
            if !writer.is_truncated() {
                writer.address(Section::Additional, Some(target), self.ttl, address);
            }
        }
    }

    pub(crate) fn finish(&self, writer: Writer<'_>, exists: bool, question: &Question, snapshot: &Snapshot) {
        let server: &[&[u8]] = &[b"ns", b"dns"];
        let machine = Machine { addresses: &self.addresses, node: &self.node, snapshot };
        let (ttl, negative_ttl) = (self.ttl, self.negative_ttl);
        Authority { domain: &self.domain, server, machine, ttl, negative_ttl }.finish(writer, exists, question);
    }

    pub(crate) fn service_labels<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a [u8]> {
        [service.key.name.as_bytes(), service.key.namespace.as_bytes(), b"svc"].into_iter().chain(self.domain.labels())
    }
}

/// The weight of each of several that weigh the same.
const EQUAL_WEIGHT: u16 = 100;

/// Looks up the labels before the zone's own: `below` of them.
fn find<'a>(snapshot: &'a Snapshot, name: &'a Name, below: usize) -> Found<'a> {
    let mut labels = [&b""[..]; 5];
    if below > labels.len() {
        return Found::Nothing;
    }
    for (target, label) in labels.iter_mut().zip(name.labels().take(below)) {
        *target = label;
    }
    // What registers itself does so in UTF-8, so a label that is no text matches nothing.
    let text = |label: &'a [u8]| std::str::from_utf8(label).unwrap_or_default();
    let instances = |namespace, service| registered(snapshot, text(namespace), text(service));
    match &labels[..below] {
        [] => Found::Empty,
        // The name server's own name is below the latter.
        [b"svc" | b"pod" | b"dns"] => Found::Empty,
        [b"dns-version"] => Found::Version,
        [address, namespace, b"pod"] => find_pod(snapshot, text(address), text(namespace)),
        [service, namespace, b"svc"] => match snapshot.service(text(namespace), text(service)) {
            Some(service) => Found::Service(service),
            None => {
                instances(namespace, service).map_or(Found::Nothing, |(_, instances)| Found::Instances(instances, None))
            }
        },
        [host, service, namespace, b"svc"] => match snapshot.service(text(namespace), text(service)) {
            Some(service) => endpoints::find(service, Host::read(text(host))),
            None => instances(namespace, service)
                .map_or(Found::Nothing, |(_, instances)| Found::Instances(instances, Some(Host::read(text(host))))),
        },
        [port, protocol, service, namespace, b"svc"] => {
            let (Some(port), Some(protocol)) = (port.strip_prefix(b"_"), protocol.strip_prefix(b"_")) else {
                return Found::Nothing;
            };
            match snapshot.service(text(namespace), text(service)) {
                Some(service) => Found::Port { service, port, protocol },
                None => instances(namespace, service).map_or(Found::Nothing, |(_, instances)| Found::InstancePort {
                    instances,
                    port,
                    protocol,
                }),
            }
        }
        _ => Found::Nothing,
    }
}

/// Those that registered under a name, and how it is written if the case of its letters is another: DNS knows none.
fn registered<'a>(
    snapshot: &'a Snapshot,
    namespace: &str,
    service: &str,
) -> Option<(Option<&'a Key>, &'a [Arc<Instance>])> {
    if let Some(instances) = snapshot.instances_of(namespace, service) {
        return Some((None, instances));
    }
    let key = find_in_any_case(snapshot, namespace, service)?;
    Some((Some(key), snapshot.instances_of(&key.namespace, &key.name)?))
}

fn find_pod<'a>(snapshot: &Snapshot, address: &str, namespace: &str) -> Found<'a> {
    let Some(address) = Host::read(address).address else { return Found::Nothing };
    let owners = snapshot.owners_of(address);
    let known = owners.iter().any(|owner| matches!(owner, AddressOwner::Pod(key) if *key.namespace == *namespace));
    if known { Found::Pod(address) } else { Found::Nothing }
}

//! What is known of a service, a machine or an address, as records. Pure.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use portolan_catalog::{
    Instance, InstancePort, Locality, Node, Protocol, Snapshot, balance, find_service_in_any_case, query,
};

use super::{ConsulZone, name};
use crate::place::{Place, Verdict, answers, leads_on, main_addresses, may_be_alias, wants_address};
use crate::wire::{Name, Question, Section, Writer, record, write_name};

/// Metadata of a machine whose names begin so are TXT records as they are (RFC 1035, section 3.3.14).
const PLAIN_TEXT: &str = "rfc1035-";
/// The longest string of a TXT record.
const LONGEST_STRING: usize = 255;

/// The servers of this cluster: who answers for the API.
pub(super) fn servers(snapshot: &Snapshot) -> Vec<Arc<Instance>> {
    let instances = snapshot.instances_of("default", "kubernetes").into_iter().flat_map(|list| list.iter());
    let usable = instances.filter(|instance| answers(instance));
    let as_consul = |instance: &Arc<Instance>| {
        let mut instance = Instance::clone(instance);
        instance.ports = Arc::new(vec![InstancePort { name: "".into(), port: SERVER_PORT, protocol: Protocol::Tcp }]);
        Arc::new(instance)
    };
    usable.map(as_consul).collect()
}

/// Port of Consul's servers among themselves, as its clients show it; nothing listens there.
const SERVER_PORT: u16 = 8300;

impl ConsulZone {
    pub(super) fn write_address(&self, address: IpAddr, question: &Question, writer: &mut Writer<'_>) -> Verdict {
        if wants_address(question, address) {
            writer.address(Section::Answer, None, self.node_ttl, address);
        }
        Verdict::Exists
    }

    pub(super) fn write_node(
        &self,
        name: &str,
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
    ) -> Verdict {
        let Some(node) = find_node(snapshot, name) else { return Verdict::Unknown };
        if node.addresses.is_empty()
            && may_be_alias(question)
            && let Some(Place::Host(target)) = Place::read(&node.host)
        {
            return Verdict::Alias(target);
        }
        for address in main_addresses(node).filter(|address| wants_address(question, *address)) {
            writer.address(Section::Answer, None, self.node_ttl, address);
        }
        if matches!(question.kind, record::TXT | record::ANY) {
            for text in texts(node, snapshot) {
                writer.record(Section::Answer, None, record::TXT, self.node_ttl, |out| write_strings(out, &text));
            }
        }
        Verdict::Exists
    }

    /// The cluster address of a service, if it has one.
    pub(super) fn write_virtual(
        &self,
        name: &str,
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
    ) -> Verdict {
        let service = find_service_in_any_case(snapshot, name)
            .and_then(|key| snapshot.service(&key.namespace, &key.name))
            .filter(|service| !service.cluster_addresses.is_empty());
        let Some(service) = service else { return Verdict::Unknown };
        for address in service.cluster_addresses.iter().filter(|address| wants_address(question, **address)) {
            writer.address(Section::Answer, None, self.ttl, *address);
        }
        Verdict::Exists
    }

    /// The instances of a service that take requests, in the order in which this query gets them.
    pub(super) fn instances(
        &self,
        name: &str,
        tag: Option<&str>,
        snapshot: &Snapshot,
        chance: u16,
    ) -> Vec<Arc<Instance>> {
        let Some(key) = find_service_in_any_case(snapshot, name) else { return Vec::new() };
        let tagged =
            |instance: &Instance| tag.is_none_or(|tag| instance.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)));
        let instances = snapshot.instances_of(&key.namespace, &key.name).into_iter().flat_map(|list| list.iter());
        let usable: Vec<_> = instances.filter(|instance| answers(instance) && tagged(instance)).cloned().collect();
        let anywhere = Locality::default();
        let here = snapshot.node(&self.node).map_or(&anywhere, |node| &node.locality);
        balance::order(&usable, here, u64::from(chance))
    }

    /// The instances that answer a prepared query, in the order in which this question gets them.
    pub(super) fn instances_of_query(
        &self,
        query: &query::PreparedQuerySpec,
        snapshot: &Snapshot,
        chance: u16,
    ) -> Vec<Arc<Instance>> {
        let usable = query::execute(snapshot, query);
        let anywhere = Locality::default();
        let here = snapshot.node(&self.node).map_or(&anywhere, |node| &node.locality);
        let mut ordered = balance::order(&usable, here, u64::from(chance));
        query::nearest_as_named(snapshot, &mut ordered, &query.near, &self.node);
        ordered
    }

    pub(super) fn write_instances(
        &self,
        instances: &[Arc<Instance>],
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
    ) -> Verdict {
        if instances.is_empty() {
            return Verdict::Unknown;
        }
        if question.kind == record::SRV {
            let mut told = HashSet::new();
            for instance in instances {
                self.write_srv(instance, snapshot, writer, &mut told);
            }
            return Verdict::Exists;
        }
        let (mut told, mut host) = (HashSet::new(), None);
        for instance in instances {
            match Place::of(instance, snapshot) {
                Some(Place::Address(address)) => {
                    let is_new = told.insert(address);
                    if is_new && wants_address(question, address) {
                        writer.address(Section::Answer, None, self.ttl, address);
                    }
                }
                Some(Place::Host(name)) => host = host.or(Some(name)),
                None => {}
            }
        }
        match host {
            Some(target) if leads_on(question, told.is_empty(), writer) => Verdict::Alias(target),
            _ => Verdict::Exists,
        }
    }

    fn write_srv(
        &self,
        instance: &Instance,
        snapshot: &Snapshot,
        writer: &mut Writer<'_>,
        told: &mut HashSet<(Name, u16)>,
    ) {
        let (target, address) = match Place::of(instance, snapshot) {
            Some(Place::Address(address)) => match self.target(instance, address, snapshot) {
                Some(target) => (target, Some(address)),
                None => return,
            },
            Some(Place::Host(name)) => (name, None),
            None => return,
        };
        // An instance has one port in Consul's catalog: its first.
        let port = instance.ports.first().map_or(0, |port| port.port);
        if !told.insert((target, port)) {
            return;
        }
        let weight = u16::try_from(balance::weight(instance)).unwrap_or(u16::MAX);
        writer.record(Section::Answer, None, record::SRV, self.ttl, |out| {
            // All are of the same priority, 1.
            out.extend_from_slice(&1_u16.to_be_bytes());
            out.extend_from_slice(&weight.to_be_bytes());
            out.extend_from_slice(&port.to_be_bytes());
            write_name(out, &target);
        });
        if let Some(address) = address
            && !writer.is_truncated()
        {
            writer.address(Section::Additional, Some(&target), self.ttl, address);
        }
    }

    /// The name of an instance's address: that of its machine if it has the machine's address, else one
    /// that says the address.
    fn target(&self, instance: &Instance, address: IpAddr, snapshot: &Snapshot) -> Option<Name> {
        let node = snapshot.machine(&instance.node);
        let node = node.filter(|node| main_addresses(node).any(|own| own == address));
        let hex = || name::hex(address);
        node.and_then(|node| self.machine_name(node))
            .or_else(|| self.name_in_datacenter([hex().as_bytes(), b"addr"].into_iter()))
    }
}

/// A machine by name; letter case counts only if two differ in nothing else.
fn find_node<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Arc<Node>> {
    let alike = |node: &&Arc<Node>| node.name.eq_ignore_ascii_case(name);
    snapshot.machine(name).or_else(|| snapshot.nodes().chain(snapshot.external_nodes()).find(alike))
}

/// Metadata of a machine as texts, `name=value` as RFC 1464 has it. What was registered about a node of
/// the cluster adds to what the cluster knows.
fn texts(node: &Node, snapshot: &Snapshot) -> Vec<String> {
    let mut metadata: BTreeMap<&str, &str> = BTreeMap::new();
    let registered = snapshot.external_node(&node.name).into_iter().flat_map(|node| &node.metadata);
    metadata.extend(node.metadata.iter().chain(registered).map(|(name, value)| (name.as_str(), value.as_str())));
    let text = |(name, value): (&str, &str)| {
        let plain = name.get(..PLAIN_TEXT.len()).is_some_and(|start| start.eq_ignore_ascii_case(PLAIN_TEXT));
        if plain {
            return value.to_owned();
        }
        format!("{}={}", name.replace('`', "``").replace('=', "`="), value.replace('`', "``"))
    };
    metadata.into_iter().map(text).collect()
}

fn write_strings(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        // A TXT record has one string at least (RFC 1035, section 3.3.14).
        out.push(0);
    }
    for part in text.as_bytes().chunks(LONGEST_STRING) {
        out.push(part.len() as u8);
        out.extend_from_slice(part);
    }
}

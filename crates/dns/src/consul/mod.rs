//! The zone in which Consul's clients look: services by tag, machines and addresses, by datacenter. Pure.
//!
//! Names: <https://developer.hashicorp.com/consul/docs/services/discovery/dns-static-lookups>. Instances
//! that are critical are left out, the others come in another order for every query: nearest first,
//! then by chance and weight. The chance is the id of the query.

mod answer;
mod name;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use portolan_catalog::{Snapshot, balance, find_service_in_any_case};

use self::answer::servers;
use self::name::Asked;
use crate::authority::{Authority, Machine};
use crate::encoded::{Also, Source};
use crate::place::{Made, Verdict, answers, distances, here};
use crate::wire::{Name, Question, Rcode, Section, Writer, name_of, record, write_name};
use crate::zone::{Alias, Outcome};

/// The service that Consul's servers are: here the machines that serve the API, and the registry beside it.
const OWN_SERVICE: &str = "consul";

/// The zone of Consul's clients.
#[derive(Debug, Clone)]
pub struct ConsulZone {
    domain: Name,
    datacenter: String,
    node: Arc<str>,
    /// Seconds that answers about services may be kept; 0, as in Consul, since instances come and go at any time.
    pub ttl: u32,
    /// Seconds that answers about machines and addresses may be kept.
    pub node_ttl: u32,
    /// Seconds that the absence of a name may be kept.
    pub negative_ttl: u32,
}

impl ConsulZone {
    /// The zone `domain`, usually `consul`, of the one datacenter that there is, usually `dc1`; `None` if
    /// these are no names. Instances near to the machine `node` are preferred.
    pub fn new(domain: &str, datacenter: &str, node: Arc<str>) -> Option<Self> {
        let domain = Name::parse(domain).filter(|name| *name != Name::ROOT)?;
        Name::parse(datacenter).filter(|name| name.labels().count() == 1)?;
        Some(Self { domain, datacenter: datacenter.to_ascii_lowercase(), node, ttl: 0, node_ttl: 0, negative_ttl: 0 })
    }

    /// Whether a name is in the zone.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        name.labels_below(&self.domain).is_some()
    }

    /// Answers a question whose name is in the zone; `addresses` are those of the name server itself.
    pub(crate) fn answer(
        &self,
        question: Question,
        snapshot: &Snapshot,
        addresses: &[IpAddr],
        mut writer: Writer<'_>,
    ) -> Outcome {
        let mut ttl = self.ttl;
        let asked = self.asked(&question.name);
        if matches!(asked, Asked::Node(_)) {
            ttl = self.node_ttl;
        }
        let verdict = match asked {
            Asked::Nothing => Verdict::Unknown,
            Asked::Inner => Verdict::Exists,
            Asked::Address(address) => self.write_address(address, &question, &mut writer),
            Asked::Node(name) => self.write_node(&name, snapshot, &question, &mut writer),
            Asked::Virtual(name) => self.write_virtual(&name, snapshot, &question, &mut writer),
            Asked::Query(name) => match snapshot.query(&name) {
                Some(query) => {
                    ttl = query.ttl_seconds.unwrap_or(self.ttl);
                    let zone = Self { ttl, ..self.clone() };
                    let instances = zone.instances_of_query(&query, snapshot, question.id);
                    zone.write_instances(&instances, snapshot, &question, &mut writer)
                }
                None => Verdict::Unknown,
            },
            Asked::Service { name, tag } => {
                let instances = match self.instances(&name, tag.as_deref(), snapshot, question.id) {
                    none if none.is_empty() && name == OWN_SERVICE && tag.is_none() => servers(snapshot),
                    found => found,
                };
                self.write_instances(&instances, snapshot, &question, &mut writer)
            }
        };
        if let Verdict::Alias(target) = verdict {
            writer.record(Section::Answer, None, record::CNAME, ttl, |out| write_name(out, &target));
            writer.finish(Rcode::NoError, true);
            return Outcome::Alias(question, Alias { target, ttl });
        }
        let machine = Machine { addresses, node: &self.node, snapshot };
        let (ttl, negative_ttl) = (self.ttl, self.negative_ttl);
        let authority = Authority { domain: &self.domain, server: &[b"ns"], machine, ttl, negative_ttl };
        authority.finish(writer, matches!(verdict, Verdict::Exists), &question);
        Outcome::Answered
    }

    /// What the answer to a question was made from, if it is one of those that may be kept: all instances of a
    /// service weigh as much as each other.
    pub(crate) fn source(&self, question: &Question, snapshot: &Snapshot) -> Option<Made> {
        let Asked::Service { name, .. } = self.asked(&question.name) else { return None };
        let key = find_service_in_any_case(snapshot, &name)?;
        let instances = snapshot.instances_of(&key.namespace, &key.name)?;
        let mut weights =
            instances.iter().filter(|instance| answers(instance)).map(|instance| balance::weight(instance));
        let first = weights.next()?;
        if !weights.all(|weight| weight == first) {
            return None;
        }
        let from = Source::service(key, snapshot, Also { services: true, nodes: true });
        let near = here(snapshot, &self.node);
        let distances = near.map(|near| distances(instances, near, snapshot)).unwrap_or_default();
        Some(Made { from, distances })
    }

    /// A name below the datacenter.
    pub(crate) fn name_in_datacenter<'a>(&'a self, labels: impl Iterator<Item = &'a [u8]>) -> Option<Name> {
        name_of(labels.chain([self.datacenter.as_bytes()]).chain(self.domain.labels()))
    }

    fn asked(&self, name: &Name) -> Asked {
        let below = name.labels_below(&self.domain).unwrap_or(0);
        let labels: Result<Vec<&str>, _> = name.labels().take(below).map(std::str::from_utf8).collect();
        // What registers itself does so in UTF-8.
        labels.map_or(Asked::Nothing, |labels| name::read(&labels, &self.datacenter))
    }
}

//! What a zone says of itself, and how its answers end.

use std::cell::LazyCell;
use std::net::IpAddr;

use portolan_catalog::Snapshot;

use crate::place::{main_addresses, wants_address};
use crate::wire::{Name, Question, Rcode, Section, Writer, name_of, record, write_name};

/// A zone as its SOA and NS records show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authority<'a> {
    pub(crate) domain: &'a Name,
    /// Labels of its name server below the domain.
    pub(crate) server: &'a [&'a [u8]],
    /// Where that is.
    pub(crate) machine: Machine<'a>,
    pub(crate) ttl: u32,
    pub(crate) negative_ttl: u32,
}

/// The machine of a name server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    /// Where it is reached, if that is known.
    pub(crate) addresses: &'a [IpAddr],
    /// Name of the machine, which has addresses otherwise.
    pub(crate) node: &'a str,
    pub(crate) snapshot: &'a Snapshot,
}

impl Machine<'_> {
    fn addresses(&self) -> Vec<IpAddr> {
        if !self.addresses.is_empty() {
            return self.addresses.to_vec();
        }
        self.snapshot.machine(self.node).map(|node| main_addresses(node).collect()).unwrap_or_default()
    }
}

impl Authority<'_> {
    /// Ends an answer within the zone: adds what the zone says of itself where that was asked, or where
    /// there is nothing else to say.
    pub(crate) fn finish(&self, mut writer: Writer<'_>, exists: bool, question: &Question) {
        let apex = question.name == *self.domain;
        // Most answers do not need it.
        let server = LazyCell::new(|| self.below(self.server));
        let is_server = !writer.has_answer() && question.name == *server;
        if is_server {
            for address in self.machine.addresses().into_iter().filter(|address| wants_address(question, *address)) {
                writer.address(Section::Answer, None, self.ttl, address);
            }
        }
        if apex && matches!(question.kind, record::SOA | record::ANY) {
            self.soa(&mut writer, Section::Answer, &server);
        } else if apex && question.kind == record::NS {
            writer.record(Section::Answer, None, record::NS, self.ttl, |out| write_name(out, &server));
            for address in self.machine.addresses() {
                writer.address(Section::Additional, Some(&server), self.ttl, address);
            }
        } else if !writer.has_answer() {
            // The negative answer of RFC 2308: whose zone, and for how long.
            self.soa(&mut writer, Section::Authority, &server);
        }
        writer.finish(if exists || is_server { Rcode::NoError } else { Rcode::NxDomain }, true);
    }

    fn soa(&self, writer: &mut Writer<'_>, section: Section, server: &Name) {
        let contact = self.below(&[b"hostmaster"]);
        writer.record(section, Some(self.domain), record::SOA, self.negative_ttl, |out| {
            write_name(out, server);
            write_name(out, &contact);
            for number in [1_u32, 7200, 1800, 86_400, self.negative_ttl] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        });
    }

    fn below(&self, labels: &[&[u8]]) -> Name {
        name_of(labels.iter().copied().chain(self.domain.labels())).unwrap_or(*self.domain)
    }
}

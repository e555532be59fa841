//! What a zone says of itself, and how its answers end.

use crate::wire::{Name, Question, Rcode, Section, Writer, name_of, record, write_name};

/// A zone as its SOA and NS records show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authority<'a> {
    pub(crate) domain: &'a Name,
    /// Labels of its name server below the domain.
    pub(crate) server: &'a [&'a [u8]],
    pub(crate) ttl: u32,
    pub(crate) negative_ttl: u32,
}

impl Authority<'_> {
    /// Ends an answer within the zone: adds what the zone says of itself where that was asked, or where
    /// there is nothing else to say.
    pub(crate) fn finish(&self, mut writer: Writer<'_>, exists: bool, question: &Question) {
        let apex = question.name == *self.domain;
        if apex && matches!(question.kind, record::SOA | record::ANY) {
            self.soa(&mut writer, Section::Answer);
        } else if apex && question.kind == record::NS {
            let server = self.below(self.server);
            writer.record(Section::Answer, None, record::NS, self.ttl, |out| write_name(out, &server));
        } else if !writer.has_answer() {
            // The negative answer of RFC 2308: whose zone, and for how long.
            self.soa(&mut writer, Section::Authority);
        }
        writer.finish(if exists { Rcode::NoError } else { Rcode::NxDomain }, true);
    }

    fn soa(&self, writer: &mut Writer<'_>, section: Section) {
        let (server, contact) = (self.below(self.server), self.below(&[b"hostmaster"]));
        writer.record(section, Some(self.domain), record::SOA, self.negative_ttl, |out| {
            write_name(out, &server);
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

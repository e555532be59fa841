//! The wire format, as far as a server of a small zone needs it (RFC 1035, RFC 6891).

use std::net::{IpAddr, Ipv4Addr};

/// Record types.
pub(crate) mod record {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const ANY: u16 = 255;
}

pub(crate) const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;
pub(crate) const HEADER: usize = 12;
/// What a client without EDNS can take, and the most we send over UDP to one with it.
const UDP_LIMITS: (usize, usize) = (512, 4096);
/// What we say we can take: no fragmentation on any usual path (DNS flag day 2020).
const OWN_UDP_SIZE: u16 = 1232;
/// A pointer to the name of the question.
const QUESTION_POINTER: [u8; 2] = [0xc0, HEADER as u8];

/// Response codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rcode {
    /// No error.
    NoError = 0,
    /// The query is malformed.
    FormErr = 1,
    /// We could not find out.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
    /// We do not know this operation.
    NotImp = 4,
    /// We do not do this.
    Refused = 5,
    /// We do not speak this version of EDNS; its upper bits go into the OPT record.
    BadVers = 16,
}

/// A name in lower case, in wire format without the final zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    bytes: [u8; 254],
    length: u8,
}

impl Name {
    pub(crate) const ROOT: Self = Self { bytes: [0; 254], length: 0 };

    /// Reads a dotted name; `None` if it is no host name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut name = Self::ROOT;
        for label in text.trim_end_matches('.').split('.').filter(|_| !text.is_empty()) {
            name.push(label.as_bytes())?;
        }
        Some(name)
    }

    fn push(&mut self, label: &[u8]) -> Option<()> {
        let start = usize::from(self.length);
        if label.is_empty() || label.len() > 63 || start + 1 + label.len() > self.bytes.len() {
            return None;
        }
        self.bytes[start] = label.len() as u8;
        for (target, byte) in self.bytes[start + 1..].iter_mut().zip(label) {
            *target = byte.to_ascii_lowercase();
        }
        self.length += 1 + label.len() as u8;
        Some(())
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The labels, first to last.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = self.wire();
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            Some(label)
        })
    }

    /// How many labels stand before `domain`; `None` if the name is not within it.
    pub(crate) fn labels_below(&self, domain: &Self) -> Option<usize> {
        let below = self.labels().count().checked_sub(domain.labels().count())?;
        self.labels().skip(below).eq(domain.labels()).then_some(below)
    }

    /// Reads a possibly compressed name at `at`; returns it and the offset behind it.
    pub(crate) fn read(packet: &[u8], mut at: usize) -> Option<(Self, usize)> {
        let mut name = Self::ROOT;
        let mut end = None;
        // A pointer must go backwards, so this ends; the bound keeps a long chain short.
        for _ in 0..128 {
            let length = *packet.get(at)?;
            match length {
                0 => return Some((name, end.unwrap_or(at + 1))),
                1..=63 => {
                    name.push(packet.get(at + 1..at + 1 + usize::from(length))?)?;
                    at += 1 + usize::from(length);
                }
                0xc0..=0xff => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, *packet.get(at + 1)?]));
                    if target >= at {
                        return None;
                    }
                    end = end.or(Some(at + 2));
                    at = target;
                }
                _ => return None,
            }
        }
        None
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for label in self.labels() {
            write!(formatter, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

/// What a client asks.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    pub(crate) id: u16,
    pub(crate) recursion_desired: bool,
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// Offset behind the question, which answers repeat as it came.
    pub(crate) end: usize,
    /// Size of UDP payload the client takes, if it speaks EDNS.
    pub(crate) edns: Option<u16>,
    /// The version of EDNS that it speaks.
    pub(crate) edns_version: u8,
}

/// Why a packet gets no answer or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not even a query: silence, lest two servers answer each other for ever.
    Ignore,
    /// A query we can refuse by its id.
    Refuse(Rcode),
}

impl Question {
    /// Reads a query.
    pub(crate) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let header = packet.get(..HEADER).ok_or(Malformed::Ignore)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags & 0x8000 != 0 {
            return Err(Malformed::Ignore);
        }
        if flags & 0x7800 != 0 {
            return Err(Malformed::Refuse(Rcode::NotImp));
        }
        let malformed = Malformed::Refuse(Rcode::FormErr);
        if word(4) != 1 {
            return Err(malformed);
        }
        let (name, at) = Name::read(packet, HEADER).ok_or(malformed)?;
        let tail: [u8; 4] = packet.get(at..at + 4).and_then(|tail| tail.try_into().ok()).ok_or(malformed)?;
        let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
        let (mut edns, mut edns_version) = (None, 0);
        let mut next = at + 4;
        // Nothing is expected before the additional records of a query, but it is skipped all the same.
        let records = usize::from(word(6)) + usize::from(word(8)) + usize::from(word(10));
        for _ in 0..records.min(16) {
            let record = Record::read(packet, next).ok_or(malformed)?;
            if record.kind == record::OPT {
                // RFC 6891, section 6.1.3: extended code, version, flags.
                [_, edns_version, ..] = record.ttl.to_be_bytes();
                edns = Some(record.class);
            }
            next = record.end;
        }
        let recursion_desired = flags & 0x0100 != 0;
        let id = word(0);
        Ok(Self { id, recursion_desired, name, kind, class, end: at + 4, edns, edns_version })
    }

    pub(crate) fn is_internet(&self) -> bool {
        matches!(self.class, CLASS_IN | CLASS_ANY)
    }

    /// The largest UDP answer the client takes.
    pub(crate) fn udp_limit(&self) -> usize {
        self.edns.map_or(UDP_LIMITS.0, |size| usize::from(size).clamp(UDP_LIMITS.0, UDP_LIMITS.1))
    }
}

/// A resource record inside a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where its data begins.
    pub(crate) data: usize,
    /// Offset behind it.
    pub(crate) end: usize,
}

impl Record {
    pub(crate) fn read(packet: &[u8], at: usize) -> Option<Self> {
        let (name, at) = Name::read(packet, at)?;
        let fixed: [u8; 10] = packet.get(at..at + 10)?.try_into().ok()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let end = at + 10 + usize::from(word(8));
        (end <= packet.len()).then_some(Self { name, kind: word(0), class: word(2), ttl, data: at + 10, end })
    }
}

/// The section that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// Writes an answer into a buffer that may be used again and again.
///
/// A record that does not fit is left out and the answer is marked as truncated.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Additional records; a packet has its sections one behind the other (RFC 1035, section 4.1).
    additional: Vec<u8>,
    limit: usize,
    counts: [u16; 3],
    edns: bool,
    truncated: bool,
}

const OPT_SIZE: usize = 11;

impl<'a> Writer<'a> {
    /// Begins an answer to `question`, which came in `packet`, of at most `limit` bytes.
    pub(crate) fn new(out: &'a mut Vec<u8>, packet: &[u8], question: &Question, limit: usize) -> Self {
        out.clear();
        out.extend_from_slice(&question.id.to_be_bytes());
        let recursion = u8::from(question.recursion_desired);
        out.extend_from_slice(&[0x80 | recursion, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&packet[HEADER..question.end]);
        let edns = question.edns.is_some();
        let limit = limit - if edns { OPT_SIZE } else { 0 };
        Self { out, additional: Vec::new(), limit, counts: [0; 3], edns, truncated: false }
    }

    pub(crate) fn has_answer(&self) -> bool {
        self.counts[0] > 0 || self.truncated
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Adds a record of the question's name, or of `owner`.
    pub(crate) fn record(
        &mut self,
        section: Section,
        owner: Option<&Name>,
        kind: u16,
        ttl: u32,
        data: impl FnOnce(&mut Vec<u8>),
    ) {
        let waiting = self.additional.len();
        let (out, room) = match section {
            Section::Additional => (&mut self.additional, self.limit.saturating_sub(self.out.len())),
            Section::Answer | Section::Authority => (&mut *self.out, self.limit),
        };
        let start = out.len();
        match owner {
            None => out.extend_from_slice(&QUESTION_POINTER),
            Some(name) => write_name(out, name),
        }
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0, 0]);
        data(out);
        let length = out.len() - length_at - 2;
        if out.len() > room || length > usize::from(u16::MAX) {
            out.truncate(start);
            // Missing additional records are no loss (RFC 2181 section 9).
            self.truncated |= section != Section::Additional;
            return;
        }
        out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
        if section != Section::Additional && out.len() + waiting > self.limit {
            // What was asked for goes before what may help.
            self.additional.clear();
            self.counts[Section::Additional as usize] = 0;
        }
        self.counts[section as usize] += 1;
    }

    pub(crate) fn a(&mut self, section: Section, owner: Option<&Name>, ttl: u32, address: Ipv4Addr) {
        self.record(section, owner, record::A, ttl, |out| out.extend_from_slice(&address.octets()));
    }

    pub(crate) fn address(&mut self, section: Section, owner: Option<&Name>, ttl: u32, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.a(section, owner, ttl, address),
            IpAddr::V6(address) => {
                self.record(section, owner, record::AAAA, ttl, |out| out.extend_from_slice(&address.octets()));
            }
        }
    }

    /// Ends the answer.
    pub(crate) fn finish(self, rcode: Rcode, authoritative: bool) {
        self.out.extend_from_slice(&self.additional);
        let mut additional = self.counts[2];
        if self.edns {
            // Name, type, size, extended code and version and flags, no options.
            self.out.push(0);
            self.out.extend_from_slice(&record::OPT.to_be_bytes());
            self.out.extend_from_slice(&OWN_UDP_SIZE.to_be_bytes());
            self.out.extend_from_slice(&[rcode as u8 >> 4, 0, 0, 0, 0, 0]);
            additional += 1;
        }
        self.out[2] |= if authoritative { 0x04 } else { 0 } | if self.truncated { 0x02 } else { 0 };
        self.out[3] |= rcode as u8 & 0x0f;
        for (at, count) in [(6, self.counts[0]), (8, self.counts[1]), (10, additional)] {
            self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
    }
}

pub(crate) fn write_name(out: &mut Vec<u8>, name: &Name) {
    out.extend_from_slice(name.wire());
    out.push(0);
}

/// An answer to a packet whose question could not be read.
pub(crate) fn write_error(out: &mut Vec<u8>, packet: &[u8], rcode: Rcode) {
    out.clear();
    let id = packet.get(..2).unwrap_or(&[0, 0]);
    out.extend_from_slice(id);
    // RFC 1035, section 4.1.1: the operation and the wish for recursion are copied.
    let copied = packet.get(2).map_or(0, |flags| flags & 0x79);
    out.extend_from_slice(&[0x80 | copied, 0x80 | rcode as u8, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// Builds a name from labels; `None` if it gets too long.
pub(crate) fn name_of<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Name> {
    let mut name = Name::ROOT;
    labels.into_iter().try_for_each(|label| name.push(label))?;
    Some(name)
}

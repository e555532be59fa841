//! Questions to a name server and its answers (RFC 1035, section 4). Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail, ensure};

/// Pointers in one name; more is a loop.
const MOST_POINTERS: usize = 64;

/// Type of a record.
#[allow(unreachable_pub, reason = "an argument of a command that is public in its crate")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
#[allow(clippy::upper_case_acronyms, reason = "so they are written")]
pub enum Kind {
    A,
    NS,
    CNAME,
    SOA,
    PTR,
    TXT,
    AAAA,
    SRV,
    ANY,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::NS => 2,
            Self::CNAME => 5,
            Self::SOA => 6,
            Self::PTR => 12,
            Self::TXT => 16,
            Self::AAAA => 28,
            Self::SRV => 33,
            Self::ANY => 255,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A record as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) ttl: u32,
    pub(super) data: String,
}

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) truncated: bool,
    pub(super) answers: Vec<Record>,
    pub(super) additional: Vec<Record>,
}

/// The name by which an address is asked for its name.
pub(super) fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", address.to_bits());
            let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

/// A question; larger answers than the first protocol had are welcome (RFC 6891).
pub(super) fn question(id: u16, name: &str, kind: Kind) -> anyhow::Result<Vec<u8>> {
    let mut packet = id.to_be_bytes().to_vec();
    // Recursion desired; one question, one additional record.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.trim_end_matches('.').split('.').filter(|_| name != ".") {
        ensure!((1..64).contains(&label.len()), "{name:?} is no name: labels have 1 to 63 bytes");
        packet.push(u8::try_from(label.len())?);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    ensure!(packet.len() - 12 <= 255, "{name:?} is longer than names can be");
    packet.extend_from_slice(&kind.number().to_be_bytes());
    packet.extend([0, 1]);
    // OPT: root, type 41, size of datagrams, no flags, no data.
    packet.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    Ok(packet)
}

/// Reads an answer.
pub(super) fn read(packet: &[u8]) -> anyhow::Result<Answer> {
    let mut reader = Reader { packet, at: 2 };
    let flags = reader.u16()?;
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    ensure!(flags & 0x8000 != 0, "the packet is no answer");
    for _ in 0..counts[0] {
        reader.name()?;
        reader.take(4)?;
    }
    let status = match flags & 0xf {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        other => format!("RCODE{other}"),
    };
    let mut section = |count: u16| -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            records.extend(reader.record()?);
        }
        Ok(records)
    };
    let (answers, _, additional) = (section(counts[1])?, section(counts[2])?, section(counts[3])?);
    Ok(Answer { status, truncated: flags & 0x200 != 0, answers, additional })
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let taken = self.packet.get(self.at..self.at + length).context("the answer is cut off")?;
        self.at += length;
        Ok(taken)
    }

    fn u16(&mut self) -> anyhow::Result<u16> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn name(&mut self) -> anyhow::Result<String> {
        let (mut name, mut end, mut pointers) = (String::new(), None, 0);
        loop {
            let length = self.take(1)?[0];
            if length & 0xc0 == 0xc0 {
                let low = self.take(1)?[0];
                end.get_or_insert(self.at);
                self.at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                pointers += 1;
                ensure!(pointers <= MOST_POINTERS, "a name in the answer has no end");
                continue;
            }
            if length == 0 {
                break;
            }
            ensure!(length < 64, "a label in the answer is of an unknown kind");
            name.push_str(&self.take(length.into())?.escape_ascii().to_string());
            name.push('.');
        }
        self.at = end.unwrap_or(self.at);
        Ok(if name.is_empty() { ".".into() } else { name })
    }

    /// A record; none for what concerns the protocol only.
    fn record(&mut self) -> anyhow::Result<Option<Record>> {
        let name = self.name()?;
        let (kind, _class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        ensure!(end <= self.packet.len(), "the answer is cut off");
        let (kind, data) = match kind {
            1 => ("A".to_owned(), Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?)?).to_string()),
            28 => ("AAAA".to_owned(), Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?)?).to_string()),
            2 => ("NS".to_owned(), self.name()?),
            5 => ("CNAME".to_owned(), self.name()?),
            12 => ("PTR".to_owned(), self.name()?),
            6 => {
                let (server, contact, serial) = (self.name()?, self.name()?, self.u32()?);
                let [refresh, retry, expire, minimum] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
                ("SOA".to_owned(), format!("{server} {contact} {serial} {refresh} {retry} {expire} {minimum}"))
            }
            16 => {
                let mut strings = Vec::new();
                while self.at < end {
                    let length = self.take(1)?[0];
                    strings.push(format!("\"{}\"", self.take(length.into())?.escape_ascii()));
                }
                ("TXT".to_owned(), strings.join(" "))
            }
            33 => {
                let (priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                ("SRV".to_owned(), format!("{priority} {weight} {port} {}", self.name()?))
            }
            41 => {
                self.at = end;
                return Ok(None);
            }
            other => {
                let bytes: Vec<String> = self.take(length)?.iter().map(|byte| format!("{byte:02x}")).collect();
                (format!("TYPE{other}"), bytes.join(""))
            }
        };
        if self.at != end {
            bail!("a {kind} record in the answer has another length than it says");
        }
        Ok(Some(Record { name, kind, ttl, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to a question for `a.b`, whose name records point to.
    fn answer(flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut packet = vec![0, 7];
        packet.extend(flags);
        packet.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0, 1, b'a', 1, b'b', 0, 0, 1, 0, 1]);
        for (kind, data) in records {
            packet.extend([0xc0, 12]);
            packet.extend(kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 5, 0, data.len() as u8]);
            packet.extend_from_slice(data);
        }
        packet
    }

    #[test]
    fn records_are_read() {
        let cases: [(u16, &[u8], &str); 6] = [
            (1, &[192, 0, 2, 7], "A 192.0.2.7"),
            (5, &[1, b'c', 0xc0, 14], "CNAME c.b."),
            (16, b"\x02hi\x01\"", "TXT \"hi\" \"\\\"\""),
            (33, &[0, 1, 0, 2, 0, 80, 0xc0, 12], "SRV 1 2 80 a.b."),
            (99, &[1, 2], "TYPE99 0102"),
            (2, &[0], "NS ."),
        ];
        for (kind, data, expected) in cases {
            let read = read(&answer([0x84, 0], &[(kind, data)])).expect(expected);
            let record = &read.answers[0];
            assert_eq!((record.name.as_str(), record.ttl), ("a.b.", 5));
            assert_eq!(format!("{} {}", record.kind, record.data), expected);
        }
        let none = read(&answer([0x86, 3], &[])).expect("an answer");
        assert_eq!((none.status.as_str(), none.truncated), ("NXDOMAIN", true));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let whole = answer([0x84, 0], &[(1, &[192, 0, 2, 7]), (33, &[0, 1, 0, 2, 0, 80, 0xc0, 12])]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(read(&answer([0x04, 0], &[])).is_err(), "a question");
        // A name that points to itself.
        assert!(read(&answer([0x84, 0], &[(5, &[0xc0, 41])])).is_err());
        assert!(read(&answer([0x84, 0], &[(1, &[1, 2, 3, 4, 5])])).is_err());
    }

    #[test]
    fn questions_are_written() {
        let packet = question(7, "a.b.", Kind::SRV).expect("a name");
        assert_eq!(packet[..21], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 1, b'b', 0, 0, 33, 0, 1]);
        for wrong in ["a..b", "", &"a".repeat(64), &"a.".repeat(200)] {
            assert!(question(7, wrong, Kind::A).is_err(), "{wrong}");
        }
        assert_eq!(reverse([192, 0, 2, 7].into()), "7.2.0.192.in-addr.arpa");
        assert!(reverse("2001:db8::1".parse().expect("an address")).starts_with("1.0.0.0."));
    }
}

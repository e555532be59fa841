//! Names that are not the cluster's: asked upstream, remembered for a while.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use crate::wire::{HEADER, Name, Question, Rcode, Record, record, write_name};

/// Stub resolvers wait five seconds; two tries must fit.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a list of servers is used before the file is looked at again.
const RELOAD: Duration = Duration::from_secs(5);
/// Answers are remembered at most this long, whatever they say.
const LONGEST: u32 = 300;
/// How long the absence of a name is remembered when the answer does not say.
const NEGATIVE: u32 = 5;
/// Enough for a node; a full cache drops what has expired, then everything.
const CAPACITY: usize = 4096;

/// Where other names are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstreams {
    /// The `nameserver` lines of a file in the format of `resolv.conf`, looked at again when it may have changed.
    File(PathBuf),
    /// These servers.
    Servers(Vec<SocketAddr>),
}

/// Why a name could not be asked upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("no upstream name server is configured")]
    NoServer,
    #[error("no upstream name server answered in time")]
    NoAnswer,
}

/// Asks upstream servers and remembers what they said.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: Upstreams,
    /// Our own addresses, which a resolv.conf may name: asking them would go in circles.
    own: Vec<SocketAddr>,
    servers: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    cache: Mutex<HashMap<(Name, u16, u16), Remembered>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    packet: Vec<u8>,
    since: Instant,
    until: Instant,
}

impl Forwarder {
    /// A forwarder that never asks `own`.
    pub fn new(upstreams: Upstreams, own: Vec<SocketAddr>) -> Self {
        Self { upstreams, own, servers: Mutex::default(), cache: Mutex::default() }
    }

    /// The upstream's answer to `question`, with its id; any size.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Vec<u8>, ForwardError> {
        let key = (question.name, question.kind, question.class);
        if let Some(mut packet) = self.recall(&key) {
            packet[..2].copy_from_slice(&question.id.to_be_bytes());
            return Ok(packet);
        }
        let servers = self.servers();
        if servers.is_empty() {
            return Err(ForwardError::NoServer);
        }
        for server in servers {
            // A random id on a fresh port makes forged answers unlikely (RFC 5452).
            let id: u16 = rand::random();
            let query = query(question, id);
            let Ok(Ok(mut packet)) = tokio::time::timeout(TRY_TIMEOUT, exchange(server, &query, question)).await else {
                continue;
            };
            if packet[3] & 0x0f == Rcode::ServFail as u8 || packet[3] & 0x0f == Rcode::Refused as u8 {
                continue;
            }
            self.remember(key, &packet);
            packet[..2].copy_from_slice(&question.id.to_be_bytes());
            return Ok(packet);
        }
        Err(ForwardError::NoAnswer)
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let path = match &self.upstreams {
            Upstreams::Servers(servers) => return servers.clone(),
            Upstreams::File(path) => path,
        };
        let mut known = self.servers.lock();
        if let Some((read, servers)) = &*known
            && read.elapsed() < RELOAD
        {
            return servers.clone();
        }
        // A few hundred bytes of a local file: not worth a thread.
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the list of upstream name servers cannot be read");
            String::new()
        });
        let servers: Vec<SocketAddr> = nameservers(&text).filter(|server| !self.own.contains(server)).collect();
        *known = Some((Instant::now(), servers.clone()));
        servers
    }

    fn recall(&self, key: &(Name, u16, u16)) -> Option<Vec<u8>> {
        let now = Instant::now();
        let remembered = self.cache.lock().get(key).filter(|remembered| remembered.until > now)?.clone();
        let age = u32::try_from((now - remembered.since).as_secs()).unwrap_or(u32::MAX);
        let mut packet = remembered.packet;
        let original = packet.clone();
        for_each_record(&original, |record| {
            if record.kind != record::OPT {
                let ttl = record.ttl.saturating_sub(age);
                packet[record.data - 6..record.data - 2].copy_from_slice(&ttl.to_be_bytes());
            }
        })?;
        Some(packet)
    }

    fn remember(&self, key: (Name, u16, u16), packet: &[u8]) {
        let mut shortest = LONGEST;
        let mut any = false;
        let readable = for_each_record(packet, |record| {
            if record.kind != record::OPT {
                any = true;
                shortest = shortest.min(record.ttl);
            }
        });
        if readable.is_none() {
            return;
        }
        let answered = u16::from_be_bytes([packet[6], packet[7]]) > 0;
        let seconds = if any && answered { shortest } else { shortest.min(NEGATIVE) };
        if seconds == 0 {
            return;
        }
        let since = Instant::now();
        let until = since + Duration::from_secs(u64::from(seconds));
        let mut cache = self.cache.lock();
        if cache.len() >= CAPACITY {
            cache.retain(|_, remembered| remembered.until > since);
            if cache.len() >= CAPACITY {
                cache.clear();
            }
        }
        cache.insert(key, Remembered { packet: packet.to_vec(), since, until });
    }
}

fn nameservers(text: &str) -> impl Iterator<Item = SocketAddr> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = (words.next()? == "nameserver").then(|| words.next())??.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    })
}

/// A fresh query for the same question, with room for large answers.
fn query(question: &Question, id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend_from_slice(&[0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    write_name(&mut packet, &question.name);
    packet.extend_from_slice(&question.kind.to_be_bytes());
    packet.extend_from_slice(&question.class.to_be_bytes());
    packet.push(0);
    packet.extend_from_slice(&record::OPT.to_be_bytes());
    packet.extend_from_slice(&1232_u16.to_be_bytes());
    packet.extend_from_slice(&[0; 6]);
    packet
}

async fn exchange(server: SocketAddr, query: &[u8], question: &Question) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = &buffer[..length];
        // Anything but the answer to this question may be forged and is waited out.
        if !answers(packet, query, question) {
            continue;
        }
        if packet[2] & 0x02 == 0 {
            return Ok(packet.to_vec());
        }
        return exchange_tcp(server, query, question).await;
    }
}

async fn exchange_tcp(server: SocketAddr, query: &[u8], question: &Question) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    if answers(&packet, query, question) {
        Ok(packet)
    } else {
        Err(io::Error::other("the answer is to another question"))
    }
}

fn answers(packet: &[u8], query: &[u8], question: &Question) -> bool {
    let Some(header) = packet.get(..HEADER) else { return false };
    let is_answer = header[..2] == query[..2] && header[2] & 0x80 != 0 && header[4..6] == [0, 1];
    let repeated = Name::read(packet, HEADER);
    is_answer
        && repeated.is_some_and(|(name, at)| {
            let kind = packet.get(at..at + 2).is_some_and(|kind| kind == question.kind.to_be_bytes());
            name == question.name && kind
        })
}

/// Calls `visit` for each record; `None` if the packet is malformed.
fn for_each_record(packet: &[u8], mut visit: impl FnMut(&Record)) -> Option<()> {
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (_, at) = Name::read(packet, HEADER)?;
    let mut next = at + 4;
    let count = u32::from(word(6)?) + u32::from(word(8)?) + u32::from(word(10)?);
    for _ in 0..count {
        let record = Record::read(packet, next)?;
        visit(&record);
        next = record.end;
    }
    Some(())
}

/// The records of the answer section, for an answer that quotes them.
pub(crate) fn answer_records(packet: &[u8]) -> Vec<Record> {
    let count = packet.get(6..8).map_or(0, |count| usize::from(u16::from_be_bytes([count[0], count[1]])));
    let mut records = Vec::new();
    // A malformed rest leaves out what cannot be read.
    let _ = for_each_record(packet, |record| records.push(*record));
    records.truncate(count);
    records
}

//! Sockets around the zone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use portolan_base::Shutdown;
use portolan_catalog::Snapshot;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::encoded::Answers;
use crate::forward::{Forwarder, answer_records};
use crate::wire::{Name, Question, Rcode, Section, Writer, record, write_name};
use crate::zone::{Alias, NamesOf, Outcome, Zone};

/// Questions to upstream servers at the same time; more get SERVFAIL instead of memory.
const FORWARDS: usize = 1024;
/// TCP clients at the same time, and how long one may be silent.
const CONNECTIONS: usize = 512;
const IDLE: Duration = Duration::from_secs(10);
/// How long a client that connected just before a stop has for its question.
const FIRST_QUESTION: Duration = Duration::from_secs(1);
const LARGEST: usize = 65_535;
/// Ports that are tried where any will do.
const ATTEMPTS: usize = 16;
/// Aliases that are followed, one to the next.
const MOST_ALIASES: usize = 8;
/// In the fourth byte of an answer.
const RECURSION_AVAILABLE: u8 = 0x80;

/// For whom other names are asked elsewhere. A server that does so for everybody lends itself to attacks
/// on others (RFC 5358).
pub type Recursion = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What the server needs.
#[derive(Clone)]
pub struct Config {
    /// The cluster's zone.
    pub zone: Zone,
    /// Where other names are asked.
    pub forwarder: Arc<Forwarder>,
    /// For whom they are asked; everybody else is answered about names of the cluster only.
    pub recursion: Recursion,
}

/// Why the server could not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be taken.
    #[error("listen for DNS on {address} (another name server may hold the port; `ss -lunp` shows which)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Both sockets of an address, as one process hands them to another: what arrives while nobody
/// serves waits in them.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub udp: std::net::UdpSocket,
    /// For connections.
    pub tcp: std::net::TcpListener,
}

impl Sockets {
    /// Takes `address` for UDP and TCP; port 0 takes one that is free for both.
    ///
    /// # Errors
    /// The address is not on this machine or the port is taken.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bind = || {
            let udp = std::net::UdpSocket::bind(address)?;
            let tcp = std::net::TcpListener::bind(udp.local_addr()?)?;
            Ok(Self { udp, tcp })
        };
        let mut bound = bind();
        for _ in 1..ATTEMPTS {
            // What is free for one may be taken for the other.
            let other_may_be_free = address.port() == 0 && bound.is_err();
            if !other_may_be_free {
                break;
            }
            bound = bind();
        }
        bound.map_err(|source| Error::Bind { address, source })
    }

    /// The same sockets once more.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { udp: self.udp.try_clone()?, tcp: self.tcp.try_clone()? })
    }

    /// The address they are bound to.
    ///
    /// # Errors
    /// A socket is broken, or they have different addresses.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = self.udp.local_addr()?;
        if self.tcp.local_addr()? == address { Ok(address) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }
}

/// An address that is served.
#[derive(Debug)]
pub struct Listener {
    udp: UdpSocket,
    tcp: TcpListener,
    names_of_addresses: Option<NamesOf>,
}

impl Listener {
    /// Serves an address that was taken before, perhaps by another process.
    ///
    /// # Errors
    /// The runtime takes no more sockets.
    pub fn new(sockets: Sockets) -> io::Result<Self> {
        sockets.udp.set_nonblocking(true)?;
        sockets.tcp.set_nonblocking(true)?;
        Ok(Self {
            udp: UdpSocket::from_std(sockets.udp)?,
            tcp: TcpListener::from_std(sockets.tcp)?,
            names_of_addresses: None,
        })
    }

    /// Whose names those who ask here expect for an address, if others than the zone says.
    #[must_use]
    pub fn with_names_of(self, names_of_addresses: NamesOf) -> Self {
        Self { names_of_addresses: Some(names_of_addresses), ..self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }
}

/// Answers on `listeners` from the latest snapshot until shutdown; questions that were taken by then
/// are still answered, later ones are left in the sockets.
pub async fn serve(
    config: Config,
    listeners: Vec<Listener>,
    catalog: watch::Receiver<Arc<Snapshot>>,
    shutdown: Shutdown,
) {
    let shared = Arc::new(Shared {
        forwarder: config.forwarder,
        recursion: config.recursion,
        catalog,
        forwards: Semaphore::new(FORWARDS),
        connections: Arc::new(Semaphore::new(CONNECTIONS)),
    });
    let mut tasks = JoinSet::new();
    for Listener { udp, tcp, names_of_addresses } in listeners {
        let names_of_addresses = names_of_addresses.unwrap_or(config.zone.names_of_addresses);
        let own = udp.local_addr().ok().map(|address| address.ip()).filter(|own| !own.is_unspecified());
        let addresses = own.map_or_else(|| config.zone.addresses.clone(), |own| vec![own]);
        let zone = Arc::new(Zone { names_of_addresses, addresses, ..config.zone.clone() });
        tasks.spawn(serve_udp(shared.clone(), zone.clone(), Arc::new(udp), shutdown.clone()));
        tasks.spawn(serve_tcp(shared.clone(), zone, tcp, shutdown.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(failure) = ended {
            tracing::error!(error = %failure, "a DNS listener ended");
        }
    }
}

struct Shared {
    forwarder: Arc<Forwarder>,
    recursion: Recursion,
    catalog: watch::Receiver<Arc<Snapshot>>,
    forwards: Semaphore,
    connections: Arc<Semaphore>,
}

async fn serve_udp(shared: Arc<Shared>, zone: Arc<Zone>, socket: Arc<UdpSocket>, shutdown: Shutdown) {
    let mut forwards = JoinSet::new();
    let (mut batch, mut answers, mut out) = (Batch::new(), Answers::default(), Vec::with_capacity(4096));
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            // An error is found by reading.
            _ = socket.readable() => {}
            // Finished ones are collected so that they do not pile up.
            Some(_) = forwards.join_next() => continue,
        }
        let received = socket.try_io(Interest::READABLE, || batch.receive(socket.as_fd()));
        // An ICMP error of an earlier answer is reported here and concerns no one.
        let Ok(received) = received else { continue };
        let snapshot = shared.catalog.borrow().clone();
        for at in 0..received {
            let (query, room) = batch.query(at);
            if answers.find(query, &snapshot, room) {
                batch.answered(at);
                continue;
            }
            let Some(peer) = batch.peer(at) else { continue };
            let (query, room) = batch.query(at);
            let outcome = zone.answer(query, &snapshot, None, &mut out);
            match outcome {
                Outcome::Ignored => {}
                Outcome::Answered => {
                    room.extend_from_slice(&out);
                    if has_answer(&out)
                        && let Ok(question) = Question::read(query)
                    {
                        let made = || zone.source(&question, &snapshot);
                        answers.keep(query, &question, &out, made, snapshot.index());
                    }
                    batch.answered(at);
                }
                Outcome::Forward(question) if !shared.is_served(peer) => {
                    turn_away(query, &question, None, &mut out);
                    room.extend_from_slice(&out);
                    batch.answered(at);
                }
                Outcome::Forward(_) | Outcome::Alias(..) => {
                    let (shared, zone) = (shared.clone(), zone.clone());
                    let (socket, query) = (socket.clone(), query.to_vec());
                    forwards.spawn(async move {
                        let answer = shared.resolve(&zone, &query, outcome, None, peer).await;
                        send(&socket, &answer, peer).await;
                    });
                }
            }
        }
        send_all(&socket, &mut batch).await;
    }
    // Asking upstream has a timeout of its own.
    while forwards.join_next().await.is_some() {}
}

/// Whether an answer has records of what was asked for.
fn has_answer(packet: &[u8]) -> bool {
    matches!(packet.get(6..8), Some(count) if *count != [0, 0]) && rcode_of(packet) == Rcode::NoError
}

async fn send_all(socket: &UdpSocket, batch: &mut Batch) {
    while batch.has_answers() {
        match socket.try_io(Interest::WRITABLE, || batch.send(socket.as_fd())) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A socket that cannot be waited for is found broken by reading.
                if socket.writable().await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "a DNS answer could not be sent"),
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.send_to(answer, peer).await {
        tracing::debug!(%peer, %error, "a DNS answer could not be sent");
    }
}

async fn serve_tcp(shared: Arc<Shared>, zone: Arc<Zone>, listener: TcpListener, shutdown: Shutdown) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => break,
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Over the limit the connection is closed at once.
                if let Ok(permit) = shared.connections.clone().try_acquire_owned() {
                    let (shared, zone, shutdown) = (shared.clone(), zone.clone(), shutdown.clone());
                    clients.spawn(async move {
                        // A client that breaks off or is silent needs no answer.
                        let _ = serve_client(&shared, &zone, stream, peer, &shutdown).await;
                        drop(permit);
                    });
                }
            }
            // Out of descriptors, most likely: wait for one instead of spinning.
            Err(error) => {
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while clients.join_next().await.is_some() {}
}

async fn serve_client(
    shared: &Shared,
    zone: &Zone,
    mut stream: TcpStream,
    peer: SocketAddr,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let (mut packet, mut out) = (Vec::new(), Vec::new());
    let mut asked = false;
    loop {
        let length = {
            let mut next = std::pin::pin!(tokio::time::timeout(IDLE, stream.read_u16()));
            match shutdown.run(&mut next).await {
                Some(length) => length??,
                // A server may close a connection on which nothing is asked (RFC 7766, section 6.2.3).
                None if asked => return Ok(()),
                None => tokio::time::timeout(FIRST_QUESTION, next).await???,
            }
        };
        asked = true;
        packet.resize(usize::from(length), 0);
        tokio::time::timeout(IDLE, stream.read_exact(&mut packet)).await??;
        let outcome = zone.answer(&packet, &shared.catalog.borrow(), Some(LARGEST), &mut out);
        match outcome {
            Outcome::Ignored => return Ok(()),
            Outcome::Answered => {}
            Outcome::Forward(question) if !shared.is_served(peer) => {
                turn_away(&packet, &question, Some(LARGEST), &mut out);
            }
            Outcome::Forward(_) | Outcome::Alias(..) => {
                out = shared.resolve(zone, &packet, outcome, Some(LARGEST), peer).await
            }
        }
        let length = u16::try_from(out.len()).map_err(std::io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&out);
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

impl Shared {
    /// Whether names elsewhere are asked for this client.
    fn is_served(&self, peer: SocketAddr) -> bool {
        (self.recursion)(peer.ip().to_canonical())
    }

    /// Completes an answer that needs others. `query` is the client's packet.
    async fn resolve(
        &self,
        zone: &Zone,
        query: &[u8],
        outcome: Outcome,
        limit: Option<usize>,
        peer: SocketAddr,
    ) -> Vec<u8> {
        let (question, alias) = match outcome {
            Outcome::Forward(question) => (question, None),
            Outcome::Alias(question, alias) => (question, Some(alias)),
            Outcome::Answered | Outcome::Ignored => return Vec::new(),
        };
        let size = limit.unwrap_or_else(|| question.udp_limit());
        let is_served = self.is_served(peer);
        let mut out = Vec::new();
        let mut aliases: Vec<Alias> = alias.into_iter().collect();
        let answer = match alias {
            Some(_) if question.kind == record::CNAME => None,
            Some(_) => self.target_answer(zone, &question, &mut aliases, is_served).await,
            None => self.ask(&question).await,
        };
        let mut writer = Writer::new(&mut out, query, &question, size);
        let mut owner = None;
        for alias in &aliases {
            writer.record(Section::Answer, owner, record::CNAME, alias.ttl, |out| write_name(out, &alias.target));
            owner = Some(&alias.target);
        }
        let rcode = match (&answer, alias) {
            (Some(packet), _) => rcode_of(packet),
            (None, Some(_)) if question.kind == record::CNAME || !is_served => Rcode::NoError,
            (None, _) => Rcode::ServFail,
        };
        // Records are written anew: sizes, compression and the client's limit are ours.
        for found in answer.iter().flat_map(|packet| answer_records(packet)) {
            let packet = answer.as_deref().unwrap_or_default();
            let owner = (found.name != question.name || alias.is_some()).then_some(&found.name);
            writer.record(Section::Answer, owner, found.kind, found.ttl, |out| copy_data(out, packet, &found));
        }
        writer.finish(rcode, false);
        if !is_served {
            without_recursion(&mut out);
        }
        out
    }

    async fn ask(&self, question: &Question) -> Option<Vec<u8>> {
        let Ok(_permit) = self.forwards.try_acquire() else {
            tracing::warn!("too many DNS questions wait for upstream servers");
            return None;
        };
        match self.forwarder.ask(question).await {
            Ok(packet) => Some(packet),
            Err(error) => {
                tracing::debug!(name = ?question.name, %error, "a name could not be asked upstream");
                None
            }
        }
    }

    /// The answer for the name behind the last alias: from the zone if it is the cluster's, else from upstream
    /// for those who are served so. Aliases on the way are added.
    async fn target_answer(
        &self,
        zone: &Zone,
        question: &Question,
        aliases: &mut Vec<Alias>,
        is_served: bool,
    ) -> Option<Vec<u8>> {
        loop {
            let target = Question { name: aliases.last()?.target, ..*question };
            let mut packet = vec![0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            write_name(&mut packet, &target.name);
            packet.extend_from_slice(&question.kind.to_be_bytes());
            packet.extend_from_slice(&question.class.to_be_bytes());
            let mut out = Vec::new();
            let outcome = zone.answer(&packet, &self.catalog.borrow(), Some(LARGEST), &mut out);
            match outcome {
                Outcome::Answered => return Some(out),
                // They may lead in a circle.
                Outcome::Alias(..) if aliases.len() == MOST_ALIASES => return None,
                Outcome::Alias(_, next) => aliases.push(next),
                Outcome::Forward(_) if is_served => return self.ask(&target).await,
                Outcome::Forward(_) | Outcome::Ignored => return None,
            }
        }
    }
}

/// Refuses a question about a name elsewhere.
fn turn_away(query: &[u8], question: &Question, limit: Option<usize>, out: &mut Vec<u8>) {
    let size = limit.unwrap_or_else(|| question.udp_limit());
    Writer::new(out, query, question, size).finish(Rcode::Refused, false);
    without_recursion(out);
}

fn without_recursion(answer: &mut [u8]) {
    if let Some(flags) = answer.get_mut(3) {
        *flags &= !RECURSION_AVAILABLE;
    }
}

fn rcode_of(packet: &[u8]) -> Rcode {
    match packet.get(3).map_or(2, |flags| flags & 0x0f) {
        0 => Rcode::NoError,
        3 => Rcode::NxDomain,
        _ => Rcode::ServFail,
    }
}

/// Writes a record's data so that it does not depend on the packet it came from.
fn copy_data(out: &mut Vec<u8>, packet: &[u8], found: &crate::wire::Record) {
    // Types whose data begins with fixed bytes and then holds names, which may be compressed.
    let (fixed, names) = match found.kind {
        record::CNAME | record::NS | record::PTR => (0, 1),
        15 => (2, 1),
        record::SRV => (6, 1),
        record::SOA => (0, 2),
        _ => (found.end - found.data, 0),
    };
    let mut at = (found.data + fixed).min(found.end);
    out.extend_from_slice(&packet[found.data..at]);
    for _ in 0..names {
        let Some((name, next)) = Name::read(packet, at) else { return };
        write_name(out, &name);
        at = next;
    }
    out.extend_from_slice(packet.get(at..found.end).unwrap_or_default());
}

//! The socket over which a data plane tells its state and hands on its sockets.
//!
//! Whoever connects gets a line of JSON at once, with the sockets of names attached, and another one
//! at each change. Any byte it sends means "the API is there, try it now".

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;

use portolan_base::Shutdown;
use portolan_base::readiness::State;
use portolan_client::Informers;
use portolan_dns::Sockets;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sockets;

/// A status is a few hundred bytes; a peer that sends more is none of ours.
const LONGEST_LINE: usize = 64 << 10;
/// The owner, its successor, and a person who looks.
const CONNECTIONS: usize = 8;

/// Where the answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Knowledge {
    /// Nothing has arrived yet, and there is nothing from earlier.
    #[default]
    None,
    /// From the last state that was heard of; the API is away.
    LastKnown,
    /// In step with the API.
    Current,
}

/// The state of one part, as in [`State`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Not serving yet, and why.
    Starting(String),
    /// Serving.
    Ready,
    /// Not serving, and why.
    Failed(String),
}

impl From<State> for Part {
    fn from(state: State) -> Self {
        match state {
            State::Starting(what) => Self::Starting(what),
            State::Ready => Self::Ready,
            State::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<Part> for State {
    fn from(part: Part) -> Self {
        match part {
            Part::Starting(what) => Self::Starting(what),
            Part::Ready => Self::Ready,
            Part::Failed(why) => Self::Failed(why),
        }
    }
}

/// How a data plane does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its process.
    pub pid: i32,
    /// What it was started with.
    pub arguments: Vec<String>,
    /// Where its answers come from.
    pub knowledge: Knowledge,
    /// Its parts: `dns` and `network`.
    pub parts: BTreeMap<String, Part>,
}

/// Serves the control socket until shutdown.
pub(crate) async fn serve(
    listener: StdListener,
    names: Vec<Sockets>,
    status: watch::Receiver<Status>,
    informers: Arc<Informers>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let names = Arc::new(names);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let mut peers = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            // A peer that goes away is no failure.
            Some(_) = peers.join_next() => {}
            accepted = listener.accept(), if peers.len() < CONNECTIONS => {
                let (stream, _) = accepted?;
                peers.spawn(serve_peer(stream, names.clone(), status.clone(), informers.clone()));
            }
        }
    }
}

async fn serve_peer(
    stream: UnixStream,
    names: Arc<Vec<Sockets>>,
    mut status: watch::Receiver<Status>,
    informers: Arc<Informers>,
) -> io::Result<()> {
    let mut descriptors = sockets::descriptors(&names);
    loop {
        let mut line = serde_json::to_vec(&*status.borrow_and_update())?;
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            let sent = stream.async_io(Interest::WRITABLE, || sockets::send(&stream, rest, &descriptors)).await?;
            descriptors.clear();
            rest = &rest[sent..];
        }
        loop {
            let mut bytes = [0; 16];
            tokio::select! {
                changed = status.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                readable = stream.readable() => {
                    readable?;
                    match stream.try_read(&mut bytes) {
                        Ok(0) => return Ok(()),
                        Ok(_) => informers.retry_now(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

/// The other end of a control socket.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Connection {
    pub(crate) async fn open(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        Ok(Self { stream, buffer: Vec::new(), descriptors: Vec::new() })
    }

    /// The next status.
    pub(crate) async fn next(&mut self) -> io::Result<Status> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(io::Error::other("a status without an end"));
            }
            let mut bytes = [0; 4096];
            let stream = &self.stream;
            let (count, received) =
                stream.async_io(Interest::READABLE, || sockets::receive(stream, &mut bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&bytes[..count]);
            self.descriptors.extend(received);
        }
    }

    /// The sockets of names that came with the first status.
    pub(crate) fn take_sockets(&mut self) -> io::Result<Vec<Sockets>> {
        sockets::pairs(std::mem::take(&mut self.descriptors))
    }

    /// Tells the data plane to try the API now.
    pub(crate) async fn hurry(&self) -> io::Result<()> {
        self.stream.writable().await?;
        self.stream.try_write(b"!").map(drop)
    }
}

//! Learning that somebody else changed the table.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SetSockOpt as _, SockFlag, SockProtocol, SockType, bind, recv, socket,
    sockopt,
};

use super::socket::generation;
use super::{FAMILY, TABLE, message_kind};
use crate::netlink::{Answer, attributes};

/// Room for what others change at once; more is noticed as a loss.
const RECEIVE_BUFFER: usize = 1024 * 1024;
const NEW_GENERATION: u16 = message_kind(libc::NFT_MSG_NEWGEN);

/// Who changed the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A process that is not ours.
    Process {
        /// Its name.
        name: String,
        /// Its id.
        id: u32,
    },
    /// Perhaps nobody: the kernel had more news than there was room for.
    Unknown,
}

impl fmt::Display for Author {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, id } => write!(formatter, "{name} (process {id})"),
            Self::Unknown => formatter.write_str("somebody unknown, if at all: news were lost"),
        }
    }
}

/// The kernel's news about the rules of one network namespace.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Arc<OwnedFd>,
    table: String,
    own_port: u32,
    /// A change of the table was seen, but not yet the end of its transaction, which names the author.
    touched: bool,
    buffer: Vec<u8>,
}

/// What the kernel told since the last time.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The last generation.
    pub(crate) generation: Option<u32>,
    /// Who changed the table, if anybody did.
    pub(crate) author: Option<Author>,
}

impl Events {
    /// Listens for changes of `table` that do not come from the socket with the port `own_port`.
    pub(crate) fn open(table: &str, own_port: u32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        sockopt::RcvBufForce.set(&socket, &RECEIVE_BUFFER)?;
        // First the filter, then the group: what this process does itself must not fill the buffer.
        ignore_own_changes(&socket, own_port)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1 << (libc::NFNLGRP_NFTABLES - 1)))?;
        let socket = Arc::new(socket);
        Ok(Self { socket, table: table.to_owned(), own_port, touched: false, buffer: vec![0; 64 * 1024] })
    }

    /// Becomes readable when there is news.
    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Takes all news there is, without waiting for any.
    pub(crate) fn read(&mut self) -> io::Result<News> {
        let mut news = News::default();
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(received) => {
                    let mut rest = &self.buffer[..received];
                    while let Some(message) = Answer::read(&mut rest) {
                        self.touched |= message.port != self.own_port && concerns(&message, &self.table);
                        if message.kind == NEW_GENERATION {
                            news.generation = generation(&message).or(news.generation);
                            // Before our own, a change without a generation is one whose news were lost,
                            // which the kernel has told by then.
                            if std::mem::take(&mut self.touched) && message.port != self.own_port {
                                news.author = Some(author(&message));
                            }
                        }
                    }
                }
                Err(Errno::EAGAIN) => return Ok(news),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => {
                    self.touched = false;
                    news.author = Some(Author::Unknown);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a message is about the table. All of them name it in their first attribute.
fn concerns(message: &Answer, table: &str) -> bool {
    let ours = message.kind >> 8 == libc::NFNL_SUBSYS_NFTABLES as u16 && message.kind != NEW_GENERATION;
    let of_family = message.body.first() == FAMILY.first();
    let named = || {
        let (_, name) = attributes(message.body.get(FAMILY.len()..)?).find(|(kind, _)| *kind == TABLE)?;
        name.strip_suffix(&[0])
    };
    ours && of_family && named() == Some(table.as_bytes())
}

fn author(message: &Answer) -> Author {
    const PROCESS: u16 = 2;
    const NAME: u16 = 3;
    let find = |wanted: u16| {
        let list = message.body.get(FAMILY.len()..)?;
        attributes(list).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let id = find(PROCESS).and_then(|value| Some(u32::from_be_bytes(value.try_into().ok()?)));
    let name = find(NAME).map(|value| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
    match (id, name) {
        (Some(id), Some(name)) => Author::Process { name, id },
        _ => Author::Unknown,
    }
}

/// Lets the kernel keep back what it has to say about our own changes, apart from their generation.
fn ignore_own_changes(socket: &OwnedFd, own_port: u32) -> io::Result<()> {
    const KIND_AT: u32 = 4;
    const PORT_AT: u32 = 12;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    // The filter reads in network order what netlink writes in that of the machine.
    let kind = u32::from(u16::from_be_bytes(NEW_GENERATION.to_ne_bytes()));
    let port = u32::from_be_bytes(own_port.to_ne_bytes());
    let (load, equal, end) = (libc::BPF_LD | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ, libc::BPF_RET);
    let mut program = [
        step(load | libc::BPF_W, 0, 0, PORT_AT),
        step(equal, 0, 3, port),
        step(load | libc::BPF_H, 0, 0, KIND_AT),
        step(equal, 1, 0, kind),
        step(end, 0, 0, 0),
        step(end, 0, 0, u32::MAX),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let length = size_of_val(&filter) as libc::socklen_t;
    // SAFETY: the program outlives the call, which copies it; pointers and lengths belong together.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            length,
        )
    };
    Errno::result(result).map(drop).map_err(Into::into)
}

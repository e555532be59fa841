//! Handing transactions to the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, GetSockOpt, MsgFlags, NetlinkAddr, SetSockOpt as _, SockFlag, SockProtocol, SockType, bind,
    getsockname, recv, sendto, socket, sockopt,
};

use super::{FAMILY, Transaction, message_kind};
use crate::netlink::{ANSWER_TIMEOUT, Answer, Message, attributes, frame};

/// Answers are short, but there may be one for each request.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// `NFTA_GEN_ID` of `enum nft_gen_attributes`.
const GENERATION: u16 = 1;

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The rules have another generation than it was made for.
    Generation,
    /// The kernel refused a request; none is the transaction as a whole.
    Refused {
        request: Option<usize>,
        /// Where in the request.
        offset: Option<usize>,
        source: io::Error,
    },
    /// It is not known whether it happened.
    Unknown(io::Error),
}

/// A netfilter socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) fn open() -> io::Result<Self> {
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        sockopt::ReceiveTimeout.set(&socket, &ANSWER_TIMEOUT)?;
        sockopt::RcvBufForce.set(&socket, &RECEIVE_BUFFER)?;
        // Without these an answer repeats the request instead of saying where it is wrong.
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK] {
            enable(&socket, option)?;
        }
        let port = getsockname::<NetlinkAddr>(socket.as_raw_fd())?.pid();
        Ok(Self { socket, port, sequence: 0, buffer: vec![0; 64 * 1024] })
    }

    /// Names this socket in notifications about what it did.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Makes the transaction happen if the rules have this generation.
    pub(crate) fn send<O>(&mut self, transaction: &Transaction<O>, generation: u32) -> Result<(), Failure> {
        let first = self.reserve(transaction.messages());
        let bytes = transaction.finish(generation, first);
        self.make_room(bytes.len()).map_err(Failure::Unknown)?;
        // One datagram: the kernel takes a batch as a whole.
        let to = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &bytes, &to, MsgFlags::empty())
            .map_err(|error| Failure::Unknown(error.into()))?;
        let last = first + transaction.messages() - 2;
        let mut refused = None;
        loop {
            for answer in self.receive().map_err(Failure::Unknown)? {
                if !(first..=last).contains(&answer.sequence) {
                    continue;
                }
                let index = (answer.sequence - first) as usize;
                if let Some(source) = answer.error() {
                    if index == 0 && source.raw_os_error() == Some(libc::ERESTART) {
                        return Err(Failure::Generation);
                    }
                    let (request, offset) = (index.checked_sub(1), offset(&answer));
                    // The first one is the cause, others may follow from it.
                    refused.get_or_insert(Failure::Refused { request, offset, source });
                }
                // After a failure of the whole there may be nothing more.
                if index == 0 || answer.sequence == last {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// The generation that the rules of this network namespace have.
    pub(crate) fn generation(&mut self) -> io::Result<u32> {
        let answer = self.get(libc::NFT_MSG_GETGEN, Message::default().bytes(&FAMILY))?;
        let found = generation(&answer);
        found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer without a generation"))
    }

    /// Whether there is a table of this name.
    pub(crate) fn has_table(&mut self, table: &str) -> io::Result<bool> {
        match self.get(libc::NFT_MSG_GETTABLE, Message::default().bytes(&FAMILY).text(super::TABLE, table)) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn get(&mut self, message: i32, body: Message) -> io::Result<Answer> {
        let sequence = self.reserve(1);
        let mut bytes = Vec::new();
        frame(&mut bytes, message_kind(message), libc::NLM_F_REQUEST, sequence, &body);
        sendto(self.socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        loop {
            let answer = self.receive()?.into_iter().find(|answer| answer.sequence == sequence);
            match answer {
                Some(answer) if i32::from(answer.kind) == libc::NLMSG_ERROR => {
                    return Err(answer.error().unwrap_or_else(|| io::ErrorKind::InvalidData.into()));
                }
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }

    /// Numbers for as many messages; answers to earlier ones, which nobody waits for, are told by theirs.
    fn reserve(&mut self, messages: u32) -> u32 {
        let first = if self.sequence > u32::MAX - messages - 1 { 1 } else { self.sequence + 1 };
        self.sequence = first + messages - 1;
        first
    }

    /// A datagram must fit into the send buffer, which the kernel counts twice.
    fn make_room(&self, length: usize) -> io::Result<()> {
        if sockopt::SndBuf.get(&self.socket)? < length + 4096 {
            sockopt::SndBufForce.set(&self.socket, &(length + 4096))?;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<Vec<Answer>> {
        let received = loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => {}
                result => break result?,
            }
        };
        let mut rest = &self.buffer[..received];
        Ok(std::iter::from_fn(|| Answer::read(&mut rest)).collect())
    }
}

/// Where in its request an error is: `enum nlmsgerr_attrs`, after the code and the header of the request.
fn offset(answer: &Answer) -> Option<usize> {
    const OFFSET: u16 = 2;
    let has_attributes = i32::from(answer.flags) & libc::NLM_F_ACK_TLVS != 0;
    let list = answer.body.get(4 + crate::netlink::HEADER..).filter(|_| has_attributes)?;
    let (_, value) = attributes(list).find(|(kind, _)| *kind == OFFSET)?;
    Some(u32::from_ne_bytes(value.try_into().ok()?) as usize)
}

/// The generation that a message of the kind `NFT_MSG_NEWGEN` tells.
pub(super) fn generation(answer: &Answer) -> Option<u32> {
    let (_, value) = attributes(answer.body.get(FAMILY.len()..)?).find(|(kind, _)| *kind == GENERATION)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn enable(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let one: libc::c_int = 1;
    let length = size_of_val(&one) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of a live integer. nix has no such options of netlink.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const one).cast(), length) };
    nix::errno::Errno::result(result).map(drop).map_err(Into::into)
}

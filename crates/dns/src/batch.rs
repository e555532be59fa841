//! Datagrams, many per system call: the calls are most of what an answer costs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams that are taken with one call.
pub(crate) const AT_ONCE: usize = 32;
/// The largest query; there is hardly one above 512 bytes.
const LARGEST_QUERY: usize = 4096;

/// What arrived, and the answers to it.
pub(crate) struct Batch {
    queries: Box<[u8]>,
    peers: Box<[Peer]>,
    lengths: [usize; AT_ONCE],
    received: usize,
    /// The answers, one behind the other.
    bytes: Vec<u8>,
    /// Of each answer: whom it is for, by number, and where it begins and ends.
    answers: Vec<(usize, usize, usize)>,
    /// How many of them are sent.
    sent: usize,
}

/// Where a datagram comes from, as the kernel writes it.
#[derive(Clone, Copy)]
struct Peer {
    address: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Batch {
    pub(crate) fn new() -> Self {
        // SAFETY: a socket address is made of integers, for which zeros are a value.
        let address = unsafe { std::mem::zeroed() };
        Self {
            queries: vec![0; AT_ONCE * LARGEST_QUERY].into(),
            peers: vec![Peer { address, length: 0 }; AT_ONCE].into(),
            lengths: [0; AT_ONCE],
            received: 0,
            bytes: Vec::new(),
            answers: Vec::with_capacity(AT_ONCE),
            sent: 0,
        }
    }

    /// Takes what is there, at most [`AT_ONCE`] datagrams; what the batch held before is forgotten.
    ///
    /// # Errors
    /// There is nothing (`WouldBlock`), or the socket reports an error of an earlier answer.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received = 0;
        self.bytes.clear();
        self.answers.clear();
        self.sent = 0;
        let mut parts = [EMPTY; AT_ONCE];
        let mut headers = [const { no_message() }; AT_ONCE];
        let buffers = self.queries.chunks_exact_mut(LARGEST_QUERY).zip(self.peers.iter_mut());
        for ((part, header), (buffer, peer)) in parts.iter_mut().zip(&mut headers).zip(buffers) {
            *part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let message = &mut header.msg_hdr;
            (message.msg_iov, message.msg_iovlen) = (part, 1);
            message.msg_name = (&raw mut peer.address).cast();
            message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: each header points to a buffer and an address of this batch, all of which live and are not
        // touched by anybody else until the call returns, with the lengths that they have.
        let count = unsafe {
            let count = AT_ONCE as libc::c_uint;
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (at, header) in headers[..count].iter().enumerate() {
            self.lengths[at] = (header.msg_len as usize).min(LARGEST_QUERY);
            self.peers[at].length = header.msg_hdr.msg_namelen;
        }
        self.received = count;
        Ok(count)
    }

    /// A datagram that arrived, and the room behind the answers so far, to which its answer is added.
    pub(crate) fn query(&mut self, at: usize) -> (&[u8], &mut Vec<u8>) {
        let start = at * LARGEST_QUERY;
        let length = self.lengths[at];
        (&self.queries[start..start + length], &mut self.bytes)
    }

    /// Takes everything that was written behind the last answer as the answer to a datagram.
    pub(crate) fn answered(&mut self, at: usize) {
        let start = self.written();
        if self.bytes.len() > start {
            self.answers.push((at, start, self.bytes.len()));
        }
    }

    fn written(&self) -> usize {
        self.answers.last().map_or(0, |(.., end)| *end)
    }

    /// Where a datagram came from.
    pub(crate) fn peer(&self, at: usize) -> Option<SocketAddr> {
        self.peers[at].read()
    }

    /// Whether there are answers that wait for being sent.
    pub(crate) fn has_answers(&self) -> bool {
        self.sent < self.answers.len()
    }

    /// Sends answers; those that are not sent yet wait for the next call.
    ///
    /// # Errors
    /// The socket takes no more now (`WouldBlock`), or not the first of those that wait: that one is given up.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut parts = [EMPTY; AT_ONCE];
        let mut headers = [const { no_message() }; AT_ONCE];
        let waiting = &self.answers[self.sent..];
        for ((part, header), (peer, start, end)) in parts.iter_mut().zip(&mut headers).zip(waiting) {
            let (bytes, peer) = (&self.bytes[*start..*end], &mut self.peers[*peer]);
            *part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let message = &mut header.msg_hdr;
            (message.msg_iov, message.msg_iovlen) = (part, 1);
            (message.msg_name, message.msg_namelen) = ((&raw mut peer.address).cast(), peer.length);
        }
        let count = waiting.len().min(AT_ONCE) as libc::c_uint;
        // SAFETY: the first `count` headers point to answers and addresses of this batch, which live until the call
        // returns and which the kernel only reads.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        match usize::try_from(sent) {
            Ok(sent) => {
                self.sent += sent;
                Ok(())
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.sent += 1;
                }
                Err(error)
            }
        }
    }
}

const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

const fn no_message() -> libc::mmsghdr {
    // SAFETY: a message header is made of integers and pointers, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

impl Peer {
    fn read(&self) -> Option<SocketAddr> {
        match libc::c_int::from(self.address.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that it is such an address, and the storage is large enough for any.
                let address = unsafe { *(&raw const self.address).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr));
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { *(&raw const self.address).cast::<libc::sockaddr_in6>() };
                let (ip, port) = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_arrives_together_is_answered_together() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = UdpSocket::bind(address).expect("a free port");
            let client = UdpSocket::bind(address).expect("a free port");
            let (at, from) = (server.local_addr().expect("bound"), client.local_addr().expect("bound"));
            let mut batch = Batch::new();
            assert!(batch.receive(server.as_fd()).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
            for number in 0..40_u8 {
                client.send_to(&[number; 3], at).expect("sent");
            }
            let mut answered = Vec::new();
            for expected in [AT_ONCE, 8] {
                assert_eq!(batch.receive(server.as_fd()).expect("datagrams"), expected);
                for number in 0..expected {
                    assert_eq!(batch.peer(number), Some(from));
                    let (query, out) = batch.query(number);
                    assert_eq!(query.len(), 3);
                    let first = query[0];
                    // Odd ones get no answer.
                    if first % 2 == 0 {
                        out.extend_from_slice(&[first, first]);
                    }
                    batch.answered(number);
                }
                while batch.has_answers() {
                    batch.send(server.as_fd()).expect("sent");
                }
            }
            let mut buffer = [0; 16];
            for _ in 0..20 {
                assert_eq!(client.recv(&mut buffer).expect("an answer"), 2);
                answered.push(buffer[0]);
            }
            assert_eq!(answered, (0..40).step_by(2).collect::<Vec<_>>());
        }
    }
}

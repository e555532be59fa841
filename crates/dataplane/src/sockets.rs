//! Handing sockets to another process (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// As many as a control message is ever given here: the control socket and two addresses of names
/// need five.
const MOST: usize = 16;

/// Writes `bytes`, at least one, with descriptors attached; returns how many bytes were taken.
pub(crate) fn send(to: &impl AsRawFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    debug_assert!(descriptors.len() <= MOST, "the receiver has no room for more");
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    Ok(sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Reads some bytes and the descriptors attached to them; no bytes means that the peer is gone.
pub(crate) fn receive(from: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; MOST]);
    let mut slices = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(from.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the kernel made these descriptors for this message; nobody else owns them.
            received.extend(descriptors.into_iter().map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }));
        }
    }
    Ok((message.bytes, received))
}

/// The sockets of names among descriptors that were received: pairs of one for datagrams and one for
/// connections, of the same address.
pub(crate) fn pairs(descriptors: Vec<OwnedFd>) -> io::Result<Vec<portolan_dns::Sockets>> {
    let mut descriptors = descriptors.into_iter();
    let mut pairs = Vec::new();
    while let (Some(udp), Some(tcp)) = (descriptors.next(), descriptors.next()) {
        let pair = portolan_dns::Sockets { udp: udp.into(), tcp: tcp.into() };
        pair.address()?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// The descriptors of such pairs.
pub(crate) fn descriptors(pairs: &[portolan_dns::Sockets]) -> Vec<RawFd> {
    pairs.iter().flat_map(|pair| [pair.udp.as_raw_fd(), pair.tcp.as_raw_fd()]).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_datagram_sent_before_the_sockets_are_handed_on_is_read_after() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let before = portolan_dns::Sockets::bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let address = before.address().expect("bound");
        std::net::UdpSocket::bind("127.0.0.1:0").expect("bound").send_to(b"question", address).expect("sent");
        send(&ours, b"x", &descriptors(&[before])).expect("sent");
        let mut bytes = [0; 8];
        let (count, received) = receive(&theirs, &mut bytes).expect("received");
        let after = pairs(received).expect("a pair");
        assert_eq!((count, after.len()), (1, 1));
        let length = after[0].udp.recv(&mut bytes).expect("it waited");
        assert_eq!(&bytes[..length], b"question");
        drop(ours);
        assert_eq!(receive(&theirs, &mut bytes).expect("the end").0, 0);
    }
}

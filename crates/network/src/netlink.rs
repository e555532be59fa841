//! The few rtnetlink requests a node needs, blocking and without a process per request.
//!
//! Blocking on purpose: a socket belongs to the network namespace of the thread that opened it, and
//! a pod is attached by a short-lived process for which an executor would be most of the cost.
//! Messages: <https://docs.kernel.org/userspace-api/netlink/intro.html> and rtnetlink(7).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto};
use nix::sys::socket::{setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

pub(crate) use self::message::{Answer, HEADER, Message, NESTED, attributes, frame};
use crate::Cidr;

mod message;

const VETH_INFO_PEER: u16 = 1;
const BRIDGE_PORT_MODE: u16 = 4;
/// The kernel answers at once; a longer silence means a lost message.
pub(crate) const ANSWER_TIMEOUT: TimeVal = TimeVal::new(5, 0);

/// A network link as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) mac: Option<[u8; 6]>,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: u32,
    /// The name of the link, unless somebody gave the address another.
    pub(crate) label: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// A route to add.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) to: Cidr,
    pub(crate) link: u32,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) source: Option<Ipv4Addr>,
}

/// A netlink socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_protocol(SockProtocol::NetlinkRoute)
    }

    pub(crate) fn open_protocol(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &ANSWER_TIMEOUT)?;
        Ok(Self { socket, sequence: 0 })
    }

    pub(crate) fn create_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let body = Message::link(0, 0, 0, 0)
            .name(name)
            .attribute(libc::IFLA_ADDRESS, &mac)
            .number(libc::IFLA_MTU, mtu)
            .link_info("bridge", None);
        self.create(libc::RTM_NEWLINK, body)
    }

    /// Creates a pair: `host` here, attached to `master`, and `peer` inside `namespace`.
    pub(crate) fn create_veth(
        &mut self,
        host: &str,
        master: u32,
        peer: &str,
        peer_mac: [u8; 6],
        namespace: BorrowedFd<'_>,
        mtu: u32,
    ) -> io::Result<()> {
        let descriptor = u32::try_from(namespace.as_raw_fd()).expect("open descriptors are not negative");
        let up = libc::IFF_UP as u32;
        let inside = Message::link(0, 0, 0, 0)
            .name(peer)
            .attribute(libc::IFLA_ADDRESS, &peer_mac)
            .number(libc::IFLA_MTU, mtu)
            .number(libc::IFLA_NET_NS_FD, descriptor);
        let body = Message::link(0, 0, up, up)
            .name(host)
            .number(libc::IFLA_MTU, mtu)
            .number(libc::IFLA_MASTER, master)
            .link_info("veth", Some(Message::default().nested(VETH_INFO_PEER, inside)));
        self.create(libc::RTM_NEWLINK, body)
    }

    pub(crate) fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let body = Message::link(0, 0, 0, 0).name(name);
        let answer = match self.request(libc::RTM_GETLINK, 0, body) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            answer => answer?,
        };
        Ok(answer.iter().find(|message| message.kind == libc::RTM_NEWLINK).and_then(|message| {
            let index = u32::from_ne_bytes(message.body.get(4..8)?.try_into().ok()?);
            let mac = attributes(message.body.get(16..)?).find(|(kind, _)| *kind == libc::IFLA_ADDRESS);
            Some(Link { index, mac: mac.and_then(|(_, value)| value.try_into().ok()) })
        }))
    }

    pub(crate) fn set_up(&mut self, link: u32) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.request(libc::RTM_NEWLINK, libc::NLM_F_ACK, Message::link(0, link, up, up)).map(drop)
    }

    /// Gives a link this hardware address and size of packets.
    pub(crate) fn configure(&mut self, link: u32, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let body = Message::link(0, link, 0, 0).attribute(libc::IFLA_ADDRESS, &mac).number(libc::IFLA_MTU, mtu);
        self.request(libc::RTM_NEWLINK, libc::NLM_F_ACK, body).map(drop)
    }

    /// Lets the bridge send a frame back through the port `link` it came from.
    pub(crate) fn set_hairpin(&mut self, link: u32) -> io::Result<()> {
        let mode = Message::default().attribute(BRIDGE_PORT_MODE, &[1]);
        let body = Message::link(libc::AF_BRIDGE as u8, link, 0, 0).nested(libc::IFLA_PROTINFO | NESTED, mode);
        self.request(libc::RTM_SETLINK, libc::NLM_F_ACK, body).map(drop)
    }

    /// Deletes a link; one that is not there is no error.
    pub(crate) fn delete_link(&mut self, name: &str) -> io::Result<()> {
        self.delete(libc::RTM_DELLINK, libc::ENODEV, Message::link(0, 0, 0, 0).name(name))
    }

    /// Adds an address; one that is there already is no error.
    pub(crate) fn add_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.create_or_keep(libc::RTM_NEWADDR, address_body(link, address, prefix))
    }

    /// Deletes an address; one that is not there is no error.
    pub(crate) fn delete_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.delete(libc::RTM_DELADDR, libc::EADDRNOTAVAIL, address_body(link, address, prefix))
    }

    /// The IPv4 addresses of all links.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let body = Message::default().bytes(&[libc::AF_INET as u8, 0, 0, 0]).bytes(&0_u32.to_ne_bytes());
        let answer = self.request(libc::RTM_GETADDR, libc::NLM_F_DUMP, body)?;
        let read = |body: &[u8]| {
            let link = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
            let find = |wanted| attributes(body.get(8..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(find(libc::IFA_LOCAL)?).ok()?);
            let label = String::from_utf8_lossy(find(libc::IFA_LABEL).unwrap_or_default());
            Some(Address { link, label: label.trim_end_matches('\0').to_owned(), address, prefix: *body.get(1)? })
        };
        Ok(answer.iter().filter_map(|message| read(&message.body)).collect())
    }

    /// Adds or replaces a route.
    pub(crate) fn set_route(&mut self, route: Route) -> io::Result<()> {
        let scope = if route.gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
        // struct rtmsg: family, prefixes of destination and source, tos, table, protocol, scope, type, flags.
        let mut body = Message::default()
            .bytes(&[libc::AF_INET as u8, route.to.prefix(), 0, 0])
            .bytes(&[libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, scope, libc::RTN_UNICAST])
            .bytes(&0_u32.to_ne_bytes())
            .number(libc::RTA_OIF, route.link);
        if route.to.prefix() > 0 {
            body = body.attribute(libc::RTA_DST, &route.to.network().octets());
        }
        if let Some(gateway) = route.gateway {
            body = body.attribute(libc::RTA_GATEWAY, &gateway.octets());
        }
        if let Some(source) = route.source {
            body = body.attribute(libc::RTA_PREFSRC, &source.octets());
        }
        self.request(libc::RTM_NEWROUTE, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE, body).map(drop)
    }

    /// Networks that the main table sends out of a link, as far as no routing program or the kernel wrote them.
    pub(crate) fn static_routes(&mut self, link: u32) -> io::Result<Vec<Cidr>> {
        let body = Message::default().bytes(&[libc::AF_INET as u8, 0, 0, 0]).bytes(&[0; 8]);
        let answer = self.request(libc::RTM_GETROUTE, libc::NLM_F_DUMP, body)?;
        let read = |body: &[u8]| {
            let find = |wanted| {
                let value = attributes(body.get(12..)?).find(|(kind, _)| *kind == wanted)?.1;
                <[u8; 4]>::try_from(value).ok()
            };
            let ours = *body.get(4)? == libc::RT_TABLE_MAIN && *body.get(5)? == libc::RTPROT_STATIC;
            let to = Cidr::new(find(libc::RTA_DST)?.into(), *body.get(1)?);
            (ours && u32::from_ne_bytes(find(libc::RTA_OIF)?) == link).then_some(to)
        };
        Ok(answer.iter().filter_map(|message| read(&message.body)).collect())
    }

    /// Deletes the route to a network out of a link; one that is not there is no error.
    pub(crate) fn delete_route(&mut self, to: Cidr, link: u32) -> io::Result<()> {
        // The scope must be as wide as any, or the kernel finds only routes of that scope.
        let body = Message::default()
            .bytes(&[libc::AF_INET as u8, to.prefix(), 0, 0])
            .bytes(&[libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RT_SCOPE_NOWHERE, libc::RTN_UNICAST])
            .bytes(&0_u32.to_ne_bytes())
            .attribute(libc::RTA_DST, &to.network().octets())
            .number(libc::RTA_OIF, link);
        self.delete(libc::RTM_DELROUTE, libc::ESRCH, body)
    }

    fn delete(&mut self, kind: u16, missing: i32, body: Message) -> io::Result<()> {
        match self.request(kind, libc::NLM_F_ACK, body) {
            Err(error) if error.raw_os_error() == Some(missing) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Says once and for all which hardware address answers for `address`.
    pub(crate) fn set_neighbour(&mut self, link: u32, address: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
        // struct ndmsg: family, padding, index, state, flags, type.
        let body = Message::default()
            .bytes(&[libc::AF_INET as u8, 0, 0, 0])
            .bytes(&link.to_ne_bytes())
            .bytes(&libc::NUD_PERMANENT.to_ne_bytes())
            .bytes(&[0, libc::RTN_UNICAST])
            .attribute(libc::NDA_DST, &address.octets())
            .attribute(libc::NDA_LLADDR, &mac);
        self.request(libc::RTM_NEWNEIGH, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE, body).map(drop)
    }

    fn create(&mut self, kind: u16, body: Message) -> io::Result<()> {
        self.request(kind, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL, body).map(drop)
    }

    fn create_or_keep(&mut self, kind: u16, body: Message) -> io::Result<()> {
        match self.create(kind, body) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            answer => answer,
        }
    }

    /// Sends a request and collects the answer up to its end: the acknowledgement, the end of the
    /// dump, or the first message if neither was asked for.
    pub(crate) fn request(&mut self, kind: u16, flags: i32, body: Message) -> io::Result<Vec<Answer>> {
        self.sequence += 1;
        let mut request = Vec::new();
        frame(&mut request, kind, flags | libc::NLM_F_REQUEST, self.sequence, &body);
        sendto(self.socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;

        let waits_for_end = flags & (libc::NLM_F_ACK | libc::NLM_F_DUMP) != 0;
        let mut answers = Vec::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let received = recv(self.socket.as_fd().as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..received];
            while let Some(answer) = Answer::read(&mut rest) {
                if answer.sequence != self.sequence {
                    continue;
                }
                match i32::from(answer.kind) {
                    libc::NLMSG_ERROR => {
                        return match answer.error() {
                            Some(error) => Err(error),
                            None => Ok(answers),
                        };
                    }
                    libc::NLMSG_DONE => return Ok(answers),
                    _ => answers.push(answer),
                }
            }
            if !waits_for_end && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }
}

/// `struct ifaddrmsg`: family, prefix, flags, scope (universe), index; and the address.
fn address_body(link: u32, address: Ipv4Addr, prefix: u8) -> Message {
    let octets = address.octets();
    Message::default()
        .bytes(&[libc::AF_INET as u8, prefix, 0, 0])
        .bytes(&link.to_ne_bytes())
        .attribute(libc::IFA_LOCAL, &octets)
        .attribute(libc::IFA_ADDRESS, &octets)
}

/// Runs `work` on a thread of its own inside the network namespace `namespace`.
pub(crate) fn inside<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce(&mut Netlink) -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
            work(&mut Netlink::open()?)
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside the network namespace panicked")))
    })
}

/// The hardware address of everything we attach: locally administered, derived from the IP
/// address, so that neighbours need not ask for it.
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

//! Forgetting UDP flows whose endpoint is gone.
//!
//! The kernel translates a flow as it did its first packet. A UDP client that keeps its socket
//! would talk to the old endpoint for as long as it keeps talking.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::sys::socket::SockProtocol;

use crate::netlink::{Message, NESTED, Netlink, attributes};
use crate::plan::{Place, StaleFlow};

const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
/// `struct nfgenmsg`: family, version, resource.
const FAMILY: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    protocol: u8,
    source: SocketAddrV4,
    destination: SocketAddrV4,
}

/// Deletes the kernel's memory of these flows.
pub(crate) fn forget(stale: &[StaleFlow]) -> io::Result<()> {
    if stale.is_empty() {
        return Ok(());
    }
    let mut netlink = Netlink::open_protocol(SockProtocol::NetlinkNetFilter)?;
    let flows = netlink.request(GET, libc::NLM_F_DUMP, Message::default().bytes(&FAMILY))?;
    for flow in flows {
        let Some(body) = flow.body.get(FAMILY.len()..) else { continue };
        let find = |wanted: u16| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let Some(original) = find(TUPLE_ORIGINAL) else { continue };
        let tuples = Tuple::read(original).zip(find(TUPLE_REPLY).and_then(Tuple::read));
        let Some((sent, answered)) = tuples else { continue };
        if !stale.iter().any(|stale| is_stale(stale, &sent, &answered)) {
            continue;
        }
        let body = Message::default().bytes(&FAMILY).attribute(TUPLE_ORIGINAL | NESTED, original);
        match netlink.request(DELETE, libc::NLM_F_ACK, body) {
            // It ended by itself meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            result => drop(result?),
        }
    }
    Ok(())
}

fn is_stale(stale: &StaleFlow, sent: &Tuple, answered: &Tuple) -> bool {
    let to_frontend = sent.destination.port() == stale.frontend.port
        && match stale.frontend.place {
            Place::Address(address) | Place::LocalAddress(address) => *sent.destination.ip() == address,
            Place::NodePort | Place::LocalNodePort => true,
        };
    let from = stale.backend.unwrap_or(sent.destination);
    i32::from(sent.protocol) == libc::IPPROTO_UDP && to_frontend && answered.source == from
}

impl Tuple {
    fn read(nested: &[u8]) -> Option<Self> {
        const IP: u16 = 1;
        const PROTOCOL: u16 = 2;
        let find = |list: u16, wanted: u16| {
            let (_, list) = attributes(nested).find(|(kind, _)| *kind == list)?;
            attributes(list).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
        };
        let address = |kind: u16| Some(Ipv4Addr::from(<[u8; 4]>::try_from(find(IP, kind)?).ok()?));
        let port = |kind: u16| Some(u16::from_be_bytes(find(PROTOCOL, kind)?.try_into().ok()?));
        Some(Self {
            protocol: *find(PROTOCOL, 1)?.first()?,
            source: SocketAddrV4::new(address(1)?, port(2)?),
            destination: SocketAddrV4::new(address(2)?, port(3)?),
        })
    }
}

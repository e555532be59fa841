//! What changes with services: elements of maps and sets.

use std::fmt;
use std::net::SocketAddrV4;

use portolan_catalog::Protocol;

use super::frontend::{FrontendKey, Place};
use super::picker::Picker;
use crate::Cidr;
use crate::nftables::{self, Verdict};

/// Slots and members are numbered from here, far from the marks that administrators use.
pub(super) const FIRST_MEMBER: u32 = 0x7000_0000;

/// Where a frontend is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    Address,
    LocalAddress,
    NodePort,
    LocalNodePort,
}

impl Family {
    pub(super) const ALL: [Self; 4] = [Self::Address, Self::LocalAddress, Self::NodePort, Self::LocalNodePort];

    pub(super) fn of(place: Place) -> Self {
        match place {
            Place::Address(_) => Self::Address,
            Place::LocalAddress(_) => Self::LocalAddress,
            Place::NodePort => Self::NodePort,
            Place::LocalNodePort => Self::LocalNodePort,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::LocalAddress => "local_address",
            Self::NodePort => "node_port",
            Self::LocalNodePort => "local_node_port",
        }
    }
}

/// What a map or set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Where to go for a frontend.
    Entry,
    /// The endpoint of each slot.
    Endpoints,
    /// The member of each slot, with session affinity.
    Slots,
    /// The endpoint of each member.
    Members,
    /// Frontends that nobody answers.
    Refused,
    /// Frontends that only some clients may use.
    Guarded,
    /// Which clients those are.
    Allowed,
}

/// A map or set with elements of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Map {
    pub(super) family: Family,
    pub(super) role: Role,
}

impl Map {
    pub(super) fn name(self) -> &'static str {
        use Family::{Address, LocalAddress, LocalNodePort, NodePort};
        match (self.role, self.family) {
            (Role::Entry, Address) => "services",
            (Role::Entry, LocalAddress) => "local_services",
            (Role::Entry, NodePort) => "node_ports",
            (Role::Entry, LocalNodePort) => "local_node_ports",
            (Role::Endpoints, Address) => "endpoints",
            (Role::Endpoints, LocalAddress) => "local_endpoints",
            (Role::Endpoints, NodePort) => "node_port_endpoints",
            (Role::Endpoints, LocalNodePort) => "local_node_port_endpoints",
            (Role::Slots, Address) => "address_slots",
            (Role::Slots, LocalAddress) => "local_address_slots",
            (Role::Slots, NodePort) => "node_port_slots",
            (Role::Slots, LocalNodePort) => "local_node_port_slots",
            (Role::Members, Address) => "address_members",
            (Role::Members, LocalAddress) => "local_address_members",
            (Role::Members, NodePort) => "node_port_members",
            (Role::Members, LocalNodePort) => "local_node_port_members",
            (Role::Refused, Address) => "refused_addresses",
            (Role::Refused, LocalAddress) => "refused_local_addresses",
            (Role::Refused, NodePort) => "refused_node_ports",
            (Role::Refused, LocalNodePort) => "refused_local_node_ports",
            (Role::Guarded, _) => "guarded",
            (Role::Allowed, _) => "allowed",
        }
    }
}

/// Which of a frontend's elements: the role of its map, and what follows the frontend in its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Detail {
    Entry,
    Endpoint(u32),
    Slot(u32),
    Member(u32),
    Refused,
    Guarded,
    Allowed(Cidr),
}

impl Detail {
    pub(super) fn role(self) -> Role {
        match self {
            Self::Entry => Role::Entry,
            Self::Endpoint(_) => Role::Endpoints,
            Self::Slot(_) => Role::Slots,
            Self::Member(_) => Role::Members,
            Self::Refused => Role::Refused,
            Self::Guarded => Role::Guarded,
            Self::Allowed(_) => Role::Allowed,
        }
    }
}

/// What an element's key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// It is an element of a set.
    None,
    Drop,
    Pick(Picker),
    Endpoint(SocketAddrV4),
    Member(u32),
}

/// An element to add, or with no value to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(super) frontend: FrontendKey,
    pub(super) detail: Detail,
    pub(super) value: Value,
}

impl Element {
    /// As the kernel wants it.
    pub(super) fn encode(&self) -> nftables::Element {
        let mut key = key_bytes(&self.frontend);
        let element = match self.detail {
            Detail::Entry | Detail::Refused | Detail::Guarded => nftables::Element::new(&key),
            Detail::Endpoint(number) | Detail::Slot(number) | Detail::Member(number) => {
                key.extend_from_slice(&number.to_ne_bytes());
                nftables::Element::new(&key)
            }
            Detail::Allowed(range) => {
                let mut last = key.clone();
                key.extend_from_slice(&range.network().octets());
                last.extend_from_slice(&range.broadcast().octets());
                nftables::Element::new(&key).up_to(&last)
            }
        };
        match self.value {
            Value::None => element,
            Value::Drop => element.verdict(&Verdict::Drop),
            Value::Pick(picker) => element.verdict(&Verdict::Goto(picker.name())),
            Value::Endpoint(endpoint) => {
                let mut value = endpoint.ip().octets().to_vec();
                value.extend_from_slice(&endpoint.port().to_be_bytes());
                value.resize(8, 0);
                element.value(&value)
            }
            Value::Member(member) => element.value(&member.to_ne_bytes()),
        }
    }
}

/// The key of a frontend in its maps; each field begins at a multiple of 4 bytes.
fn key_bytes(key: &FrontendKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20);
    match key.place {
        Place::Address(address) | Place::LocalAddress(address) => bytes.extend_from_slice(&address.octets()),
        Place::NodePort | Place::LocalNodePort => {}
    }
    bytes.extend_from_slice(&[protocol_number(key.protocol), 0, 0, 0]);
    bytes.extend_from_slice(&key.port.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn protocol_number(protocol: Protocol) -> u8 {
    let number = match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
        Protocol::Sctp => libc::IPPROTO_SCTP,
    };
    number as u8
}

/// In the language of nft, as people know it from `nft list`.
impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrontendKey { place, protocol, port } = &self.frontend;
        match place {
            Place::Address(address) | Place::LocalAddress(address) => write!(formatter, "{address} . ")?,
            Place::NodePort | Place::LocalNodePort => {}
        }
        write!(formatter, "{} . {port}", protocol.as_str())?;
        match self.detail {
            Detail::Entry | Detail::Refused | Detail::Guarded => {}
            Detail::Endpoint(number) | Detail::Slot(number) | Detail::Member(number) => {
                write!(formatter, " . {number:#x}")?;
            }
            Detail::Allowed(range) => write!(formatter, " . {range}")?,
        }
        match self.value {
            Value::None => Ok(()),
            Value::Drop => formatter.write_str(" : drop"),
            Value::Pick(picker) => write!(formatter, " : goto {}", picker.name()),
            Value::Endpoint(endpoint) => write!(formatter, " : {} . {}", endpoint.ip(), endpoint.port()),
            Value::Member(member) => write!(formatter, " : {member:#x}"),
        }
    }
}

//! The part of nf_tables that the rules need, spoken over netlink.
//!
//! Nothing here knows about services: tables, sets, chains, rules and elements become one
//! [`Transaction`], a [`Socket`] hands it to the kernel, [`Events`] tells who else changes rules.
//! The messages are those of `linux/netfilter/nf_tables.h`; numbers in them are in network order.

mod events;
mod expression;
mod set;
mod socket;
mod transaction;

pub use events::Author;
pub(crate) use events::Events;
pub(crate) use expression::{Field, Rule};
pub(crate) use set::{Data, Element, Set, Type};
pub(crate) use socket::{Failure, Socket};
pub(crate) use transaction::{Base, Chain, Request, Transaction};

/// Elements of a list: `enum nft_list_attributes`.
const LIST_ELEMENT: u16 = 1 | crate::netlink::NESTED;
/// `NFTA_DATA_VALUE` and `NFTA_DATA_VERDICT` of `enum nft_data_attributes`.
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
/// The first attribute of every message names the table.
const TABLE: u16 = 1;

/// Type of a netlink message for an nf_tables one.
const fn message_kind(message: i32) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | message as u16
}

/// `struct nfgenmsg` of messages about tables of IPv4: family, version, resource.
const FAMILY: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

/// Where a packet goes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    Goto(String),
    Jump(String),
}

impl Verdict {
    /// As `struct nft_data`.
    fn data(&self) -> crate::netlink::Message {
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        let message = crate::netlink::Message::default();
        let verdict = match self {
            Self::Drop => message.network_number(CODE, libc::NF_DROP as u32),
            Self::Goto(chain) => message.network_number(CODE, libc::NFT_GOTO as u32).text(CHAIN, chain),
            Self::Jump(chain) => message.network_number(CODE, libc::NFT_JUMP as u32).text(CHAIN, chain),
        };
        crate::netlink::Message::default().nested(DATA_VERDICT | crate::netlink::NESTED, verdict)
    }
}

//! Rules: what a packet must match and what happens to it then.

use super::{DATA_VALUE, LIST_ELEMENT, Verdict};
use crate::Cidr;
use crate::netlink::{Message, NESTED};

/// The verdict register, and the first of sixteen of 4 bytes.
const VERDICT_REGISTER: u32 = libc::NFT_REG_VERDICT as u32;
const FIRST_REGISTER: u32 = libc::NFT_REG32_00 as u32;

/// Something about a packet that rules look at. A field takes one register of 4 bytes, a link's name four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    SourceAddress,
    DestinationAddress,
    /// Of the transport protocol, by number.
    Protocol,
    DestinationPort,
    Mark,
    /// Kind of route that the address has, such as [`Field::LOCAL`].
    SourceKind,
    DestinationKind,
    /// Name of the link it leaves by, or came in by.
    Output,
    Input,
    /// State and status of its connection.
    ConnectionState,
    ConnectionStatus,
    /// Where the first packet of its connection was sent to.
    OriginalAddress,
    OriginalPort,
    /// A random number below the first one, plus the second one.
    Random(u32, u32),
}

impl Field {
    /// Kind of an address of this machine.
    pub(crate) const LOCAL: u32 = libc::RTN_LOCAL as u32;
    /// State of a connection whose first packet this is.
    pub(crate) const STATE_NEW: u32 = 8;
    /// Status of a connection whose destination is translated.
    pub(crate) const STATUS_TRANSLATED: u32 = 1 << 5;

    /// Expression that loads it.
    fn load(self, register: u32) -> Message {
        let payload = |base: i32, offset: u32, length: u32| {
            let data = Message::default().network_number(1, register).network_number(2, base as u32);
            expression("payload", data.network_number(3, offset).network_number(4, length))
        };
        let meta =
            |key: i32| expression("meta", Message::default().network_number(1, register).network_number(2, key as u32));
        let connection = |key: i32| Message::default().network_number(1, register).network_number(2, key as u32);
        let original = |key: i32| expression("ct", connection(key).attribute(3, &[0]));
        let route = |flag: u32| {
            const ADDRESS_KIND: u32 = 3;
            let data = Message::default().network_number(1, register);
            expression("fib", data.network_number(2, ADDRESS_KIND).network_number(3, flag))
        };
        match self {
            Self::SourceAddress => payload(libc::NFT_PAYLOAD_NETWORK_HEADER, 12, 4),
            Self::DestinationAddress => payload(libc::NFT_PAYLOAD_NETWORK_HEADER, 16, 4),
            Self::DestinationPort => payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
            Self::Protocol => meta(libc::NFT_META_L4PROTO),
            Self::Mark => meta(libc::NFT_META_MARK),
            Self::Output => meta(libc::NFT_META_OIFNAME),
            Self::Input => meta(libc::NFT_META_IIFNAME),
            Self::SourceKind => route(1),
            Self::DestinationKind => route(2),
            Self::ConnectionState => expression("ct", connection(libc::NFT_CT_STATE)),
            Self::ConnectionStatus => expression("ct", connection(libc::NFT_CT_STATUS)),
            Self::OriginalAddress => original(libc::NFT_CT_DST_IP),
            Self::OriginalPort => original(libc::NFT_CT_PROTO_DST),
            Self::Random(modulus, offset) => {
                let data = Message::default().network_number(1, register).network_number(2, modulus);
                let data = data.network_number(3, libc::NFT_NG_RANDOM as u32).network_number(4, offset);
                expression("numgen", data)
            }
        }
    }
}

/// One expression of a rule: `enum nft_expr_attributes`.
fn expression(name: &str, data: Message) -> Message {
    const NAME: u16 = 1;
    const DATA: u16 = 2 | NESTED;
    Message::default().nested(LIST_ELEMENT, Message::default().text(NAME, name).nested(DATA, data))
}

fn value(bytes: &[u8]) -> Message {
    Message::default().attribute(DATA_VALUE, bytes)
}

/// A rule under construction; each step adds a condition or, at the end, an action.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule(Message);

impl Rule {
    fn then(self, name: &str, data: Message) -> Self {
        Self(self.0.append(&expression(name, data)))
    }

    /// Loads `fields` side by side, as a key for a set or map.
    fn load(self, fields: &[Field]) -> Self {
        let loads = fields.iter().zip(FIRST_REGISTER..);
        Self(loads.fold(self.0, |message, (field, register)| message.append(&field.load(register))))
    }

    fn look_up(self, set: &str, add: impl FnOnce(Message) -> Message) -> Self {
        let data = Message::default().text(1, set).network_number(2, FIRST_REGISTER);
        self.then("lookup", add(data))
    }

    fn compare(self, operator: i32, bytes: &[u8]) -> Self {
        let data = Message::default().network_number(1, FIRST_REGISTER).network_number(2, operator as u32);
        self.then("cmp", data.nested(3 | NESTED, value(bytes)))
    }

    fn mask(self, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).expect("a register is short");
        let data = Message::default()
            .network_number(1, FIRST_REGISTER)
            .network_number(2, FIRST_REGISTER)
            .network_number(3, length)
            .nested(4 | NESTED, value(mask))
            .nested(5 | NESTED, value(&vec![0; mask.len()]));
        self.then("bitwise", data)
    }

    /// Only if `key` is in the set.
    pub(crate) fn if_in(self, key: &[Field], set: &str) -> Self {
        self.load(key).look_up(set, |data| data)
    }

    /// Only if `key` is not in the set.
    pub(crate) fn if_not_in(self, key: &[Field], set: &str) -> Self {
        self.load(key).look_up(set, |data| data.network_number(5, libc::NFT_LOOKUP_F_INV as u32))
    }

    /// Goes where the map says for `key`, if it is there.
    pub(crate) fn goes_by(self, key: &[Field], map: &str) -> Self {
        self.load(key).look_up(map, |data| data.network_number(3, VERDICT_REGISTER))
    }

    /// Only if the field has this value.
    pub(crate) fn if_equal(self, field: Field, bytes: &[u8]) -> Self {
        self.load(&[field]).compare(libc::NFT_CMP_EQ, bytes)
    }

    pub(crate) fn if_not_equal(self, field: Field, bytes: &[u8]) -> Self {
        self.load(&[field]).compare(libc::NFT_CMP_NEQ, bytes)
    }

    /// Only if the port is one of these.
    pub(crate) fn if_between(self, field: Field, first: u16, last: u16) -> Self {
        let rule = self.load(&[field]).compare(libc::NFT_CMP_GTE, &first.to_be_bytes());
        rule.compare(libc::NFT_CMP_LTE, &last.to_be_bytes())
    }

    /// Only if one of these bits is set.
    pub(crate) fn if_has(self, field: Field, bits: u32) -> Self {
        self.load(&[field]).mask(&bits.to_ne_bytes()).compare(libc::NFT_CMP_NEQ, &0_u32.to_ne_bytes())
    }

    /// Only if the address belongs to the network.
    pub(crate) fn if_of(self, field: Field, network: Cidr) -> Self {
        self.of(field, network, libc::NFT_CMP_EQ)
    }

    pub(crate) fn if_not_of(self, field: Field, network: Cidr) -> Self {
        self.of(field, network, libc::NFT_CMP_NEQ)
    }

    fn of(self, field: Field, network: Cidr, operator: i32) -> Self {
        self.load(&[field]).mask(&network.mask().octets()).compare(operator, &network.network().octets())
    }

    /// Only if the link has this name.
    pub(crate) fn if_link(self, field: Field, name: &str) -> Self {
        self.if_equal(field, &link_name(name))
    }

    pub(crate) fn if_not_link(self, field: Field, name: &str) -> Self {
        self.if_not_equal(field, &link_name(name))
    }

    pub(crate) fn then_go(self, verdict: &Verdict) -> Self {
        let data = Message::default().network_number(1, VERDICT_REGISTER);
        self.then("immediate", data.nested(2 | NESTED, verdict.data()))
    }

    /// Marks the packet with the value of `field`.
    pub(crate) fn mark_with(self, field: Field) -> Self {
        self.load(&[field]).set_mark()
    }

    /// Marks the packet with what the map has for `key`; the rule ends if it has nothing.
    pub(crate) fn mark_by(self, key: &[Field], map: &str) -> Self {
        self.value_of(key, map).set_mark()
    }

    fn value_of(self, key: &[Field], map: &str) -> Self {
        self.load(key).look_up(map, |data| data.network_number(3, FIRST_REGISTER))
    }

    fn set_mark(self) -> Self {
        let key = Message::default().network_number(2, libc::NFT_META_MARK as u32);
        self.then("meta", key.network_number(3, FIRST_REGISTER))
    }

    /// Sends the connection to the address and port that the map has for `key`.
    pub(crate) fn translate_to(self, key: &[Field], map: &str) -> Self {
        let data = Message::default()
            .network_number(1, libc::NFT_NAT_DNAT as u32)
            .network_number(2, libc::AF_INET as u32)
            .network_number(3, FIRST_REGISTER)
            .network_number(5, FIRST_REGISTER + 1);
        self.value_of(key, map).then("nat", data)
    }

    /// Remembers, or with no time forgets, the mark under `key` in a dynamic map.
    pub(crate) fn remember_mark(self, key: &[Field], map: &str, milliseconds: Option<u64>) -> Self {
        const DELETE: u32 = 2;
        // nft loads the value into the second register of 16 bytes, and shows only such rules.
        let value = FIRST_REGISTER + 4;
        let rule = self.load(key);
        let rule = Self(rule.0.append(&Field::Mark.load(value)));
        let operation = milliseconds.map_or(DELETE, |_| libc::NFT_DYNSET_OP_UPDATE as u32);
        let mut data = Message::default()
            .text(1, map)
            .network_number(3, operation)
            .network_number(4, FIRST_REGISTER)
            .network_number(5, value);
        if let Some(milliseconds) = milliseconds {
            data = data.attribute(6, &milliseconds.to_be_bytes());
        }
        rule.then("dynset", data)
    }

    /// Gives the connection the address of the link it leaves by.
    pub(crate) fn masquerade(self) -> Self {
        self.then("masq", Message::default())
    }

    /// The same with a random port, which spares retries when many connections go to one place.
    pub(crate) fn masquerade_randomly(self) -> Self {
        const FULLY_RANDOM: u32 = 1 << 4;
        self.then("masq", Message::default().network_number(1, FULLY_RANDOM))
    }

    pub(crate) fn reset(self) -> Self {
        self.reject(libc::NFT_REJECT_TCP_RST, 0)
    }

    pub(crate) fn unreachable(self) -> Self {
        const PORT_UNREACHABLE: u8 = 3;
        self.reject(libc::NFT_REJECT_ICMP_UNREACH, PORT_UNREACHABLE)
    }

    fn reject(self, kind: i32, code: u8) -> Self {
        self.then("reject", Message::default().network_number(1, kind as u32).attribute(2, &[code]))
    }

    pub(super) fn into_message(self) -> Message {
        self.0
    }
}

fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

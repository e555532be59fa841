//! Sets, maps and their elements.

use super::{DATA_VALUE, Verdict};
use crate::netlink::{Message, NESTED};

/// One field of a key or of a map's value. The number is nft's, so that nft prints elements readably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Address,
    Protocol,
    Port,
    Mark,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Address => 7,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Address | Self::Mark => 4,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    fn byte_order(self) -> u32 {
        const HOST: u32 = 1;
        const NETWORK: u32 = 2;
        match self {
            Self::Address | Self::Port => NETWORK,
            Self::Mark => HOST,
            Self::Protocol => 0,
        }
    }
}

/// Type number and length of a concatenation; each of its fields begins at a multiple of 4.
fn concatenation(types: &[Type]) -> (u32, u32) {
    match types {
        [single] => (single.number(), single.length()),
        several => several.iter().fold((0, 0), |(number, length), field| {
            (number << 6 | field.number(), length + field.length().next_multiple_of(4))
        }),
    }
}

/// What a map's keys lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing: it is a set.
    None,
    Verdict,
    Value(&'static [Type]),
}

/// A set or map to create.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Type],
    pub(crate) data: Data,
    /// Keys are ranges.
    pub(crate) ranges: bool,
    /// Rules add elements, which end after a time: the most there may be, and the time in milliseconds.
    pub(crate) dynamic: Option<(u32, u64)>,
}

impl Set {
    pub(crate) fn new(name: &'static str, key: &'static [Type]) -> Self {
        Self { name, key, data: Data::None, ranges: false, dynamic: None }
    }

    pub(crate) fn map(name: &'static str, key: &'static [Type], data: Data) -> Self {
        Self { data, ..Self::new(name, key) }
    }

    /// `enum nft_set_attributes`, without the table.
    pub(super) fn attributes(&self, id: u32) -> Message {
        const NAME: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_TYPE: u16 = 4;
        const KEY_LENGTH: u16 = 5;
        const DATA_TYPE: u16 = 6;
        const DATA_LENGTH: u16 = 7;
        const DESCRIPTION: u16 = 9 | NESTED;
        const ID: u16 = 10;
        const TIMEOUT: u16 = 11;
        const USER_DATA: u16 = 13;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        let (number, length) = concatenation(self.key);
        let mut message = Message::default()
            .text(NAME, self.name)
            .network_number(FLAGS, self.flags())
            .network_number(KEY_TYPE, number)
            .network_number(KEY_LENGTH, length);
        match self.data {
            Data::None => {}
            Data::Verdict => message = message.network_number(DATA_TYPE, VERDICT_TYPE).network_number(DATA_LENGTH, 0),
            Data::Value(types) => {
                let (number, length) = concatenation(types);
                message = message.network_number(DATA_TYPE, number).network_number(DATA_LENGTH, length);
            }
        }
        message = message.network_number(ID, id);
        if let Some(description) = self.description() {
            message = message.nested(DESCRIPTION, description);
        }
        if let Some((_, timeout)) = self.dynamic {
            message = message.attribute(TIMEOUT, &timeout.to_be_bytes());
        }
        message.attribute(USER_DATA, &self.user_data())
    }

    fn flags(&self) -> u32 {
        const EVALUATED: u32 = libc::NFT_SET_EVAL as u32;
        const CONCATENATION: u32 = 0x80;
        let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
        when(self.ranges, libc::NFT_SET_INTERVAL as u32)
            | when(self.ranges && self.key.len() > 1, CONCATENATION)
            | when(self.data != Data::None, libc::NFT_SET_MAP as u32)
            | when(self.dynamic.is_some(), EVALUATED | libc::NFT_SET_TIMEOUT as u32)
    }

    /// `enum nft_set_desc_attributes`: the size, or the fields of a concatenation of ranges.
    fn description(&self) -> Option<Message> {
        const SIZE: u16 = 1;
        const FIELDS: u16 = 2 | NESTED;
        const FIELD_LENGTH: u16 = 1;
        if let Some((size, _)) = self.dynamic {
            return Some(Message::default().network_number(SIZE, size));
        }
        let of = |field: &Type| Message::default().network_number(FIELD_LENGTH, field.length());
        (self.ranges && self.key.len() > 1).then(|| {
            let fields =
                self.key.iter().fold(Message::default(), |list, field| list.nested(super::LIST_ELEMENT, of(field)));
            Message::default().nested(FIELDS, fields)
        })
    }

    /// What nft keeps with a set for itself: without the byte orders it prints marks backwards.
    fn user_data(&self) -> Vec<u8> {
        const KEY_BYTE_ORDER: u8 = 0;
        const DATA_BYTE_ORDER: u8 = 1;
        let single = |types: &[Type]| if let [single] = types { single.byte_order() } else { 0 };
        let mut data = vec![KEY_BYTE_ORDER, 4];
        data.extend_from_slice(&single(self.key).to_ne_bytes());
        if let Data::Value(types) = self.data {
            data.extend_from_slice(&[DATA_BYTE_ORDER, 4]);
            data.extend_from_slice(&single(types).to_ne_bytes());
        }
        data
    }
}

/// An element to add or delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Element(Message);

impl Element {
    const KEY: u16 = 1 | NESTED;
    const DATA: u16 = 2 | NESTED;
    const FLAGS: u16 = 3;
    const KEY_END: u16 = 10 | NESTED;

    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Message::default().nested(Self::KEY, Message::default().attribute(DATA_VALUE, key)))
    }

    /// With the end of a range of concatenated keys, inclusive.
    pub(crate) fn up_to(self, end: &[u8]) -> Self {
        Self(self.0.nested(Self::KEY_END, Message::default().attribute(DATA_VALUE, end)))
    }

    /// Where a range of single keys has ended: the first key that is outside.
    pub(crate) fn end_of_range(key: &[u8]) -> Self {
        let flags = Message::default().network_number(Self::FLAGS, libc::NFT_SET_ELEM_INTERVAL_END as u32);
        Self(flags.append(&Self::new(key).0))
    }

    pub(crate) fn value(self, value: &[u8]) -> Self {
        Self(self.0.nested(Self::DATA, Message::default().attribute(DATA_VALUE, value)))
    }

    pub(crate) fn verdict(self, verdict: &Verdict) -> Self {
        Self(self.0.nested(Self::DATA, verdict.data()))
    }

    pub(super) fn into_message(self) -> Message {
        self.0
    }
}

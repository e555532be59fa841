//! Netlink messages as bytes: headers, attributes, answers.

use std::io;

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Marks an attribute that holds attributes.
pub(crate) const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// A request body or attribute list under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `struct ifinfomsg`.
    pub(super) fn link(family: u8, index: u32, flags: u32, change: u32) -> Self {
        Self::default()
            .bytes(&[family, 0, 0, 0])
            .bytes(&index.to_ne_bytes())
            .bytes(&flags.to_ne_bytes())
            .bytes(&change.to_ne_bytes())
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("lists are cut before they reach 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A text that ends with a zero byte.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value)
    }

    pub(super) fn name(self, name: &str) -> Self {
        self.text(libc::IFLA_IFNAME, name)
    }

    /// A number in the byte order of this machine, as rtnetlink wants them.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number in the byte order of the network, as netfilter wants them.
    pub(crate) fn network_number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Attributes inside of an attribute.
    pub(crate) fn nested(self, kind: u16, inner: Self) -> Self {
        self.attribute(kind, &inner.0)
    }

    /// Everything `other` has, after what this has.
    pub(crate) fn append(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(super) fn link_info(self, kind: &str, data: Option<Self>) -> Self {
        let info = Self::default().attribute(libc::IFLA_INFO_KIND, kind.as_bytes());
        let info = match data {
            Some(data) => info.nested(libc::IFLA_INFO_DATA, data),
            None => info,
        };
        self.nested(libc::IFLA_LINKINFO, info)
    }
}

/// Appends a message with its header to `to`.
pub(crate) fn frame(to: &mut Vec<u8>, kind: u16, flags: i32, sequence: u32, body: &Message) {
    let length = u32::try_from(HEADER + body.0.len()).expect("a message is made of attributes of 64 KiB at most");
    let flags = u16::try_from(flags).expect("netlink flags have 16 bits");
    to.extend_from_slice(&length.to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(&flags.to_ne_bytes());
    to.extend_from_slice(&sequence.to_ne_bytes());
    to.extend_from_slice(&0_u32.to_ne_bytes());
    to.extend_from_slice(&body.0);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// One message from the kernel.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Port of the socket whose request this is about, 0 for the kernel's own doing.
    pub(crate) port: u32,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Takes the first message off `rest`; `None` at the end or if the rest is malformed.
    pub(crate) fn read(rest: &mut &[u8]) -> Option<Self> {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        let flags = u16::from_ne_bytes(rest.get(6..8)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(rest.get(8..12)?.try_into().ok()?);
        let port = u32::from_ne_bytes(rest.get(12..HEADER)?.try_into().ok()?);
        let body = rest.get(HEADER..length)?.to_vec();
        *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Self { kind, flags, sequence, port, body })
    }

    /// What an acknowledgement says: `None` is success.
    pub(crate) fn error(&self) -> Option<io::Error> {
        let code = self.body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(-libc::EIO, i32::from_ne_bytes);
        (code != 0).then(|| io::Error::from_raw_os_error(-code))
    }
}

/// Type and value of each attribute; stops at the first malformed one.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const TYPE_MASK: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_damaged_messages_end_the_reading() {
        let body = Message::default().text(1, "name").nested(2 | NESTED, Message::default().network_number(3, 7));
        let mut whole = Vec::new();
        frame(&mut whole, 18, libc::NLM_F_REQUEST, 5, &body);
        let message = Answer::read(&mut whole.as_slice()).expect("it is whole");
        assert_eq!((message.kind, message.sequence, message.port), (18, 5, 0));
        let found: Vec<(u16, &[u8])> = attributes(&message.body).collect();
        assert_eq!(found, [(1, &b"name\0"[..]), (2, &[8, 0, 3, 0, 0, 0, 0, 7])]);

        for length in 0..whole.len() {
            assert!(Answer::read(&mut &whole[..length]).is_none(), "cut to {length}");
        }
        for (position, value) in (0..whole.len()).flat_map(|position| [(position, 0), (position, 0xff)]) {
            let mut damaged = whole.clone();
            damaged[position] = value;
            let mut rest = damaged.as_slice();
            while let Some(message) = Answer::read(&mut rest) {
                assert!(attributes(&message.body).count() <= 2, "{position} is {value}");
            }
        }
    }
}

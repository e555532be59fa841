//! What is asked of the kernel at once: all of it happens, or nothing.

use super::{Element, FAMILY, LIST_ELEMENT, Rule, Set, TABLE, message_kind};
use crate::netlink::{HEADER, Message, NESTED, attributes, frame};

/// `struct nfgenmsg` of a batch: its resource is the subsystem.
const SUBSYSTEM: [u8; 4] = [libc::AF_UNSPEC as u8, 0, 0, libc::NFNL_SUBSYS_NFTABLES as u8];
/// Where the generation stands: after the header, `nfgenmsg` and the head of the attribute.
const GENERATION_AT: usize = HEADER + 4 + 4;
const ELEMENTS: u16 = 3;

/// One step of a transaction.
#[derive(Debug)]
pub(crate) struct Request {
    message: i32,
    flags: i32,
    body: Message,
}

/// Where in the kernel a chain begins by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    /// `nat` or `filter`.
    pub(crate) kind: &'static str,
    /// `NF_INET_PRE_ROUTING` and so on.
    pub(crate) hook: i32,
    pub(crate) priority: i32,
}

/// A chain to create; without a base, others lead to it.
#[derive(Debug, Clone)]
pub(crate) struct Chain<'a> {
    pub(crate) name: &'a str,
    pub(crate) base: Option<Base>,
}

impl Request {
    fn new(message: i32, flags: i32, table: &str) -> Self {
        Self { message, flags, body: Message::default().bytes(&FAMILY).text(TABLE, table) }
    }

    fn with(mut self, add: impl FnOnce(Message) -> Message) -> Self {
        self.body = add(self.body);
        self
    }

    /// Creates the table; one that exists is kept.
    pub(crate) fn add_table(table: &str) -> Self {
        Self::new(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, table)
    }

    /// Deletes the table with all it contains.
    pub(crate) fn delete_table(table: &str) -> Self {
        Self::new(libc::NFT_MSG_DELTABLE, 0, table)
    }

    /// Creates a set; `id` must be its own within the transaction.
    pub(crate) fn add_set(table: &str, set: &Set, id: u32) -> Self {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        Self::new(libc::NFT_MSG_NEWSET, flags, table).with(|body| body.append(&set.attributes(id)))
    }

    pub(crate) fn add_chain(table: &str, chain: &Chain<'_>) -> Self {
        const NAME: u16 = 3;
        const HOOK: u16 = 4 | NESTED;
        const POLICY: u16 = 5;
        const KIND: u16 = 7;
        let request = Self::new(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE | libc::NLM_F_EXCL, table);
        let request = request.with(|body| body.text(NAME, chain.name));
        let Some(Base { kind, hook, priority }) = chain.base else { return request };
        let hook = Message::default().network_number(1, hook as u32).network_number(2, priority as u32);
        let accept = libc::NF_ACCEPT as u32;
        request.with(|body| body.text(KIND, kind).network_number(POLICY, accept).nested(HOOK, hook))
    }

    /// Appends a rule to a chain.
    pub(crate) fn add_rule(table: &str, chain: &str, rule: Rule) -> Self {
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4 | NESTED;
        let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
        Self::new(libc::NFT_MSG_NEWRULE, flags, table)
            .with(|body| body.text(CHAIN, chain).nested(EXPRESSIONS, rule.into_message()))
    }

    /// Adds elements that must not be there yet, [`Self::MOST_ELEMENTS`] at most.
    pub(crate) fn add_elements(table: &str, set: &str, elements: impl IntoIterator<Item = Element>) -> Self {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        Self::elements(Self::new(libc::NFT_MSG_NEWSETELEM, flags, table), set, elements)
    }

    /// Deletes elements that must be there, [`Self::MOST_ELEMENTS`] at most.
    pub(crate) fn delete_elements(table: &str, set: &str, elements: impl IntoIterator<Item = Element>) -> Self {
        Self::elements(Self::new(libc::NFT_MSG_DELSETELEM, 0, table), set, elements)
    }

    /// How many elements fit into the 64 KiB of a list, with room to spare: one takes 120 bytes at most.
    pub(crate) const MOST_ELEMENTS: usize = 400;

    fn elements(request: Self, set: &str, elements: impl IntoIterator<Item = Element>) -> Self {
        const SET: u16 = 2;
        let add = |list: Message, element: Element| list.nested(LIST_ELEMENT, element.into_message());
        let list = elements.into_iter().fold(Message::default(), add);
        request.with(|body| body.text(SET, set).nested(ELEMENTS | NESTED, list))
    }
}

/// Requests that happen together. `O` tells where a request comes from, for messages about failures.
#[derive(Debug)]
pub(crate) struct Transaction<O> {
    bytes: Vec<u8>,
    /// Where each request begins, and its origin.
    requests: Vec<(usize, O)>,
}

impl<O> Transaction<O> {
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::new();
        let body = Message::default().bytes(&SUBSYSTEM).network_number(libc::NFNL_BATCH_GENID as u16, 0);
        frame(&mut bytes, libc::NFNL_MSG_BATCH_BEGIN as u16, libc::NLM_F_REQUEST, 0, &body);
        Self { bytes, requests: Vec::new() }
    }

    pub(crate) fn push(&mut self, request: &Request, origin: O) {
        self.requests.push((self.bytes.len(), origin));
        let flags = libc::NLM_F_REQUEST | request.flags;
        frame(&mut self.bytes, message_kind(request.message), flags, 0, &request.body);
    }

    /// The bytes to send. `generation` is the one that the rules must have, `sequence` the number of
    /// the first message. Only the last request asks for an acknowledgement: failures are always told.
    pub(super) fn finish(&self, generation: u32, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[GENERATION_AT..GENERATION_AT + 4].copy_from_slice(&generation.to_be_bytes());
        let starts = std::iter::once(0).chain(self.requests.iter().map(|(start, _)| *start));
        for (start, sequence) in starts.zip(sequence..) {
            bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
        }
        if let Some((start, _)) = self.requests.last() {
            let flags = u16::from_ne_bytes([bytes[start + 6], bytes[start + 7]]) | libc::NLM_F_ACK as u16;
            bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        }
        let (kind, end) = (libc::NFNL_MSG_BATCH_END as u16, self.messages() - 1);
        let body = Message::default().bytes(&SUBSYSTEM);
        frame(&mut bytes, kind, libc::NLM_F_REQUEST, sequence + end, &body);
        bytes
    }

    /// Messages, with those of the beginning and the end.
    pub(super) fn messages(&self) -> u32 {
        u32::try_from(self.requests.len() + 2).expect("a transaction fits into memory")
    }

    /// The origin of a request, and which of its elements stands at `offset` of it.
    pub(crate) fn origin(&self, request: usize, offset: Option<usize>) -> Option<(&O, Option<usize>)> {
        let (start, origin) = self.requests.get(request)?;
        Some((origin, offset.and_then(|offset| element_at(&self.bytes[*start..], offset))))
    }
}

/// Number of the element that begins at `offset` of a message.
fn element_at(message: &[u8], offset: usize) -> Option<usize> {
    let length = u32::from_ne_bytes(message.get(..4)?.try_into().ok()?) as usize;
    let at = |part: &[u8]| part.as_ptr() as usize - message.as_ptr() as usize;
    let (_, list) = attributes(message.get(HEADER + 4..length)?).find(|(kind, _)| *kind == ELEMENTS)?;
    // The kernel points at the head of the element's attribute, or at one of those inside.
    attributes(list).position(|(_, element)| (at(element) - 4..at(element) + element.len()).contains(&offset))
}

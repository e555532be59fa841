//! Lists, which may be large: they are written in pieces, each of which is sent as it is.

use super::{Document, Failure, TAIL, Unwritable, check_text, envelope_until_object, fields, find};
use crate::description::GroupVersionKind;
use crate::protobuf::table::Message;
use crate::protobuf::wire;

/// Size of the pieces: a few hundred for the largest lists, and few copies to send one.
const PIECE: usize = 64 * 1024;

/// Number of the items of every list.
const ITEMS: u32 = 2;

/// A list that is written item by item.
#[derive(Debug)]
pub struct List {
    item: &'static Message,
    api_version: String,
    kind: String,
    /// Pieces that are complete, and their size.
    pieces: Vec<Vec<u8>>,
    size: usize,
    last: Vec<u8>,
    document: Document,
}

impl List {
    /// A list of objects of the kind `item` with this metadata, given as JSON, and no items yet.
    ///
    /// # Errors
    /// The kind is not exchanged in protobuf, or the metadata does not fit.
    pub fn new(item: GroupVersionKind<'_>, metadata: &[u8]) -> Result<Self, Unwritable> {
        Self::begin(item, metadata).map_err(|failure| *failure)
    }

    fn begin(item: GroupVersionKind<'_>, metadata: &[u8]) -> Result<Self, Failure> {
        let message = find(item)?;
        let (api_version, kind) = (item.api_version(), format!("{}List", item.kind));
        let list = find(GroupVersionKind { kind: &kind, ..item })?;
        let mut document = Document::default();
        // Every list has its metadata first and then its items.
        let only_metadata = [b"{\"metadata\":", metadata, b"}"].concat();
        let mut last = Vec::with_capacity(PIECE);
        check_text(&only_metadata)?;
        fields(&mut last, list, document.read(&only_metadata, list)?)?;
        Ok(Self { item: message, api_version, kind, pieces: Vec::new(), size: 0, last, document })
    }

    /// Adds an item, which is given as JSON.
    ///
    /// # Errors
    /// It is not JSON, or a value does not fit its field.
    pub fn push(&mut self, item: &[u8]) -> Result<(), Unwritable> {
        // An object is hardly ever longer than its JSON.
        if self.last.capacity() - self.last.len() < item.len() {
            self.close(item.len().max(PIECE));
        }
        self.add(item).map_err(|failure| *failure)
    }

    fn add(&mut self, item: &[u8]) -> Result<(), Failure> {
        check_text(item)?;
        let object = self.document.read(item, self.item)?;
        wire::nested(&mut self.last, ITEMS, |out| fields(out, self.item, object))
    }

    fn close(&mut self, next: usize) {
        let complete = std::mem::replace(&mut self.last, Vec::with_capacity(next));
        self.size += complete.len();
        self.pieces.push(complete);
    }

    /// The list with its envelope, in pieces that follow each other.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.close(0);
        let mut head = Vec::new();
        envelope_until_object(&mut head, &self.api_version, &self.kind);
        wire::head(&mut head, 2, self.size);
        let mut pieces = self.pieces;
        if let Some(last) = pieces.last_mut() {
            last.extend_from_slice(TAIL);
        }
        pieces.insert(0, head);
        pieces
    }
}

//! A set of paths as it is written down, in one walk.

use super::encoded;

/// Whether a path ends at an element whatever is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Yes,
    No,
}

impl From<bool> for Member {
    fn from(is_member: bool) -> Self {
        if is_member { Self::Yes } else { Self::No }
    }
}

/// An element that is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    /// A field, by its name.
    Field(&'a str),
    /// An item of a list, by its text.
    Item(&'a str),
    /// One that is written already, without the quotes.
    Written(&'a [u8]),
}

/// The encoded form of a set of paths, from the first element on: without the braces around it.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) bytes: Vec<u8>,
    /// Nothing was written at this level yet.
    pub(crate) empty: bool,
}

/// An element that was begun.
#[derive(Debug)]
#[must_use = "close it"]
pub(crate) struct Open {
    start: usize,
    /// Behind its brace.
    inside: usize,
    /// Where elements in it begin.
    children: usize,
    member: Member,
    was_empty: bool,
}

impl Paths {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(2048), empty: true }
    }

    /// Begins an element.
    pub(crate) fn open(&mut self, key: Key<'_>, member: Member) -> Open {
        let start = self.bytes.len();
        if !self.empty {
            self.bytes.push(b',');
        }
        match key {
            Key::Field(name) if encoded::is_plain(name) => {
                self.bytes.extend_from_slice(b"\"f:");
                self.bytes.extend_from_slice(name.as_bytes());
                self.bytes.push(b'"');
            }
            Key::Field(name) => encoded::text(&["f:", name].concat(), &mut self.bytes),
            Key::Item(text) => encoded::text(text, &mut self.bytes),
            Key::Written(raw) => [b"\"", raw, b"\""].iter().for_each(|part| self.bytes.extend_from_slice(part)),
        }
        self.bytes.extend_from_slice(b":{");
        let inside = self.bytes.len();
        let was_empty = std::mem::replace(&mut self.empty, member == Member::No);
        if member == Member::Yes {
            self.bytes.extend_from_slice(b"\".\":{}");
        }
        Open { start, inside, children: self.bytes.len(), member, was_empty }
    }

    /// Adds elements that are written already, with all that is in them.
    pub(crate) fn copy(&mut self, elements: &[u8]) {
        if !self.empty {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(elements);
        self.empty = false;
    }

    /// Ends an element. Nothing of it stays if no path ends there and no longer one was written.
    pub(crate) fn close(&mut self, open: Open) {
        match (open.member, self.bytes.len() > open.children) {
            (Member::No, false) => {
                self.bytes.truncate(open.start);
                self.empty = open.was_empty;
                return;
            }
            // A path that only ends here is an empty set.
            (Member::Yes, false) => self.bytes.truncate(open.inside),
            _ => {}
        }
        self.bytes.push(b'}');
        self.empty = false;
    }

    /// Writes an element with what `children` writes.
    pub(crate) fn keyed(&mut self, key: Key<'_>, member: Member, children: impl FnOnce(&mut Self)) {
        let open = self.open(key, member);
        children(self);
        self.close(open);
    }
}

//! JSON text as the messages see it: where each field of an object stands, nothing copied.
//!
//! A text is read along the table of messages. What a message does not know is skipped, what it holds as JSON
//! is not looked into unless it has to be written in another form.

use super::table::Message;
use super::write::{Failure, Unwritable};

mod canonical;
mod read;

pub(super) use read::type_of;

use read::Reader;

/// Marks the end of a list, and the place of a value that is not there.
const NONE: u32 = u32::MAX;

/// A value, by what JSON calls it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'a [u8]),
    Text(&'a [u8]),
    /// Of a field that holds JSON: any value, in its canonical form.
    Json(&'a [u8]),
    List(Items<'a>),
    /// Keys and values by turns, sorted by key.
    Map(Items<'a>),
    Object(Object<'a>),
    /// An object or list where the message wants none.
    Other,
}

/// What was read of a text. Used for one text after the other, it keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
    /// For each object that holds anything, the places of its message: where the value stands among the nodes.
    places: Vec<u32>,
    /// What is not in the text as it is meant: strings with escapes, JSON in another form than the canonical.
    owned: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    form: Form,
    /// From the text, or of what is owned; a list's first item; an object's first place.
    start: u32,
    /// Up to where; an object's number of places.
    end: u32,
    /// The next item of the list.
    next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Null,
    True,
    False,
    Number,
    Text,
    OwnedText,
    Json,
    OwnedJson,
    List,
    Map,
    Object,
    Other,
}

impl Document {
    /// Reads a text that is one object of this message.
    pub(super) fn read<'a>(&'a mut self, text: &'a [u8], message: &'static Message) -> Result<Object<'a>, Failure> {
        if u32::try_from(text.len()).is_err() {
            return Err(Unwritable::Malformed { offset: 0, problem: "too long" }.into());
        }
        // About one value for so many bytes, and a few places for each.
        self.nodes.clear();
        self.nodes.reserve(text.len() / 16);
        self.places.clear();
        self.places.reserve(text.len() / 8);
        self.owned.clear();
        let root = Reader::new(text, self).whole(message)?;
        let document = &*self;
        Ok(Object { source: Source { text, document }, places: document.places_of(document.nodes[root as usize]) })
    }

    fn places_of(&self, object: Node) -> &[u32] {
        &self.places[object.start as usize..][..object.end as usize]
    }
}

/// The text of a document, and what was read of it.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    text: &'a [u8],
    document: &'a Document,
}

impl<'a> Source<'a> {
    #[inline(always)]
    fn value(self, index: u32) -> Value<'a> {
        let Self { text, document } = self;
        let node = document.nodes[index as usize];
        let range = node.start as usize..node.end as usize;
        match node.form {
            Form::Null => Value::Null,
            Form::True => Value::Bool(true),
            Form::False => Value::Bool(false),
            Form::Number => Value::Number(&text[range]),
            Form::Text => Value::Text(&text[range]),
            Form::OwnedText => Value::Text(&document.owned[range]),
            Form::Json => Value::Json(&text[range]),
            Form::OwnedJson => Value::Json(&document.owned[range]),
            Form::List => Value::List(Items { source: self, next: node.start }),
            Form::Map => Value::Map(Items { source: self, next: node.start }),
            Form::Object => Value::Object(Object { source: self, places: document.places_of(node) }),
            Form::Other => Value::Other,
        }
    }
}

/// An object: the values of its message's fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    source: Source<'a>,
    places: &'a [u32],
}

impl<'a> Object<'a> {
    /// The value at a place, if it is there and not null.
    #[inline]
    pub(super) fn at(self, place: usize) -> Option<Value<'a>> {
        let index = *self.places.get(place)?;
        (index != NONE).then(|| self.source.value(index))
    }

    /// The part of the object that is a message of its own, without a name.
    pub(super) fn part(self, place: usize, message: &Message) -> Self {
        Self { places: self.places.get(place..place + message.places).unwrap_or_default(), ..self }
    }
}

/// The values of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items<'a> {
    source: Source<'a>,
    next: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.next == NONE {
            return None;
        }
        let value = self.source.value(self.next);
        self.next = self.source.document.nodes[self.next as usize].next;
        Some(value)
    }
}

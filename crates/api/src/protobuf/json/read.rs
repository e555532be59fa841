//! From text to the places of its values.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::{Number, Value as Tree};

use super::{Document, Form, NONE, Node, Source, Value, canonical};
use crate::protobuf::table::{self, Instead, Key, Kind, Label, Message, Name};
use crate::protobuf::write::{Failure, Unwritable};

/// Objects inside each other, as `serde_json` has them.
const DEPTH: usize = 128;

/// The names in an object that say its kind, `apiVersion` and `kind`; empty if they are not there.
pub(in crate::protobuf) fn type_of(text: &[u8]) -> Result<[String; 2], Failure> {
    let mut document = Document::default();
    let mut reader = Reader::new(text, &mut document);
    let (mut api_version, mut kind) = (None, None);
    if reader.peek()? != b'{' {
        return Err(reader.malformed("not an object"));
    }
    let mut more = reader.open(b'}')?;
    while more && (api_version.is_none() || kind.is_none()) {
        let found = match &*reader.key()?.unescaped(text)? {
            b"apiVersion" => Some(&mut api_version),
            b"kind" => Some(&mut kind),
            _ => None,
        };
        match found {
            Some(found) if reader.peek()? == b'"' => *found = Some(reader.string()?.unescaped(text)?),
            _ => reader.skip()?,
        }
        more = reader.more(b'}')?;
    }
    let name = |found: Option<Cow<'_, [u8]>>| String::from_utf8(found.unwrap_or_default().into_owned());
    // Parts of a text are text.
    Ok([name(api_version).unwrap_or_default(), name(kind).unwrap_or_default()])
}

/// A string without its quotes.
#[derive(Clone, Copy)]
struct Quoted {
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl Quoted {
    fn unescaped(self, text: &[u8]) -> Result<Cow<'_, [u8]>, Failure> {
        if !self.has_escapes {
            return Ok(Cow::Borrowed(&text[self.start..self.end]));
        }
        let unescaped = serde_json::from_slice(&text[self.start - 1..=self.end]);
        unescaped.map(|text: String| Cow::Owned(text.into_bytes())).map_err(|_| {
            let problem = "illegal escape";
            Unwritable::Malformed { offset: self.start, problem }.into()
        })
    }
}

/// Reads a text from its beginning to its end.
pub(super) struct Reader<'a> {
    text: &'a [u8],
    position: usize,
    document: &'a mut Document,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8], document: &'a mut Document) -> Self {
        Self { text, position: 0, document }
    }

    /// The text as an object of this message: its node.
    pub(super) fn whole(mut self, message: &'static Message) -> Result<u32, Failure> {
        if self.peek()? != b'{' {
            return Err(self.malformed("not an object"));
        }
        let root = self.object(message, DEPTH)?;
        self.end()?;
        Ok(root)
    }

    #[cold]
    fn malformed(&self, problem: &'static str) -> Failure {
        Unwritable::Malformed { offset: self.position, problem }.into()
    }

    /// Goes to what is not white space.
    #[inline]
    fn peek(&mut self) -> Result<u8, Failure> {
        match self.text.get(self.position) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Result<u8, Failure> {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let rest = &self.text[self.position..];
        self.position += rest.iter().take_while(is_space).count();
        self.text.get(self.position).copied().ok_or_else(|| self.malformed("unexpected end"))
    }

    /// Nothing follows.
    fn end(&mut self) -> Result<(), Failure> {
        match self.peek() {
            Ok(_) => Err(self.malformed("something follows the object")),
            Err(_) => Ok(()),
        }
    }

    /// Steps into an object or list. Whether it holds anything.
    #[inline]
    fn open(&mut self, close: u8) -> Result<bool, Failure> {
        self.position += 1;
        let holds = self.peek()? != close;
        self.position += usize::from(!holds);
        Ok(holds)
    }

    /// Goes on after a value. Whether an object or list holds another one.
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool, Failure> {
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(self.malformed("neither a comma nor the end of the object or list"));
        }
        self.position += 1;
        Ok(byte == b',')
    }

    /// Reads a key and goes to its value.
    #[inline(always)]
    fn key(&mut self) -> Result<Quoted, Failure> {
        if self.peek()? != b'"' {
            return Err(self.malformed("a key is expected"));
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(self.malformed("a colon is expected"));
        }
        self.position += 1;
        Ok(key)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Quoted, Failure> {
        let bytes = self.text;
        let start = self.position + 1;
        let (mut at, mut has_escapes) = (start, false);
        loop {
            at = canonical::special(bytes, at).ok_or_else(|| self.malformed("a string without an end"))?;
            match bytes[at] {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    at += 2;
                }
                _ => return Err(self.malformed("a control character in a string")),
            }
        }
        self.position = at + 1;
        Ok(Quoted { start, end: at, has_escapes })
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Failure> {
        if !self.text[self.position..].starts_with(word) {
            return Err(self.malformed("a value is expected"));
        }
        self.position += word.len();
        Ok(())
    }

    /// Goes behind a value that nobody wants.
    fn skip(&mut self) -> Result<(), Failure> {
        self.peek()?;
        if let Some(end) = canonical::end(self.text, self.position) {
            self.position = end;
            return Ok(());
        }
        self.deserialize::<IgnoredAny>().map(|_| ())
    }

    fn deserialize<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut stream = serde_json::Deserializer::from_slice(&self.text[self.position..]).into_iter();
        match stream.next() {
            Some(Ok(value)) => {
                self.position += stream.byte_offset();
                Ok(value)
            }
            _ => Err(self.malformed("a value is malformed or too deep")),
        }
    }

    #[inline]
    fn push(&mut self, form: Form, start: usize, end: usize) -> u32 {
        // The text is shorter than 4 GiB, and nothing is longer than it.
        self.document.nodes.push(Node { form, start: start as u32, end: end as u32, next: NONE });
        (self.document.nodes.len() - 1) as u32
    }

    fn object(&mut self, message: &'static Message, depth: usize) -> Result<u32, Failure> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.malformed("exceeded max depth"))?;
        let mut more = self.open(b'}')?;
        if !more {
            return Ok(self.push(Form::Object, 0, 0));
        }
        let first = self.document.places.len();
        self.document.places.resize(first + message.places, NONE);
        let mut next = 0;
        while more {
            let key = self.key()?;
            let name = if key.has_escapes {
                message.name(Key::new(&key.unescaped(self.text)?), &mut next)
            } else {
                let text = &self.text[key.start..];
                message.name(Key::at_start_of(text, key.end - key.start), &mut next)
            };
            match name {
                Some(name) => {
                    let place = first + name.place;
                    if self.document.places[place] != NONE {
                        let problem = "duplicate";
                        return Err(Unwritable::Value { message: message.name, field: name.text, problem }.into());
                    }
                    self.document.places[place] = self.field(name, depth)?;
                }
                None => self.skip()?,
            }
            more = self.more(b'}')?;
        }
        Ok(self.push(Form::Object, first, message.places))
    }

    /// The value of a field; nothing if it is null.
    fn field(&mut self, name: &Name, depth: usize) -> Result<u32, Failure> {
        match (name.label, self.peek()?) {
            (_, b'n') => self.literal(b"null").map(|()| NONE),
            (Label::Once, byte) => self.value(name.kind, byte, depth),
            (Label::List, b'[') => self.list(name.kind, depth),
            (Label::Map, b'{') => self.map(name.kind, depth),
            _ => self.skip().map(|()| self.push(Form::Other, 0, 0)),
        }
    }

    /// A value that begins with this byte.
    fn value(&mut self, kind: Kind, byte: u8, depth: usize) -> Result<u32, Failure> {
        match (kind, byte) {
            (Kind::Json, _) => self.json(),
            (_, b'"') => self.text(),
            (_, b'n') => self.literal(b"null").map(|()| self.push(Form::Null, 0, 0)),
            (_, b't') => self.literal(b"true").map(|()| self.push(Form::True, 0, 0)),
            (_, b'f') => self.literal(b"false").map(|()| self.push(Form::False, 0, 0)),
            (_, b'-' | b'0'..=b'9') => self.number(),
            (Kind::Message(inner), b'{') => self.object(table::builtin().at(inner), depth),
            (Kind::Schema(_), b'{') => self.object(table::builtin().schema(), depth),
            // Its items are schemas, not lists of them.
            (Kind::Schema(Instead::Schemas), b'[') => self.list(Kind::Schema(Instead::Bool), depth),
            (Kind::Strings | Kind::Schema(Instead::Strings), b'[') => self.list(Kind::String, depth),
            (_, b'{' | b'[') => self.skip().map(|()| self.push(Form::Other, 0, 0)),
            _ => Err(self.malformed("a value is expected")),
        }
    }

    fn list(&mut self, kind: Kind, depth: usize) -> Result<u32, Failure> {
        let (mut first, mut last) = (NONE, NONE);
        let mut more = self.open(b']')?;
        while more {
            let byte = self.peek()?;
            let item = self.value(kind, byte, depth)?;
            self.chain(item, &mut first, &mut last);
            more = self.more(b']')?;
        }
        Ok(self.push(Form::List, first as usize, 0))
    }

    /// Adds an item to a list.
    #[inline]
    fn chain(&mut self, index: u32, first: &mut u32, last: &mut u32) {
        match self.document.nodes.get_mut(*last as usize) {
            Some(last) => last.next = index,
            None => *first = index,
        }
        *last = index;
    }

    fn map(&mut self, kind: Kind, depth: usize) -> Result<u32, Failure> {
        let (mut first, mut last) = (NONE, NONE);
        let (mut is_sorted, mut before) = (true, NONE);
        let mut more = self.open(b'}')?;
        while more {
            let key = self.key()?;
            let key = self.unquoted(key)?;
            self.chain(key, &mut first, &mut last);
            is_sorted &= before == NONE || self.key_at(before) < self.key_at(last);
            before = last;
            let byte = self.peek()?;
            let value = self.value(kind, byte, depth)?;
            self.chain(value, &mut first, &mut last);
            more = self.more(b'}')?;
        }
        if !is_sorted {
            first = self.sort(first)?;
        }
        Ok(self.push(Form::Map, first as usize, 0))
    }

    fn key_at(&self, index: u32) -> &[u8] {
        match (Source { text: self.text, document: self.document }).value(index) {
            Value::Text(key) => key,
            _ => b"",
        }
    }

    /// Brings the keys of a map in order.
    fn sort(&mut self, first: u32) -> Result<u32, Failure> {
        let next = |document: &Document, index: u32| document.nodes[index as usize].next;
        let (mut pairs, mut index) = (Vec::new(), first);
        while index != NONE {
            let value = next(self.document, index);
            pairs.push((index, value));
            index = next(self.document, value);
        }
        pairs.sort_by(|left, right| self.key_at(left.0).cmp(self.key_at(right.0)));
        if pairs.windows(2).any(|pair| self.key_at(pair[0].0) == self.key_at(pair[1].0)) {
            return Err(self.malformed("duplicate keys in the object before"));
        }
        let mut next = NONE;
        for (key, value) in pairs.into_iter().rev() {
            self.document.nodes[value as usize].next = next;
            next = key;
        }
        Ok(next)
    }

    fn text(&mut self) -> Result<u32, Failure> {
        let string = self.string()?;
        self.unquoted(string)
    }

    #[inline]
    fn unquoted(&mut self, string: Quoted) -> Result<u32, Failure> {
        if !string.has_escapes {
            return Ok(self.push(Form::Text, string.start, string.end));
        }
        let unescaped = string.unescaped(self.text)?;
        Ok(self.own(Form::OwnedText, &unescaped))
    }

    fn own(&mut self, form: Form, text: &[u8]) -> u32 {
        let start = self.document.owned.len();
        self.document.owned.extend_from_slice(text);
        let end = self.document.owned.len();
        self.push(form, start, end)
    }

    fn number(&mut self) -> Result<u32, Failure> {
        let start = self.position;
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        self.position += self.text[start..].iter().take_while(is_part).count();
        let text = &self.text[start..self.position];
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let is_plain = (1..=18).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit)
            && (digits[0] != b'0' || digits.len() == 1);
        if !is_plain && serde_json::from_slice::<Number>(text).is_err() {
            return Err(Unwritable::Malformed { offset: start, problem: "not a number" }.into());
        }
        Ok(self.push(Form::Number, start, self.position))
    }

    /// Any value, to be written as JSON.
    fn json(&mut self) -> Result<u32, Failure> {
        let start = self.position;
        if let Some(end) = canonical::end(self.text, start) {
            self.position = end;
            return Ok(self.push(Form::Json, start, end));
        }
        let value: Tree = self.deserialize()?;
        Ok(self.own(Form::OwnedJson, value.to_string().as_bytes()))
    }
}

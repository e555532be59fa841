//! The table of messages.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::wire;
use crate::description::GroupVersionKind;

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

const MESSAGES: &str = include_str!("../generated/messages.txt");

/// All messages.
#[derive(Debug)]
pub(super) struct Table {
    messages: Vec<Message>,
    by_kind: HashMap<GroupVersionKind<'static>, usize>,
    /// The schema inside a custom resource definition, which some simple types hold.
    schema: usize,
}

/// A message: an object, or a part of one.
#[derive(Debug)]
pub(super) struct Message {
    /// Name of its definition, for example `io.k8s.api.core.v1.Pod`.
    pub(super) name: &'static str,
    /// Sorted by number.
    pub(super) fields: Vec<Field>,
    /// Names of all fields that JSON has in the same object, sorted: for a message without a name, those of it.
    names: Vec<Name>,
    /// The beginning of each name: see [`Key`].
    prefixes: Vec<u64>,
    /// Places that an object of this kind needs for its values.
    pub(super) places: usize,
}

/// What an object may hold under a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) text: &'static str,
    /// Where the value goes among the places of the object.
    pub(super) place: usize,
    pub(super) label: Label,
    pub(super) kind: Kind,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Name in JSON; `None` for a message whose fields are those of the object around it.
    pub(super) name: Option<&'static str>,
    /// Whether it may be absent; everything else but lists, maps and bytes is always written.
    pub(super) is_optional: bool,
    /// Whether JSON shows it even if it is zero.
    pub(super) keeps_zero: bool,
    pub(super) label: Label,
    pub(super) kind: Kind,
    /// Its place among those of the object; of a message without a name, the first of its own places.
    pub(super) place: usize,
    /// What is written where the object says nothing.
    pub(super) zero: Box<[u8]>,
}

/// How often a field appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Once,
    List,
    /// With text as keys.
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    /// A message with seconds and nanoseconds.
    Time,
    /// The same, written with microseconds.
    MicroTime,
    /// A message with nanoseconds.
    Duration,
    /// A message with text.
    Quantity,
    /// A message with a type, a number and text.
    IntOrString,
    /// A message with JSON in bytes.
    Json,
    /// A message with a list of text, which is that list.
    Strings,
    /// A schema, or something simpler in its place.
    Schema(Instead),
    /// A message of the table.
    Message(usize),
}

/// What a schema may be replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// Whether anything is allowed.
    Bool,
    /// One schema per item.
    Schemas,
    /// Names of other fields.
    Strings,
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        let index = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some(&self.fields[index])
    }

    /// What a key of an object stands for. The keys of an object are in order, nearly always: `next` is where
    /// the search for the one before ended.
    #[inline]
    pub(super) fn name(&self, key: Key<'_>, next: &mut usize) -> Option<&Name> {
        let mut index = *next;
        while self.prefixes.get(index).is_some_and(|prefix| *prefix < key.prefix) {
            index += 1;
        }
        while self.prefixes.get(index) == Some(&key.prefix) {
            let name = &self.names[index];
            index += 1;
            if key.is(name.text) {
                *next = index;
                return Some(name);
            }
        }
        // It is not known, or out of order.
        let index = self.names.binary_search_by(|name| name.text.as_bytes().cmp(key.text)).ok()?;
        *next = index + 1;
        Some(&self.names[index])
    }
}

/// A key of an object, with its first eight bytes as a number: those tell most keys apart.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    text: &'a [u8],
    prefix: u64,
}

impl<'a> Key<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut first = [0; 8];
        let size = text.len().min(8);
        first[..size].copy_from_slice(&text[..size]);
        Self { text, prefix: u64::from_be_bytes(first) }
    }

    /// The key of so many bytes at the beginning of a text.
    #[inline]
    pub(super) fn at_start_of(text: &'a [u8], size: usize) -> Self {
        let Some(first) = text.first_chunk::<8>().filter(|_| size > 0) else { return Self::new(&text[..size]) };
        let not_of_it = 8 * 8_usize.saturating_sub(size);
        let prefix = u64::from_be_bytes(*first) >> not_of_it << not_of_it;
        Self { text: &text[..size], prefix }
    }

    /// Whether it is a name that begins as it does.
    #[inline]
    fn is(self, name: &str) -> bool {
        name.len() == self.text.len() && name.as_bytes().get(8..) == self.text.get(8..)
    }
}

impl Table {
    /// The message of a kind.
    pub(super) fn message(&self, kind: GroupVersionKind<'_>) -> Option<&Message> {
        self.by_kind.get(&kind).map(|index| &self.messages[*index])
    }

    /// The message of the schema inside a custom resource definition.
    pub(super) fn schema(&self) -> &Message {
        &self.messages[self.schema]
    }

    /// A message that a field refers to.
    pub(super) fn at(&self, index: usize) -> &Message {
        &self.messages[index]
    }
}

/// The table that is built in.
///
/// It is compiled in and every line of it is read by the tests, so a malformed line is a bug of the
/// generator and panics.
pub(super) fn builtin() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(MESSAGES))
}

/// Messages and those of their fields that JSON leaves out if there is nothing in them.
///
/// It is read from the text: every process asks, and few of them need the table.
pub(super) fn left_out_if_empty() -> Vec<(&'static str, &'static str)> {
    let (mut message, mut found, mut inlined) = ("", Vec::new(), Vec::new());
    for line in MESSAGES.lines() {
        let mut words = line.trim_start().split(' ');
        match (line.starts_with(' '), words.next(), words.next(), words.next()) {
            (false, Some(name), ..) => message = name,
            (true, _, Some("-"), Some(inner)) => inlined.push((message, inner.trim_start_matches('&'))),
            (true, _, Some(name), Some(kind)) if is_left_out_if_empty(name, kind) => found.push((message, name)),
            _ => {}
        }
    }
    let direct = found.clone();
    for &(outer, inner) in &inlined {
        let mut inside = vec![inner];
        while let Some(inner) = inside.pop() {
            found.extend(direct.iter().filter(|(message, _)| *message == inner).map(|(_, name)| (outer, *name)));
            inside.extend(inlined.iter().filter(|(message, _)| *message == inner).map(|(_, inner)| *inner));
        }
    }
    found
}

/// Whether JSON leaves out a field if it is a zero, an empty text or an empty list or map. Objects and what has a form
/// of its own, such as a quantity, are always something.
fn is_left_out_if_empty(name: &str, kind: &str) -> bool {
    let is_many = kind.starts_with("[]") || kind.starts_with("{}");
    let is_simple = matches!(kind, "bool" | "bytes" | "double" | "int32" | "int64" | "string");
    !name.ends_with(['*', '!']) && (is_many || is_simple)
}

fn read(text: &'static str) -> Table {
    let heads: Vec<&'static str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    let mut by_name: HashMap<&'static str, usize> = HashMap::with_capacity(heads.len());
    let mut by_kind = HashMap::with_capacity(heads.len());
    for (index, head) in heads.iter().enumerate() {
        let mut words = head.split(' ');
        by_name.insert(words.next().unwrap_or_default(), index);
        by_kind.extend(words.map(|kind| (kind_of(kind), index)));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(heads.len());
    for line in text.lines() {
        match line.strip_prefix(' ') {
            None => {
                let name = line.split(' ').next().unwrap_or_default();
                messages.push(Message { name, fields: Vec::new(), names: Vec::new(), prefixes: Vec::new(), places: 0 });
            }
            Some(line) => {
                let message = messages.last_mut().expect("a message comes before its fields");
                message.fields.push(field(line, &by_name));
            }
        }
    }
    let mut zeros = vec![None; messages.len()];
    for index in 0..messages.len() {
        give_places(&mut messages, index);
        zero_of(&mut messages, &mut zeros, index);
    }
    let schema = *by_name.get(SCHEMA).expect("the table has the schema of custom resources");
    Table { messages, by_kind, schema }
}

/// A kind that is written `apps/v1/Deployment`.
fn kind_of(text: &'static str) -> GroupVersionKind<'static> {
    let (api_version, kind) = text.rsplit_once('/').expect("a kind follows its version");
    GroupVersionKind::from_api_version(api_version, kind)
}

fn field(line: &'static str, by_name: &HashMap<&'static str, usize>) -> Field {
    let mut words = line.split(' ');
    let (Some(number), Some(name), Some(kind), None) = (words.next(), words.next(), words.next(), words.next()) else {
        panic!("malformed line {line:?}");
    };
    let (label, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
        (Some(kind), _) => (Label::List, kind),
        (_, Some(kind)) => (Label::Map, kind),
        _ => (Label::Once, kind),
    };
    let kind = match kind {
        "string" => Kind::String,
        "bool" => Kind::Bool,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "time" => Kind::Time,
        "micro-time" => Kind::MicroTime,
        "duration" => Kind::Duration,
        "quantity" => Kind::Quantity,
        "int-or-string" => Kind::IntOrString,
        "json" => Kind::Json,
        "strings" => Kind::Strings,
        "schema-or-bool" => Kind::Schema(Instead::Bool),
        "schema-or-list" => Kind::Schema(Instead::Schemas),
        "schema-or-strings" => Kind::Schema(Instead::Strings),
        reference => {
            let index = reference.strip_prefix('&').and_then(|name| by_name.get(name));
            Kind::Message(*index.unwrap_or_else(|| panic!("unknown type {reference}")))
        }
    };
    Field {
        number: number.parse().unwrap_or_else(|_| panic!("malformed line {line:?}")),
        name: (name != "-").then(|| name.trim_end_matches(['*', '!'])),
        is_optional: name.contains('*'),
        keeps_zero: name.ends_with(['*', '!']),
        label,
        kind,
        place: 0,
        zero: Box::default(),
    }
}

/// Gives the fields of a message their places and collects their names.
fn give_places(messages: &mut [Message], index: usize) {
    if messages[index].places > 0 {
        return;
    }
    let (mut places, mut names) = (0, Vec::new());
    for field in 0..messages[index].fields.len() {
        messages[index].fields[field].place = places;
        let &Field { name, label, kind, .. } = &messages[index].fields[field];
        match (name, kind) {
            (Some(text), _) => {
                names.push(Name { text, place: places, label, kind });
                places += 1;
            }
            (None, Kind::Message(inner)) => {
                give_places(messages, inner);
                let inner = &messages[inner];
                names.extend(inner.names.iter().map(|name| Name { place: places + name.place, ..*name }));
                places += inner.places;
            }
            (None, _) => panic!("{} has a field without a name that is no message", messages[index].name),
        }
    }
    names.sort_unstable_by_key(|name| name.text);
    let message = &mut messages[index];
    message.prefixes = names.iter().map(|name| Key::new(name.text.as_bytes()).prefix).collect();
    (message.places, message.names) = (places, names);
}

/// What is written for a message of which nothing is said. Notes the same of its fields.
fn zero_of(messages: &mut [Message], zeros: &mut [Option<Box<[u8]>>], index: usize) -> Box<[u8]> {
    if let Some(zero) = &zeros[index] {
        return zero.clone();
    }
    let mut all = Vec::new();
    for field in 0..messages[index].fields.len() {
        let &Field { number, is_optional, label, kind, .. } = &messages[index].fields[field];
        let mut zero = Vec::new();
        if label == Label::Once && !is_optional {
            match kind {
                // These three say themselves whether they are there.
                Kind::Bytes | Kind::Strings | Kind::Schema(_) => {}
                Kind::Bool | Kind::Int32 | Kind::Int64 => wire::integer(&mut zero, number, 0),
                Kind::Double => wire::double(&mut zero, number, 0.0),
                Kind::String | Kind::Time | Kind::MicroTime | Kind::Json => wire::bytes(&mut zero, number, b""),
                Kind::Duration => wire::message(&mut zero, number, |out| wire::integer(out, 1, 0)),
                Kind::Quantity => wire::wrapped(&mut zero, number, b"0"),
                Kind::IntOrString => wire::int_or_string(&mut zero, number, Ok(0)),
                Kind::Message(inner) => wire::bytes(&mut zero, number, &zero_of(messages, zeros, inner)),
            }
        }
        all.extend_from_slice(&zero);
        messages[index].fields[field].zero = zero.into();
    }
    let zero: Box<[u8]> = all.into();
    zeros[index] = Some(zero.clone());
    zero
}

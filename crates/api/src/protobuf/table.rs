//! The table of messages.

use std::collections::HashMap;
use std::sync::OnceLock;

/// All messages.
#[derive(Debug)]
pub(super) struct Table {
    messages: Vec<Message>,
    by_name: HashMap<&'static str, usize>,
}

/// A message: an object, or a part of one.
#[derive(Debug)]
pub(super) struct Message {
    /// Name of its definition, for example `io.k8s.api.core.v1.Pod`.
    pub(super) name: &'static str,
    /// Sorted by number.
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Name in JSON; `None` for a message whose fields are those of the object around it.
    pub(super) name: Option<&'static str>,
    /// Whether zero differs from absence.
    pub(super) keeps_zero: bool,
    pub(super) label: Label,
    pub(super) kind: Kind,
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
    /// A message with text.
    Quantity,
    /// A message with a type, a number and text.
    IntOrString,
    /// A message with JSON in bytes.
    Json,
    /// A message with a list of text, which is that list.
    Strings,
    /// A message of the table.
    Message(usize),
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        let index = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some(&self.fields[index])
    }
}

impl Table {
    pub(super) fn message(&self, name: &str) -> Option<&Message> {
        self.by_name.get(name).map(|index| &self.messages[*index])
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
    TABLE.get_or_init(|| read(include_str!("../generated/messages.txt")))
}

fn read(text: &'static str) -> Table {
    let names = text.lines().filter(|line| !line.starts_with(' '));
    let by_name: HashMap<&'static str, usize> = names.enumerate().map(|(index, name)| (name, index)).collect();
    let mut messages: Vec<Message> = Vec::with_capacity(by_name.len());
    for line in text.lines() {
        match line.strip_prefix(' ') {
            None => messages.push(Message { name: line, fields: Vec::new() }),
            Some(line) => {
                let message = messages.last_mut().expect("a message comes before its fields");
                message.fields.push(field(line, &by_name));
            }
        }
    }
    Table { messages, by_name }
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
        "quantity" => Kind::Quantity,
        "int-or-string" => Kind::IntOrString,
        "json" => Kind::Json,
        "strings" => Kind::Strings,
        reference => {
            let index = reference.strip_prefix('&').and_then(|name| by_name.get(name));
            Kind::Message(*index.unwrap_or_else(|| panic!("unknown type {reference}")))
        }
    };
    Field {
        number: number.parse().unwrap_or_else(|_| panic!("malformed line {line:?}")),
        name: (name != "-").then(|| name.trim_end_matches('!')),
        keeps_zero: name.ends_with('!'),
        label,
        kind,
    }
}

//! The table of messages.

use std::collections::HashMap;
use std::sync::OnceLock;

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// All messages.
#[derive(Debug)]
pub(super) struct Table {
    messages: Vec<Message>,
    /// By group, version and kind, written `apps/v1/Deployment`.
    by_kind: HashMap<&'static str, usize>,
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
}

impl Table {
    /// The message of a kind, written `apps/v1/Deployment`.
    pub(super) fn message(&self, kind: &str) -> Option<&Message> {
        self.by_kind.get(kind).map(|index| &self.messages[*index])
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
    TABLE.get_or_init(|| read(include_str!("../generated/messages.txt")))
}

fn read(text: &'static str) -> Table {
    let heads: Vec<&'static str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    let mut by_name: HashMap<&'static str, usize> = HashMap::with_capacity(heads.len());
    let mut by_kind: HashMap<&'static str, usize> = HashMap::with_capacity(heads.len());
    for (index, head) in heads.iter().enumerate() {
        let mut words = head.split(' ');
        by_name.insert(words.next().unwrap_or_default(), index);
        by_kind.extend(words.map(|kind| (kind, index)));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(heads.len());
    for line in text.lines() {
        match line.strip_prefix(' ') {
            None => {
                let name = line.split(' ').next().unwrap_or_default();
                messages.push(Message { name, fields: Vec::new() });
            }
            Some(line) => {
                let message = messages.last_mut().expect("a message comes before its fields");
                message.fields.push(field(line, &by_name));
            }
        }
    }
    let schema = *by_name.get(SCHEMA).expect("the table has the schema of custom resources");
    Table { messages, by_kind, schema }
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
    }
}

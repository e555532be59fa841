//! Values of expressions.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use portolan_api::quantity::Quantity;
use serde_json::Value as Json;

use crate::authorizer::{Asked, Authorizer, Decided};
use crate::library::cidr::Cidr;
use crate::library::format::Format;
use crate::library::url::Url;
use crate::moment::Moment;
use crate::schema::{Merge, Object, Schema};

/// A value. Objects and lists from JSON are not copied, and read only as far as an expression goes.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number with sign
    Int(i64),
    /// A number without sign
    Uint(u64),
    /// A floating point number
    Double(f64),
    /// Text
    String(Text<'a>),
    /// Bytes
    Bytes(Arc<[u8]>),
    /// Nanoseconds
    Duration(i64),
    /// A point in time
    Timestamp(Moment),
    /// A list
    List(List<'a>),
    /// A map or an object
    Map(Map<'a>),
    /// A value that may be missing
    Optional(Option<Arc<Value<'a>>>),
    /// A type, by its name
    Type(Arc<str>),
    /// `kubernetes.URL`
    Url(Arc<Url>),
    /// `net.IP`
    Ip(IpAddr),
    /// `net.CIDR`
    Cidr(Cidr),
    /// `kubernetes.Quantity`
    Quantity(Quantity),
    /// `kubernetes.Semver`
    Semver(Arc<semver::Version>),
    /// `kubernetes.NamedFormat`
    Format(Format),
    /// `kubernetes.authorization.Authorizer`
    Authorizer(&'a dyn Authorizer),
    /// What is asked of an authorizer, as far as it has been said.
    Asked(&'a dyn Authorizer, Arc<Asked>),
    /// What an authorizer said.
    Decided(Arc<Decided>),
}

/// A text, borrowed or shared.
#[derive(Clone)]
pub enum Text<'a> {
    /// A part of the input
    Borrowed(&'a str),
    /// Made by the expression
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

/// A list.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// From JSON, with the schema of an element
    Json(&'a [Json], Arc<Schema>),
    /// Made by the expression
    Made(Arc<Vec<Value<'a>>>, Merge),
}

impl<'a> List<'a> {
    pub(crate) fn made(items: Vec<Value<'a>>) -> Self {
        Self::Made(Arc::new(items), Merge::Atomic)
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items, _) => items.len(),
            Self::Made(items, _) => items.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items, schema) => Some(match &schema.kind {
                crate::schema::Kind::List(items_schema, _) => Value::of(items.get(index)?, items_schema),
                _ => Value::any(items.get(index)?),
            }),
            Self::Made(items, _) => items.get(index).cloned(),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(crate) fn merge(&self) -> &Merge {
        match self {
            Self::Json(_, schema) => match &schema.kind {
                crate::schema::Kind::List(_, merge) => merge,
                _ => &Merge::Atomic,
            },
            Self::Made(_, merge) => merge,
        }
    }
}

/// A key of a map. Numbers are the same key whatever their type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A truth value
    Bool(bool),
    /// A whole number
    Number(i128),
    /// A text
    String(Arc<str>),
}

/// A map that an expression made: from a key to the key as it was given and the value.
pub type Entries<'a> = BTreeMap<Key, (Value<'a>, Value<'a>)>;

/// A map or an object.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// A map from JSON, with the schema of its values
    Json(&'a serde_json::Map<String, Json>, Arc<Schema>),
    /// An object from JSON
    Object(&'a serde_json::Map<String, Json>, Arc<Object>),
    /// Made by the expression
    Made(Arc<Entries<'a>>),
    /// An object that the expression built
    Struct(Arc<str>, Arc<Entries<'a>>),
}

impl<'a> Map<'a> {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(fields, _) => fields.len(),
            Self::Object(fields, object) => object.fields.values().filter(|f| fields.contains_key(&f.name)).count(),
            Self::Made(entries) | Self::Struct(_, entries) => entries.len(),
        }
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field, by its name in expressions.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(fields, values) => fields.get(name).map(|value| Value::of(value, values)),
            Self::Object(fields, object) => {
                let field = object.fields.get(name)?;
                // As upstream: a field that is null is as good as absent.
                let value = fields.get(&field.name).filter(|value| !value.is_null())?;
                Some(Value::of(value, &field.schema))
            }
            Self::Made(entries) | Self::Struct(_, entries) => {
                entries.get(&Key::String(name.into())).map(|(_, value)| value.clone())
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match self {
            Self::Made(entries) | Self::Struct(_, entries) => {
                key.as_key().and_then(|key| entries.get(&key).map(|(_, value)| value.clone()))
            }
            _ => match key {
                Value::String(name) => self.field(name),
                _ => None,
            },
        }
    }

    /// Keys and values.
    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        let named = |name: &'a str, value| (Value::String(Text::Borrowed(name)), value);
        match self {
            Self::Json(fields, values) => {
                fields.iter().map(|(name, value)| named(name, Value::of(value, values))).collect()
            }
            Self::Object(fields, object) => {
                let known = object.fields.iter().filter_map(|(escaped, field)| {
                    let value = Value::of(fields.get(&field.name)?, &field.schema);
                    Some((Value::from(escaped.as_str()).into_owned_text(), value))
                });
                known.collect()
            }
            Self::Made(entries) | Self::Struct(_, entries) => entries.values().cloned().collect(),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Text::Shared(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(List::made(items))
    }

    pub(crate) fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The same text without a tie to where it came from; other values as they are.
    pub(crate) fn into_owned_text<'b>(self) -> Value<'b> {
        match self {
            Value::String(text) => Value::String(Text::Shared(Arc::from(&*text))),
            _ => Value::Null,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_key(&self) -> Option<Key> {
        match self {
            Self::Bool(value) => Some(Key::Bool(*value)),
            Self::Int(value) => Some(Key::Number((*value).into())),
            Self::Uint(value) => Some(Key::Number((*value).into())),
            Self::String(text) => Some(Key::String(Arc::from(&**text))),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 1e18 => Some(Key::Number(*value as i128)),
            _ => None,
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(Map::Object(_, object)) => &object.name,
            Self::Map(Map::Struct(name, _)) => name,
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(_) => crate::authorizer::AUTHORIZER,
            Self::Asked(_, asked) => asked.type_name(),
            Self::Decided(_) => crate::authorizer::DECISION,
        }
    }
}

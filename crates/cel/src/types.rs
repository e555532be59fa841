//! Types of expressions.

use std::fmt;
use std::sync::Arc;

use crate::schema::Object;

/// The type of an expression, as far as it is known before it is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only when evaluated.
    Dyn,
    /// The same, but no macro goes through it
    Any,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// 64 bits with sign
    Int,
    /// 64 bits without sign
    Uint,
    /// 64 bits, floating point
    Double,
    /// Text
    String,
    /// Bytes
    Bytes,
    /// A length of time
    Duration,
    /// A point in time
    Timestamp,
    /// A type itself, and which
    Type(Arc<Type>),
    /// A list and the type of its elements
    List(Arc<Type>),
    /// A map and the types of its keys and values
    Map(Arc<(Type, Type)>),
    /// A value that may be missing
    Optional(Arc<Type>),
    /// An object with known fields
    Object(Arc<Object>),
    /// An object that an expression builds, its name beginning with `Object`, or `JSONPatch`
    Struct(Arc<str>),
    /// A type with functions only
    Opaque(&'static str),
    /// The type of something that was reported as wrong already
    Error,
    /// Not known yet
    #[doc(hidden)]
    Variable(u32),
}

impl Type {
    /// The type of lists of something.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// The type of maps.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// The type of something that may be missing.
    pub fn optional(inner: Self) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// How the type is named where a value of another one is wanted: not in the short form of problems in the text.
    pub fn full_name(&self) -> String {
        match self {
            Self::Any => "google.protobuf.Any".to_owned(),
            Self::Null => "null_type".to_owned(),
            Self::Duration => "google.protobuf.Duration".to_owned(),
            Self::Timestamp => "google.protobuf.Timestamp".to_owned(),
            Self::List(element) => format!("list({})", element.full_name()),
            Self::Map(pair) => format!("map({}, {})", pair.0.full_name(), pair.1.full_name()),
            Self::Optional(inner) => format!("optional_type({})", inner.full_name()),
            Self::Type(ty) => format!("type({})", ty.full_name()),
            other => other.to_string(),
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Error)
    }

    /// Whether `null` is one of its values.
    pub(crate) fn is_nullable(&self) -> bool {
        use Type::{Duration, Null, Object, Opaque, Optional, Struct, Timestamp};
        matches!(self, Duration | Null | Object(_) | Opaque(_) | Optional(_) | Struct(_) | Timestamp)
    }

    /// Reads the notation of the function table: `list(A)`, `map(A, B)`, `optional(A)`, with one capital
    /// letter for any type, the same for each of its occurrences.
    pub(crate) fn read(text: &'static str) -> Self {
        let inner = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
        if let Some(element) = inner("list(") {
            return Self::list(Self::read(element));
        }
        if let Some(ty) = inner("type(") {
            return Self::Type(Arc::new(Self::read(ty)));
        }
        if let Some(value) = inner("optional(") {
            return Self::optional(Self::read(value));
        }
        if let Some(pair) = inner("map(") {
            let (key, value) = pair.split_once(", ").unwrap_or((pair, "dyn"));
            return Self::map(Self::read(key), Self::read(value));
        }
        match text {
            "dyn" => Self::Dyn,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "A" => Self::Variable(0),
            "B" => Self::Variable(1),
            _ => Self::Opaque(text),
        }
    }

    /// Applies a function to all variables in the type.
    pub(crate) fn replace(&self, with: &dyn Fn(u32) -> Self) -> Self {
        match self {
            Self::Variable(index) => with(*index),
            Self::List(element) => Self::list(element.replace(with)),
            Self::Optional(inner) => Self::optional(inner.replace(with)),
            Self::Type(inner) => Self::Type(Arc::new(inner.replace(with))),
            Self::Map(pair) => Self::map(pair.0.replace(with), pair.1.replace(with)),
            other => other.clone(),
        }
    }

    pub(crate) fn mentions(&self, variable: u32) -> bool {
        match self {
            Self::Variable(index) => *index == variable,
            Self::List(inner) | Self::Optional(inner) | Self::Type(inner) => inner.mentions(variable),
            Self::Map(pair) => pair.0.mentions(variable) || pair.1.mentions(variable),
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => formatter.write_str("dyn"),
            Self::Any => formatter.write_str("any"),
            Self::Null => formatter.write_str("null"),
            Self::Bool => formatter.write_str("bool"),
            Self::Int => formatter.write_str("int"),
            Self::Uint => formatter.write_str("uint"),
            Self::Double => formatter.write_str("double"),
            Self::String => formatter.write_str("string"),
            Self::Bytes => formatter.write_str("bytes"),
            Self::Duration => formatter.write_str("duration"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::Type(ty) => write!(formatter, "type({ty})"),
            Self::List(element) => write!(formatter, "list({element})"),
            Self::Map(pair) => write!(formatter, "map({}, {})", pair.0, pair.1),
            Self::Optional(inner) => write!(formatter, "optional_type({inner})"),
            Self::Object(object) => formatter.write_str(&object.name),
            Self::Struct(name) => formatter.write_str(name),
            Self::Opaque(name) => formatter.write_str(name),
            Self::Error => formatter.write_str("!error!"),
            Self::Variable(index) => write!(formatter, "_var{index}"),
        }
    }
}

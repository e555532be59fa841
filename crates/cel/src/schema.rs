//! What is known about values before they are there, and how JSON is to be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::escape;
use crate::library::quantity::QUANTITY;
use crate::types::Type;

/// Largest body of a request, which bounds everything whose size a schema does not bound.
pub(crate) const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;

/// What is known about a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// What it is.
    pub kind: Kind,
    /// Most characters, elements or entries that it has, if limited.
    pub max_length: Option<u64>,
    /// Most characters of the keys of a map.
    pub(crate) max_key_length: u64,
    /// Fewest bytes that it takes in JSON.
    pub(crate) min_bytes: u64,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Anything
    Dyn,
    /// Anything that macros do not go through
    Any,
    /// `true` or `false`
    Bool,
    /// A whole number
    Int,
    /// A number
    Double,
    /// A text
    String,
    /// Base64 in JSON
    Bytes,
    /// A length of time
    Duration,
    /// RFC 3339 or a date in JSON
    Timestamp,
    /// A number or a text
    IntOrString,
    /// An amount of a resource
    Quantity,
    /// A list
    List(Arc<Schema>, Merge),
    /// A map from text to something
    Map(Arc<Schema>),
    /// An object with known fields
    Object(Arc<Object>),
}

/// How two lists compare, and how they are added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Merge {
    /// As they are
    #[default]
    Atomic,
    /// Without regard to the order; an element is there once
    Set,
    /// Without regard to the order; elements are the same if these fields are
    Map(Vec<String>),
}

/// An object with known fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its name in error messages.
    pub name: String,
    /// Its fields, by the names that they have in expressions.
    pub fields: BTreeMap<String, Field>,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// What it holds.
    pub schema: Arc<Schema>,
    /// Whether it is always there.
    pub required: bool,
}

impl Schema {
    /// Anything at all.
    pub fn any() -> Arc<Self> {
        Arc::new(Self::new(Kind::Dyn))
    }

    /// What is known of a value of this kind.
    pub fn new(kind: Kind) -> Self {
        let min_bytes = match &kind {
            Kind::Bool => 4,
            Kind::Int | Kind::Double | Kind::Dyn | Kind::Any | Kind::IntOrString => 1,
            Kind::Timestamp => 21,
            Kind::Duration => 3,
            Kind::Quantity => 8,
            Kind::Object(object) => object.min_bytes(),
            Kind::String | Kind::Bytes | Kind::List(..) | Kind::Map(_) => 2,
        };
        Self { kind, max_length: None, max_key_length: 0, min_bytes }
    }

    /// The same with at most so many characters, elements or entries.
    #[must_use]
    pub fn at_most(self, max_length: u64) -> Self {
        Self { max_length: Some(max_length), ..self }
    }

    /// A map whose keys have at most so many characters.
    #[must_use]
    pub fn with_keys(self, max_key_length: u64) -> Self {
        Self { max_key_length, ..self }
    }

    /// An object with these fields, all of them there.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, Arc<Self>)>) -> Arc<Self> {
        let field = |(name, schema): (&str, Arc<Self>)| {
            (name.to_owned(), Field { name: name.to_owned(), schema, required: true })
        };
        let fields = fields.into_iter().map(field).collect();
        Arc::new(Self::new(Kind::Object(Arc::new(Object { name: name.to_owned(), fields }))))
    }

    /// Reads a structural schema of a custom resource. `None` if expressions cannot reach what it describes.
    ///
    /// Source: `SchemaDeclType` of k8s.io/apiserver/pkg/cel/common.
    pub fn of_structural(schema: &Json, root: Root) -> Option<Arc<Self>> {
        let max = |field: &str| schema[field].as_u64();
        if schema["x-kubernetes-int-or-string"] == true {
            let max_length = max("maxLength").map(bytes).or(Some(MAX_REQUEST_BYTES - 2));
            return Some(Arc::new(Self { max_length, ..Self::new(Kind::IntOrString) }));
        }
        let (kind, max_length) = match schema["type"].as_str().unwrap_or_default() {
            "array" => {
                let items = Self::of_structural(&schema["items"], Root::No)?;
                let room = MAX_REQUEST_BYTES.saturating_sub(2) / (items.min_bytes + 1);
                (Kind::List(items, merge(schema)), max("maxItems").or(Some(room)))
            }
            "object" => {
                let values = schema.get("additionalProperties").filter(|values| values.is_object());
                match values {
                    Some(values) => {
                        let values = Self::of_structural(values, Root::No)?;
                        let room = MAX_REQUEST_BYTES.saturating_sub(2) / (values.min_bytes + 6);
                        (Kind::Map(values), max("maxProperties").or(Some(room)))
                    }
                    None => (Kind::Object(Arc::new(object(schema, root))), None),
                }
            }
            "string" => text(schema),
            "boolean" => (Kind::Bool, None),
            "integer" => (Kind::Int, None),
            "number" => (Kind::Double, None),
            _ => return None,
        };
        let nullable_bytes = if schema["nullable"] == true { 4 } else { u64::MAX };
        let has_default = schema.get("default").is_some();
        let mut made = Self { max_length, ..Self::new(kind) };
        made.min_bytes = if has_default { 0 } else { made.min_bytes.min(nullable_bytes) };
        Some(Arc::new(made))
    }

    /// Most characters, elements or entries of a value; what is no text, list or map has none. `None` if
    /// nobody knows.
    pub(crate) fn most(&self) -> Option<u64> {
        match self.kind {
            Kind::Bool => Some(self.max_length.unwrap_or(0)),
            Kind::Int | Kind::Double | Kind::Object(_) => Some(0),
            _ => self.max_length,
        }
    }

    /// Its type in expressions.
    pub fn ty(&self) -> Type {
        match &self.kind {
            Kind::Dyn | Kind::IntOrString => Type::Dyn,
            Kind::Any => Type::Any,
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Int,
            Kind::Double => Type::Double,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Duration => Type::Duration,
            Kind::Timestamp => Type::Timestamp,
            Kind::Quantity => Type::Opaque(QUANTITY),
            Kind::List(items, _) => Type::list(items.ty()),
            Kind::Map(values) => Type::map(Type::String, values.ty()),
            Kind::Object(object) => Type::Object(object.clone()),
        }
    }
}

impl Object {
    fn min_bytes(&self) -> u64 {
        let fields = self.fields.values().filter(|field| field.required);
        2 + fields.map(|field| field.name.len() as u64 + field.schema.min_bytes + 4).sum::<u64>()
    }
}

/// Whether a schema describes a whole resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// It does: it has an identity that the schema does not mention.
    Yes,
    /// It describes a part.
    No,
}

fn merge(schema: &Json) -> Merge {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Merge::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            Merge::Map(keys.into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect())
        }
        _ => Merge::Atomic,
    }
}

fn object(schema: &Json, root: Root) -> Object {
    let required = |name: &str, field: &Json| {
        let listed = schema["required"].as_array().is_some_and(|names| names.iter().any(|listed| listed == name));
        listed && field.get("default").is_none()
    };
    let mut fields = BTreeMap::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (Some(escaped), Some(made)) = (escape(name), Schema::of_structural(field, Root::No)) else { continue };
        fields.insert(escaped, Field { name: name.clone(), schema: made, required: required(name, field) });
    }
    let has_identity = root == Root::Yes || schema["x-kubernetes-embedded-resource"] == true;
    if has_identity {
        let text = || Arc::new(Schema { max_length: Some(MAX_REQUEST_BYTES - 2), ..Schema::new(Kind::String) });
        let metadata = Schema::object("object.metadata", [("name", text()), ("generateName", text())]);
        for (name, schema) in [("kind", text()), ("apiVersion", text()), ("metadata", metadata)] {
            fields.insert(name.to_owned(), Field { name: name.to_owned(), schema, required: true });
        }
    }
    Object { name: "object".to_owned(), fields }
}

/// Most bytes of so many characters.
fn bytes(characters: u64) -> u64 {
    characters.saturating_mul(4)
}

fn text(schema: &Json) -> (Kind, Option<u64>) {
    match schema["format"].as_str().unwrap_or_default() {
        "duration" => return (Kind::Duration, Some(32)),
        "date" => return (Kind::Timestamp, Some(12)),
        "date-time" => return (Kind::Timestamp, Some(32)),
        "byte" => {
            let max = schema["maxLength"].as_u64().unwrap_or(MAX_REQUEST_BYTES - 2);
            return (Kind::Bytes, Some(max));
        }
        _ => {}
    }
    let longest = schema["enum"].as_array().and_then(|values| {
        values
            .iter()
            .map(|value| value.as_str().map(|value| value.len() as u64))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    });
    let max = schema["maxLength"].as_u64().map(bytes).or(longest).unwrap_or(MAX_REQUEST_BYTES - 2);
    (Kind::String, Some(max))
}

//! JSON as values, and values as JSON.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_base::go;
use serde_json::Value as Json;

use crate::library::time;
use crate::schema::{Kind, Schema};
use crate::value::{List, Map, Text, Value};

static ANY: LazyLock<Arc<Schema>> = LazyLock::new(Schema::any);

impl<'a> Value<'a> {
    /// Reads JSON of which nothing is known.
    pub fn any(json: &'a Json) -> Self {
        Self::of(json, &ANY)
    }

    /// Reads JSON as its schema says. What does not match its schema is read as it is: whoever validates
    /// the schema has reported it.
    pub fn of(json: &'a Json, schema: &Arc<Schema>) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => {
                if schema.kind == Kind::Double {
                    return Self::Double(number.as_f64().unwrap_or(f64::NAN));
                }
                match (number.as_i64(), number.as_u64()) {
                    (Some(value), _) => Self::Int(value),
                    (None, Some(value)) => Self::Uint(value),
                    _ => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
                }
            }
            Json::String(text) => scalar(text, &schema.kind).unwrap_or(Self::String(Text::Borrowed(text))),
            Json::Array(items) => Self::List(match &schema.kind {
                Kind::List(..) => List::Json(items, schema.clone()),
                _ => List::Json(items, ANY.clone()),
            }),
            Json::Object(fields) => Self::Map(match &schema.kind {
                Kind::Object(object) => Map::Object(fields, object.clone()),
                Kind::Map(values) => Map::Json(fields, values.clone()),
                _ => Map::Json(fields, ANY.clone()),
            }),
        }
    }

    /// Writes a value as JSON, as protobuf's JSON mapping has it. The types of the Kubernetes library have
    /// no JSON; the error names them.
    pub fn to_json(&self) -> Result<Json, String> {
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Double(value) => match serde_json::Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None if value.is_nan() => "NaN".into(),
                None if *value > 0.0 => "Infinity".into(),
                None => "-Infinity".into(),
            },
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Duration(nanos) => time::duration_text(*nanos).into(),
            Self::Timestamp(time) => time.to_string().into(),
            Self::Optional(Some(value)) => value.to_json()?,
            Self::List(List::Json(items, _)) => Json::Array(items.to_vec()),
            Self::List(list) => Json::Array(list.iter().map(|item| item.to_json()).collect::<Result<_, _>>()?),
            Self::Map(Map::Json(fields, _) | Map::Object(fields, _)) => Json::Object((*fields).clone()),
            Self::Map(Map::Made(entries) | Map::Struct(_, entries)) => {
                let mut fields = serde_json::Map::new();
                for (key, value) in entries.values() {
                    let name = match key {
                        Self::String(text) => text.to_string(),
                        Self::Int(number) => number.to_string(),
                        Self::Uint(number) => number.to_string(),
                        Self::Bool(value) => value.to_string(),
                        other => return Err(format!("unsupported key type: {}", other.type_name())),
                    };
                    fields.insert(name, value.to_json()?);
                }
                Json::Object(fields)
            }
            other => return Err(format!("type conversion error from '{}' to JSON", other.type_name())),
        })
    }
}

fn scalar<'a>(text: &str, kind: &Kind) -> Option<Value<'a>> {
    match kind {
        Kind::Bytes => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        Kind::Duration => go::parse_duration(text).ok().map(Value::Duration),
        Kind::Timestamp => time::parse_timestamp(text).map(Value::Timestamp),
        _ => None,
    }
}

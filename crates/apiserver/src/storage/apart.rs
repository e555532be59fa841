//! Decodes an object and leaves its managers encoded: they are often as large as the rest of it.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// An object without `metadata.managedFields`, and those.
pub(super) struct Object<'a> {
    pub(super) fields: Map<String, Value>,
    pub(super) managers: Option<&'a RawValue>,
}

/// Which part of an object is read.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Metadata,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Whole.deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Object<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Whole => "an object",
            Self::Metadata => "metadata",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object<'de>, A::Error> {
        let mut read = Object { fields: Map::new(), managers: None };
        while let Some(name) = access.next_key::<String>()? {
            let value = match (self, &*name) {
                (Self::Whole, "metadata") => {
                    let metadata = access.next_value_seed(Self::Metadata)?;
                    read.managers = metadata.managers;
                    Value::Object(metadata.fields)
                }
                (Self::Metadata, super::MANAGERS) => {
                    read.managers = Some(access.next_value()?);
                    continue;
                }
                _ => access.next_value()?,
            };
            read.fields.insert(name, value);
        }
        Ok(read)
    }
}

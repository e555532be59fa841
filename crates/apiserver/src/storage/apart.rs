//! Decodes an object and leaves its managers encoded: they are often as large as the rest of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// An object without `metadata.managedFields`, and those.
pub(super) struct Object<'a> {
    pub(super) fields: Map<String, Value>,
    pub(super) managers: Option<&'a RawValue>,
}

/// Metadata without `managedFields`, and those.
struct Metadata<'a> {
    fields: Map<String, Value>,
    managers: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object { fields: Map::new(), managers: None };
                while let Some(name) = access.next_key::<String>()? {
                    let value = if name == "metadata" {
                        let metadata: Metadata<'de> = access.next_value()?;
                        object.managers = metadata.managers;
                        Value::Object(metadata.fields)
                    } else {
                        access.next_value()?
                    };
                    object.fields.insert(name, value);
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de> Deserialize<'de> for Metadata<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;

        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Metadata<'de>, A::Error> {
                let mut metadata = Metadata { fields: Map::new(), managers: None };
                while let Some(name) = access.next_key::<String>()? {
                    if name == super::MANAGERS {
                        metadata.managers = Some(access.next_value()?);
                    } else {
                        metadata.fields.insert(name, access.next_value()?);
                    }
                }
                Ok(metadata)
            }
        }

        deserializer.deserialize_map(MetadataVisitor)
    }
}

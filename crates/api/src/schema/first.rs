//! The first value of a JSON body that does not fit, as it is written there.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::check::{misfit, short_name};
use super::place::Place;
use crate::decode;
use crate::description::{Schema, Type};

/// What upstream's decoder says of a body in which values are of a wrong type: it reads on behind most of them and
/// tells the first then.
///
/// The body should be JSON that was read before: reading ends where it is not.
pub fn first_misfit(body: &[u8], schema: Schema<'_>) -> Option<String> {
    let text = decode::json_text(body);
    let mut found = None;
    let walk = Walk { root: schema, schema, place: &Place::Root, structure: "", found: &mut found };
    // It ends early at what upstream does not read on behind.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(&text));
    found
}

struct Walk<'s, 'w> {
    root: Schema<'s>,
    schema: Schema<'s>,
    place: &'w Place<'w>,
    structure: &'w str,
    found: &'w mut Option<String>,
}

impl<'s> Walk<'s, '_> {
    fn inside<'b>(&'b mut self, schema: Schema<'s>, place: &'b Place<'b>, structure: &'b str) -> Walk<'s, 'b> {
        Walk { root: self.root, schema, place, structure, found: &mut *self.found }
    }

    fn found<E: serde::de::Error>(self, value: &Value, literal: Option<&str>) -> Result<(), E> {
        let problem = misfit(value, literal, self.schema, self.root, self.place, self.structure);
        let Some(problem) = problem.filter(|_| !value.is_null()) else { return Ok(()) };
        if problem.ends || self.found.is_none() {
            *self.found = Some(problem.text);
        }
        if problem.ends { Err(E::custom("read no further")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.schema.r#type() {
            Type::Struct(_) | Type::Map(_) | Type::List(_) => deserializer.deserialize_any(self),
            Type::Any | Type::Dynamic => deserializer.deserialize_any(IgnoredAny).map(|_| ()),
            _ => {
                let raw = <&RawValue>::deserialize(deserializer)?.get();
                self.found(&leaf(raw), Some(raw))
            }
        }
    }
}

/// A value as far as it matters where only those without parts fit.
fn leaf(raw: &str) -> Value {
    match raw.as_bytes().first() {
        Some(b'{') => Value::Object(Map::new()),
        Some(b'[') => Value::Array(Vec::new()),
        // What cannot be read is a number out of all range.
        _ => serde_json::from_str(raw).unwrap_or_else(|_| Number::from_f64(f64::MAX).into()),
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.found(&value.into(), None)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.found(&value.into(), None)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.found(&value.into(), None)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.found(&value.into(), None)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.found(&value.into(), None)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let Type::List(_) = self.schema.r#type() else {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            return self.found(&Value::Array(Vec::new()), None);
        };
        let Some(schema) = self.schema.items() else { return Err(A::Error::custom("a list without items")) };
        let (parent, structure) = (self.place, self.structure);
        let mut index = 0;
        while access.next_element_seed(self.inside(schema, &Place::Item(parent, index), structure))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        if let Type::List(_) = self.schema.r#type() {
            while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return self.found(&Value::Object(Map::new()), None);
        }
        let (schema, parent) = (self.schema, self.place);
        let definition = schema.definition().filter(|_| matches!(schema.r#type(), Type::Struct(_)));
        let structure = definition.map_or(self.structure, |definition| short_name(&definition.name));
        while let Some(name) = access.next_key::<String>()? {
            let (inner, place) = match definition {
                Some(_) => (schema.field(&name), Place::Field(parent, &name)),
                None => (schema.values(), Place::Key(parent, &name)),
            };
            match inner {
                Some(inner) => access.next_value_seed(self.inside(inner, &place, structure))?,
                None => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

//! Unknown and duplicate fields of a JSON body, in the order in which they stand there.

use std::collections::HashSet;
use std::fmt;

use portolan_base::go;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode;
use crate::description::{Schema, Type};

/// More problems than these are not told; as upstream.
const MOST: usize = 100;

/// One text per unknown or duplicate field of a body, in its order: `unknown field "spec.foo"`,
/// `duplicate field "spec.replicas"`. A problem that is there twice is told once.
///
/// The body should be JSON that was read before: reading ends where it is not.
pub fn strict_problems(body: &[u8], schema: Schema<'_>) -> Vec<String> {
    let mut problems = Problems::default();
    let mut path = String::new();
    let walk = Walk { schema, path: &mut path, problems: &mut problems };
    // Only the problems matter; the body itself was read and judged by others.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(&decode::json_text(body)));
    problems.list
}

#[derive(Default)]
struct Problems {
    list: Vec<String>,
    known: HashSet<String>,
}

impl Problems {
    fn add(&mut self, what: &str, path: &str) {
        let problem = format!("{what} field {}", go::quote(path));
        if self.list.len() < MOST && self.known.insert(problem.clone()) {
            self.list.push(problem);
        }
    }
}

struct Walk<'a> {
    schema: Schema<'a>,
    path: &'a mut String,
    problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.schema.r#type() {
            Type::Struct(_) | Type::Map(_) | Type::List(_) => deserializer.deserialize_any(self),
            _ => deserializer.deserialize_any(IgnoredAny).map(|_| ()),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Some(schema) = self.schema.items() else {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let length = self.path.len();
        for index in 0_usize.. {
            self.path.push_str(&format!("[{index}]"));
            let walk = Walk { schema, path: &mut *self.path, problems: &mut *self.problems };
            let found = access.next_element_seed(walk)?;
            self.path.truncate(length);
            if found.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let is_struct = matches!(self.schema.r#type(), Type::Struct(_));
        let mut seen: HashSet<String> = HashSet::new();
        let length = self.path.len();
        while let Some(name) = access.next_key::<String>()? {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            match if is_struct { self.schema.field(&name) } else { self.schema.values() } {
                Some(schema) => {
                    if !seen.insert(name) {
                        self.problems.add("duplicate", self.path);
                    }
                    access.next_value_seed(Walk { schema, path: &mut *self.path, problems: &mut *self.problems })?;
                }
                None => {
                    if is_struct {
                        self.problems.add("unknown", self.path);
                    }
                    access.next_value::<IgnoredAny>()?;
                }
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

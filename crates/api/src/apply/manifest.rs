//! What is applied, as it is read from a body: names and texts stand in the body, and the fields of an object one behind
//! the other. Most applies are done with by one walk along it, and a tree of [`Value`] costs more than that walk.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::decode::Limits;

/// A value that is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Manifest<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Manifest<'a>>),
    /// An object.
    Object(Fields<'a>),
}

/// The fields of an object in the order of their names, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Manifest<'a>)>);

impl<'a> Fields<'a> {
    /// `None` if one comes twice.
    fn of(mut fields: Vec<(Cow<'a, str>, Manifest<'a>)>) -> Option<Self> {
        let is_before = |one: &(Cow<'a, str>, _), other: &(Cow<'a, str>, _)| one.0 < other.0;
        // Most bodies have them so.
        if !fields.is_sorted_by(is_before) {
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            if !fields.is_sorted_by(is_before) {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Manifest<'a>> {
        // Names are mostly of different lengths, which is all that is compared then.
        if self.0.len() <= 16 {
            return self.0.iter().find_map(|(known, value)| (known == name).then_some(value));
        }
        let place = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[place].1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Manifest<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl<'a> Manifest<'a> {
    /// Reads an object in JSON. `None` of all that is none, or too large, or names a field twice: whoever has something
    /// to say about that decodes it.
    pub fn read(body: &'a [u8], limits: &Limits) -> Option<Self> {
        if body.first() != Some(&b'{') || body.len() > limits.bytes {
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
        let value = Seed { depth: limits.depth }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(value)
    }

    /// The value at the end of a path of fields.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| match value {
            Self::Object(fields) => fields.get(name),
            _ => None,
        })
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a tree of its own.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.to_owned(), value.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

/// A value that is neither an object nor a list, wherever it was read from.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar<'v> {
    Text(&'v str),
    Bool(bool),
    Number(&'v Number),
    /// None of these.
    Other,
}

impl<'v> From<&'v Manifest<'_>> for Scalar<'v> {
    fn from(value: &'v Manifest<'_>) -> Self {
        match value {
            Manifest::Text(text) => Self::Text(text),
            Manifest::Bool(value) => Self::Bool(*value),
            Manifest::Number(number) => Self::Number(number),
            _ => Self::Other,
        }
    }
}

impl<'v> From<&'v Value> for Scalar<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number),
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Copy)]
struct Seed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Manifest<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Manifest<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("exceeded max depth"))?;
        Ok(Self { depth })
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Manifest<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value in JSON")
    }

    fn visit_unit<E>(self) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Manifest<'de>, E> {
        Number::from_f64(value).map(Manifest::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Manifest<'de>, E> {
        Ok(Manifest::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Manifest<'de>, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Manifest::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Manifest<'de>, A::Error> {
        let inside = self.inside()?;
        let mut fields = Vec::new();
        while let Some(Name(name)) = access.next_key()? {
            fields.push((name, access.next_value_seed(inside)?));
        }
        Fields::of(fields).map(Manifest::Object).ok_or_else(|| A::Error::custom("a field comes twice"))
    }
}

/// The name of a field.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(value.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn what_is_read_is_what_a_decoder_reads() {
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(4 << 20));
        for (body, is_read) in [
            (r#"{}"#, true),
            (r#" {}"#, false),
            (r#"[]"#, false),
            (r#"{"b":1,"a":[null,true,-2,2.5e3,18446744073709551615,"é\n\u00e9\ud83d\ude42"],"a\"":{"":{}}}"#, true),
            (r#"{"a":1,"b":2,"a":1}"#, false),
            (r#"{"a":{"b":1,"\u0062":2}}"#, false),
            (r#"{"a":1} "#, true),
            (r#"{"a":1}x"#, false),
            (r#"{"a":1e999}"#, false),
            (r#"{"a":"\ud800"}"#, false),
            (r#"{a: 1}"#, false),
            (&deep(99), true),
            (&deep(100), false),
            (&long, false),
        ] {
            let read = Manifest::read(body.as_bytes(), &Limits::default());
            assert_eq!(read.is_some(), is_read, "{}", &body[..body.len().min(80)]);
            let decoded = decode::json(body.as_bytes(), &Limits::default()).ok();
            if let Some(read) = read {
                assert_eq!(Some(read.to_value()), decoded.map(|it| it.value));
            } else if body.starts_with('{') {
                assert!(decoded.is_none_or(|it| !it.duplicates.is_empty()), "{body}");
            }
        }
        assert_eq!(Manifest::read(b"{\"a\":\"\xff\"}", &Limits::default()), None);
    }
}

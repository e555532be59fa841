//! What is applied, as it is read from a body: names and texts stand in the body, and all values one behind the other.
//! Most applies are done with by one walk along it, and a tree of [`Value`] costs more than that walk.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::decode::Limits;

/// Members for which there is room before they are read.
const MOST_ROOM: usize = 1024;

/// An object that is applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest<'a> {
    /// What objects and lists hold: that of each side by side.
    members: Vec<Member<'a>>,
    /// Where the fields of the object stand.
    fields: Range<usize>,
}

/// A field of an object, or an item of a list, which has no name.
#[derive(Debug, Clone, PartialEq)]
struct Member<'a> {
    name: Cow<'a, str>,
    value: Held<'a>,
}

/// A value as it is kept.
#[derive(Debug, Clone, PartialEq)]
enum Held<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Range<usize>),
    Object(Range<usize>),
}

/// A value that is applied.
#[derive(Debug, Clone, Copy)]
pub enum Part<'m> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(&'m Number),
    /// A text.
    Text(&'m str),
    /// A list.
    List(Items<'m>),
    /// An object.
    Object(Fields<'m>),
}

/// The items of a list.
#[derive(Debug, Clone, Copy)]
pub struct Items<'m>(Members<'m>);

/// The fields of an object in the order of their names, each once.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'m>(Members<'m>);

#[derive(Debug, Clone, Copy)]
struct Members<'m> {
    all: &'m [Member<'m>],
    own: &'m [Member<'m>],
}

impl<'m> Members<'m> {
    fn of(all: &'m [Member<'m>], own: &Range<usize>) -> Self {
        Self { all, own: &all[own.clone()] }
    }

    fn part(self, member: &'m Member<'m>) -> Part<'m> {
        match &member.value {
            Held::Null => Part::Null,
            Held::Bool(value) => Part::Bool(*value),
            Held::Number(number) => Part::Number(number),
            Held::Text(text) => Part::Text(text),
            Held::List(own) => Part::List(Items(Self::of(self.all, own))),
            Held::Object(own) => Part::Object(Fields(Self::of(self.all, own))),
        }
    }
}

impl<'m> Items<'m> {
    pub(super) fn len(self) -> usize {
        self.0.own.len()
    }

    pub(super) fn get(self, place: usize) -> Option<Part<'m>> {
        self.0.own.get(place).map(|member| self.0.part(member))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Part<'m>> {
        self.0.own.iter().map(move |member| self.0.part(member))
    }
}

impl<'m> Fields<'m> {
    /// The field of this name.
    pub fn get(self, name: &str) -> Option<Part<'m>> {
        let own = self.0.own;
        // Names are mostly of different lengths, which is all that is compared then.
        let member = if own.len() <= 16 {
            own.iter().find(|member| member.name == name)?
        } else {
            &own[own.binary_search_by(|member| (*member.name).cmp(name)).ok()?]
        };
        Some(self.0.part(member))
    }

    pub(super) fn len(self) -> usize {
        self.0.own.len()
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.own.is_empty()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (&'m str, Part<'m>)> {
        self.0.own.iter().map(move |member| (&*member.name, self.0.part(member)))
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
        let mut reader = Reader::new(body.len());
        let value = Seed { reader: &mut reader, depth: limits.depth }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        let Held::Object(fields) = value else { return None };
        Some(Self { members: reader.done, fields })
    }

    /// Its fields.
    pub fn fields(&self) -> Fields<'_> {
        Fields(Members::of(&self.members, &self.fields))
    }

    /// The value at the end of a path of fields.
    pub fn at(&self, path: &[&str]) -> Option<Part<'_>> {
        Part::Object(self.fields()).at(path)
    }

    /// The same as a tree of its own.
    pub fn to_value(&self) -> Value {
        Part::Object(self.fields()).to_value()
    }
}

impl<'m> Part<'m> {
    /// The value at the end of a path of fields.
    pub fn at(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |value, name| match value {
            Self::Object(fields) => fields.get(name),
            _ => None,
        })
    }

    /// The text, if it is one.
    pub fn as_text(self) -> Option<&'m str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a tree of its own.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.to_owned()),
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

impl<'v> From<Part<'v>> for Scalar<'v> {
    fn from(value: Part<'v>) -> Self {
        match value {
            Part::Text(text) => Self::Text(text),
            Part::Bool(value) => Self::Bool(value),
            Part::Number(number) => Self::Number(number),
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

/// Lays out what is read.
struct Reader<'a> {
    /// What the objects and lists that are not at their end hold so far.
    open: Vec<Member<'a>>,
    done: Vec<Member<'a>>,
}

impl<'a> Reader<'a> {
    /// With room for what a body of this many bytes mostly has.
    fn new(bytes: usize) -> Self {
        let members = (bytes / 32).min(MOST_ROOM);
        Self { open: Vec::with_capacity(members / 2), done: Vec::with_capacity(members) }
    }

    /// Lays out what is open from `start` on, which has come to its end.
    fn close(&mut self, start: usize) -> Range<usize> {
        let place = self.done.len();
        self.done.extend(self.open.drain(start..));
        place..self.done.len()
    }

    /// The same for an object. `None` if a field comes twice.
    fn close_object(&mut self, start: usize) -> Option<Range<usize>> {
        let is_before = |one: &Member<'_>, other: &Member<'_>| one.name < other.name;
        let fields = &mut self.open[start..];
        // Most bodies have them so.
        if !fields.is_sorted_by(is_before) {
            fields.sort_by(|one, other| one.name.cmp(&other.name));
            if !fields.is_sorted_by(is_before) {
                return None;
            }
        }
        Some(self.close(start))
    }
}

struct Seed<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
}

impl<'a> DeserializeSeed<'a> for Seed<'_, 'a> {
    type Value = Held<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Held<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Seed<'_, 'a> {
    /// For what is inside of it.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("exceeded max depth"))?;
        Ok(Self { depth, ..self })
    }

    fn again(&mut self) -> Seed<'_, 'a> {
        Seed { reader: self.reader, depth: self.depth }
    }
}

impl<'a> Visitor<'a> for Seed<'_, 'a> {
    type Value = Held<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value in JSON")
    }

    fn visit_unit<E>(self) -> Result<Held<'a>, E> {
        Ok(Held::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Held<'a>, E> {
        Ok(Held::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Held<'a>, E> {
        Ok(Held::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Held<'a>, E> {
        Ok(Held::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Held<'a>, E> {
        Number::from_f64(value).map(Held::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Held<'a>, E> {
        Ok(Held::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Held<'a>, E> {
        Ok(Held::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Held<'a>, A::Error> {
        let mut inside = self.inside()?;
        let start = inside.reader.open.len();
        while let Some(value) = access.next_element_seed(inside.again())? {
            inside.reader.open.push(Member { name: Cow::Borrowed(""), value });
        }
        Ok(Held::List(inside.reader.close(start)))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Held<'a>, A::Error> {
        let mut inside = self.inside()?;
        let start = inside.reader.open.len();
        while let Some(Name(name)) = access.next_key()? {
            let value = access.next_value_seed(inside.again())?;
            inside.reader.open.push(Member { name, value });
        }
        let fields = inside.reader.close_object(start);
        fields.map(Held::Object).ok_or_else(|| A::Error::custom("a field comes twice"))
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
            } else if body.starts_with('{') && serde_json::from_str::<Value>(body).is_ok() {
                assert!(decoded.is_none_or(|it| !it.duplicates.is_empty()), "{body}");
            }
        }
        assert_eq!(Manifest::read(b"{\"a\":\"\xff\"}", &Limits::default()), None);
    }
}

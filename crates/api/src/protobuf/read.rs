//! From bytes to objects.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_base::{Timestamp, go};
use serde_json::{Map, Number, Value};

use super::table::{self, Field, Instead, Kind, Label, Message};
use super::wire::{Item, Reader};
use super::{Error, MAGIC, MEDIA_TYPE, message_of};
use crate::decode::{self, Limits};
use crate::description::GroupVersionKind;
use crate::time;

/// Values in one body. Two bytes can be a value, so that the limit of bytes alone would let a body
/// grow a hundredfold in memory.
const VALUES: usize = 500_000;

const ENVELOPE: &str = "runtime.Unknown";
const WRONG_TYPE: &str = "wrong wire type";

/// The object in a body.
pub(super) fn body(body: &[u8], expected: Option<GroupVersionKind<'_>>, limits: &Limits) -> Result<Value, Error> {
    let mut budget = Budget { values: VALUES, limits: *limits };
    envelope(body, expected, limits.depth, &mut budget)
}

/// What may still be read.
struct Budget {
    values: usize,
    limits: Limits,
}

fn malformed(message: &'static str, problem: &'static str) -> Error {
    Error::Malformed { message, problem }
}

fn envelope(
    body: &[u8],
    expected: Option<GroupVersionKind<'_>>,
    depth: usize,
    budget: &mut Budget,
) -> Result<Value, Error> {
    let mut reader = Reader::new(body.strip_prefix(MAGIC).ok_or(Error::NoMagic)?);
    let (mut type_meta, mut raw, mut content_encoding, mut content_type): (_, &[u8], _, _) = (None, &[], "", "");
    while let Some((number, item)) = reader.next().map_err(|problem| malformed(ENVELOPE, problem))? {
        match (number, item) {
            (1, Item::Bytes(bytes)) => type_meta = Some(bytes),
            (2, Item::Bytes(bytes)) => raw = bytes,
            (3, Item::Bytes(bytes)) => content_encoding = text(ENVELOPE, bytes)?,
            (4, Item::Bytes(bytes)) => content_type = text(ENVELOPE, bytes)?,
            (1..=4, _) => return Err(malformed(ENVELOPE, WRONG_TYPE)),
            _ => {}
        }
    }
    if !content_encoding.is_empty() || !matches!(content_type, "" | MEDIA_TYPE) {
        let (content_type, content_encoding) = (content_type.to_owned(), content_encoding.to_owned());
        return Err(Error::Encoding { content_type, content_encoding });
    }
    let [mut api_version, mut kind] = texts(ENVELOPE, type_meta.unwrap_or_default())?;
    let expected_version = expected.map(|expected| expected.api_version()).unwrap_or_default();
    if let Some(expected) = expected {
        if api_version.is_empty() {
            api_version = &expected_version;
        }
        if kind.is_empty() {
            kind = expected.kind;
        }
    }
    let message = message_of(GroupVersionKind::from_api_version(api_version, kind))
        .ok_or_else(|| Error::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })?;
    let mut object = Map::new();
    fields(raw, message, &mut object, depth, budget)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// Reads the fields of a message into an object.
fn fields(
    bytes: &[u8],
    message: &'static Message,
    object: &mut Map<String, Value>,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or_else(|| malformed(message.name, "exceeded max depth"))?;
    let mut reader = Reader::new(bytes);
    while let Some((number, item)) = reader.next().map_err(|problem| malformed(message.name, problem))? {
        let Some(field) = message.field(number) else { continue };
        budget.values = budget.values.checked_sub(1).ok_or_else(|| malformed(message.name, "too many values"))?;
        let mut place = Place { message, field, depth, budget: &mut *budget };
        match (field.name, field.label) {
            (None, _) => {
                let Kind::Message(inner) = field.kind else { continue };
                fields(place.bytes(item)?, table::builtin().at(inner), object, depth, budget)?;
            }
            (Some(name), Label::Once) => {
                // A message that comes in several parts is their sum.
                let before = object.remove(name);
                if let Some(value) = place.value(item, before)?
                    && (field.keeps_zero || !is_zero(&value))
                {
                    object.insert(name.into(), value);
                }
            }
            (Some(name), Label::List) => {
                let Value::Array(list) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())) else {
                    continue;
                };
                place.items(item, list)?;
            }
            (Some(name), Label::Map) => {
                let entry = place.bytes(item)?;
                let Value::Object(map) = object.entry(name).or_insert_with(|| Value::Object(Map::new())) else {
                    continue;
                };
                let (key, value) = place.entry(entry)?;
                map.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// What clients write for a scalar that was never set. An empty object was set.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A field that is being read.
struct Place<'a> {
    message: &'static Message,
    field: &'static Field,
    depth: usize,
    budget: &'a mut Budget,
}

impl Place<'_> {
    fn wrong(&self, problem: &'static str) -> Error {
        malformed(self.message.name, problem)
    }

    fn bytes<'b>(&self, item: Item<'b>) -> Result<&'b [u8], Error> {
        if let Item::Bytes(bytes) = item { Ok(bytes) } else { Err(self.wrong(WRONG_TYPE)) }
    }

    /// One item of a list, or several numbers in one piece.
    fn items(&mut self, item: Item<'_>, list: &mut Vec<Value>) -> Result<(), Error> {
        match (self.field.kind, item) {
            (Kind::Bool | Kind::Int32 | Kind::Int64, Item::Bytes(bytes)) => {
                let mut reader = Reader::new(bytes);
                while let Some(number) = reader.next_varint().map_err(|problem| self.wrong(problem))? {
                    self.budget.values =
                        self.budget.values.checked_sub(1).ok_or_else(|| self.wrong("too many values"))?;
                    list.extend(self.value(Item::Varint(number), None)?);
                }
            }
            // A list keeps its length: what is nothing by itself is null here.
            _ => {
                let value = self.value(item, None)?.unwrap_or_default();
                list.push(value);
            }
        }
        Ok(())
    }

    fn entry<'b>(&mut self, bytes: &'b [u8]) -> Result<(&'b str, Value), Error> {
        let (mut key, mut value) = ("", None);
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            match number {
                1 => key = text(self.message.name, self.bytes(item)?)?,
                2 => value = self.value(item, value)?,
                _ => {}
            }
        }
        // A value that is left out is the zero of its type.
        let value = match (value, self.field.kind) {
            (Some(value), _) => value,
            (None, Kind::Bool | Kind::Int32 | Kind::Int64) => self.value(Item::Varint(0), None)?.unwrap_or_default(),
            (None, Kind::Double) => self.value(Item::Fixed64(0), None)?.unwrap_or_default(),
            (None, _) => self.value(Item::Bytes(&[]), None)?.unwrap_or_default(),
        };
        Ok((key, value))
    }

    /// A value; `None` if it is nothing, such as a time that was never set.
    fn value(&mut self, item: Item<'_>, before: Option<Value>) -> Result<Option<Value>, Error> {
        let name = self.message.name;
        Ok(Some(match (self.field.kind, item) {
            (Kind::Bool, Item::Varint(number)) => Value::Bool(number != 0),
            // As upstream, the higher half is dropped: a negative number is written with 64 bits.
            (Kind::Int32, Item::Varint(number)) => (number as i32).into(),
            (Kind::Int64, Item::Varint(number)) => number.cast_signed().into(),
            (Kind::Double, Item::Fixed64(bits)) => {
                let number = Number::from_f64(f64::from_bits(bits));
                Value::Number(number.ok_or_else(|| self.wrong("not a finite number"))?)
            }
            (Kind::String, Item::Bytes(bytes)) => text(name, bytes)?.into(),
            (Kind::Bytes, Item::Bytes(bytes)) => STANDARD.encode(bytes).into(),
            (Kind::Time | Kind::MicroTime, Item::Bytes(bytes)) => return self.time(bytes),
            (Kind::Duration, Item::Bytes(bytes)) => self.duration(bytes)?,
            (Kind::Quantity, Item::Bytes(bytes)) => match texts(name, bytes)? {
                ["", _] => "0".into(),
                [quantity, _] => quantity.into(),
            },
            (Kind::IntOrString, Item::Bytes(bytes)) => self.int_or_string(bytes)?,
            (Kind::Json, Item::Bytes(bytes)) => return self.json(bytes),
            (Kind::Strings, Item::Bytes(bytes)) => self.strings(bytes)?,
            (Kind::Schema(instead), Item::Bytes(bytes)) => return self.schema(instead, bytes),
            (Kind::Message(inner), Item::Bytes(bytes)) => {
                let mut object = if let Some(Value::Object(object)) = before { object } else { Map::new() };
                fields(bytes, table::builtin().at(inner), &mut object, self.depth, self.budget)?;
                Value::Object(object)
            }
            _ => return Err(self.wrong(WRONG_TYPE)),
        }))
    }

    fn time(&self, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            match (number, item) {
                (1, Item::Varint(number)) => seconds = number.cast_signed(),
                (2, Item::Varint(number)) => nanos = number as i32,
                (1 | 2, _) => return Err(self.wrong(WRONG_TYPE)),
                _ => {}
            }
        }
        // As upstream: the epoch itself is what a time that was never set looks like.
        if (seconds, nanos) == (0, 0) {
            return Ok(None);
        }
        let time = Timestamp::new(seconds, nanos).map_err(|_| self.wrong("time out of range"))?;
        let text = if self.field.kind == Kind::MicroTime { time::format_micro(time) } else { time::format(time) };
        // RFC 3339 has years of four digits.
        if text.find('-') == Some(4) { Ok(Some(text.into())) } else { Err(self.wrong("time out of range")) }
    }

    fn duration(&self, bytes: &[u8]) -> Result<Value, Error> {
        let mut nanoseconds = 0;
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            match (number, item) {
                (1, Item::Varint(number)) => nanoseconds = number.cast_signed(),
                (1, _) => return Err(self.wrong(WRONG_TYPE)),
                _ => {}
            }
        }
        let text = go::format_duration(Duration::from_nanos(nanoseconds.unsigned_abs()));
        Ok(if nanoseconds < 0 { format!("-{text}") } else { text }.into())
    }

    fn int_or_string(&self, bytes: &[u8]) -> Result<Value, Error> {
        let (mut form, mut integer, mut string) = (0, 0, "");
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            match (number, item) {
                (1, Item::Varint(number)) => form = number,
                (2, Item::Varint(number)) => integer = number as i32,
                (3, Item::Bytes(bytes)) => string = text(self.message.name, bytes)?,
                (1..=3, _) => return Err(self.wrong(WRONG_TYPE)),
                _ => {}
            }
        }
        match form {
            0 => Ok(integer.into()),
            1 => Ok(string.into()),
            _ => Err(self.wrong("neither a number nor text")),
        }
    }

    /// JSON in the first field, or an object in protobuf there; nothing if it is empty.
    fn json(&mut self, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let mut raw: &[u8] = &[];
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            if number == 1 {
                raw = self.bytes(item)?;
            }
        }
        if raw.is_empty() {
            return Ok(None);
        }
        if raw.starts_with(MAGIC) {
            let depth = self.depth.checked_sub(1).ok_or_else(|| self.wrong("exceeded max depth"))?;
            return envelope(raw, None, depth, self.budget).map(Some);
        }
        let limits = Limits { depth: self.depth, ..self.budget.limits };
        let decoded =
            decode::json(raw, &limits).map_err(|source| Error::Json { message: self.message.name, source })?;
        Ok(Some(decoded.value))
    }

    /// A schema, or what stands in its place; nothing if there is neither.
    fn schema(&mut self, instead: Instead, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let (mut schema, mut allowed, mut list) = (None, false, Vec::new());
        // The truth value comes before the schema, lists behind it.
        let first = if instead == Instead::Bool { 2 } else { 1 };
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            match (number, instead, item) {
                (1, Instead::Bool, Item::Varint(number)) => allowed = number != 0,
                (number, _, Item::Bytes(bytes)) if number == first => schema = Some(self.schema_of(bytes)?),
                (2, Instead::Schemas, Item::Bytes(bytes)) => list.push(self.schema_of(bytes)?),
                (2, Instead::Strings, Item::Bytes(bytes)) => list.push(text(self.message.name, bytes)?.into()),
                (1 | 2, ..) => return Err(self.wrong(WRONG_TYPE)),
                _ => {}
            }
        }
        Ok(match instead {
            _ if !list.is_empty() => Some(Value::Array(list)),
            Instead::Bool => Some(schema.unwrap_or(Value::Bool(allowed))),
            Instead::Schemas | Instead::Strings => schema,
        })
    }

    fn schema_of(&mut self, bytes: &[u8]) -> Result<Value, Error> {
        let mut object = Map::new();
        fields(bytes, table::builtin().schema(), &mut object, self.depth, self.budget)?;
        Ok(Value::Object(object))
    }

    fn strings(&self, bytes: &[u8]) -> Result<Value, Error> {
        let mut list = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(|problem| self.wrong(problem))? {
            if number == 1 {
                list.push(text(self.message.name, self.bytes(item)?)?.into());
            }
        }
        Ok(Value::Array(list))
    }
}

fn text<'a>(message: &'static str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| malformed(message, "text is not UTF-8"))
}

/// The first two fields of a message of text.
fn texts<'a>(message: &'static str, bytes: &'a [u8]) -> Result<[&'a str; 2], Error> {
    let mut texts = [""; 2];
    let mut reader = Reader::new(bytes);
    while let Some((number, item)) = reader.next().map_err(|problem| malformed(message, problem))? {
        if let Some(slot) = texts.get_mut(number as usize - 1) {
            let Item::Bytes(bytes) = item else { return Err(malformed(message, WRONG_TYPE)) };
            *slot = text(message, bytes)?;
        }
    }
    Ok(texts)
}

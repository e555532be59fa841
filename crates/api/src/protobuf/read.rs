//! From bytes to objects.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_base::{Timestamp, go};
use serde_json::{Map, Number, Value};

use super::table::{self, Field, Instead, Kind, Label, Message};
use super::wire::{FIXED_64, Item, LENGTH, Problem, Reader, VARINT};
use super::{Error, MAGIC, message_of};
use crate::decode::{self, Limits};
use crate::description::GroupVersionKind;
use crate::time;

/// Values in one body. Two bytes can be a value, so that the limit of bytes alone would let a body
/// grow a hundredfold in memory.
const VALUES: usize = 500_000;

const ENVELOPE: &str = "runtime.Unknown";

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

fn malformed(problem: &str) -> Error {
    Error::Malformed(problem.to_owned())
}

/// What upstream says of bytes that should be fields of a message.
fn unreadable(message: &str) -> impl Fn(Problem) -> Error {
    let name = message.rsplit('.').next().unwrap_or(message);
    move |problem| Error::Malformed(problem.told(name))
}

/// What upstream says of a field that is not of the form that it should be of, or cannot be read.
fn mismatch(message: &str, field: &str, item: Item<'_>, wanted: u8) -> Error {
    match item {
        Item::Broken(found, problem) if found == wanted => unreadable(message)(problem),
        item => Error::Malformed(format!("proto: wrong wireType = {} for field {field}", item.wire_type())),
    }
}

/// Passes over a field that nobody knows.
fn skip(message: &str, item: Item<'_>) -> Result<(), Error> {
    if let Item::Broken(_, problem) = item { Err(unreadable(message)(problem)) } else { Ok(()) }
}

fn envelope(
    body: &[u8],
    expected: Option<GroupVersionKind<'_>>,
    depth: usize,
    budget: &mut Budget,
) -> Result<Value, Error> {
    let mut reader = Reader::new(body.strip_prefix(MAGIC).ok_or(Error::NoMagic)?);
    let (mut api_version, mut kind, mut raw): (_, _, &[u8]) = (Cow::default(), Cow::default(), &[]);
    while let Some((number, item)) = reader.next().map_err(unreadable(ENVELOPE))? {
        match (number, item) {
            (1, Item::Bytes(bytes)) => [api_version, kind] = texts("TypeMeta", ["APIVersion", "Kind"], bytes)?,
            (2, Item::Bytes(bytes)) => raw = bytes,
            // As upstream: nobody looks at how the object would be encoded and compressed.
            (3 | 4, Item::Bytes(_)) => {}
            (number @ 1..=4, item) => {
                let field = ["TypeMeta", "Raw", "ContentEncoding", "ContentType"][number as usize - 1];
                return Err(mismatch(ENVELOPE, field, item, LENGTH));
            }
            (_, item) => skip(ENVELOPE, item)?,
        }
    }
    let expected_version = expected.map(|expected| expected.api_version()).unwrap_or_default();
    if let Some(expected) = expected {
        if api_version.is_empty() {
            api_version = expected_version.as_str().into();
        }
        if kind.is_empty() {
            kind = expected.kind.into();
        }
    }
    let (api_version, kind) = (api_version.into_owned(), kind.into_owned());
    let Some(message) = message_of(GroupVersionKind::from_api_version(&api_version, &kind)) else {
        return Err(Error::UnknownKind { api_version, kind });
    };
    let mut object = Map::new();
    if let Err(error) = fields(raw, message, &mut object, depth, budget) {
        return Err(Error::Inside { api_version, kind, why: error.to_string() });
    }
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
    let depth = depth.checked_sub(1).ok_or_else(|| malformed("exceeded max depth"))?;
    let mut reader = Reader::new(bytes);
    while let Some((number, item)) = reader.next().map_err(unreadable(message.name))? {
        let Some(field) = message.field(number) else {
            skip(message.name, item)?;
            continue;
        };
        budget.values = budget.values.checked_sub(1).ok_or_else(|| malformed("too many values"))?;
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
                map.insert(key.into_owned(), value);
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
    fn bytes<'b>(&self, item: Item<'b>) -> Result<&'b [u8], Error> {
        if let Item::Bytes(bytes) = item { Ok(bytes) } else { Err(self.mismatch(item)) }
    }

    /// What upstream says of this field where it is of another form.
    fn mismatch(&self, item: Item<'_>) -> Error {
        let wanted = match (self.field.label, self.field.kind) {
            (Label::Map, _) => LENGTH,
            (_, Kind::Bool | Kind::Int32 | Kind::Int64) => VARINT,
            (_, Kind::Double) => FIXED_64,
            _ => LENGTH,
        };
        mismatch(self.message.name, &in_go(self.field.name.unwrap_or_default()), item, wanted)
    }

    /// One item of a list, or several numbers in one piece.
    fn items(&mut self, item: Item<'_>, list: &mut Vec<Value>) -> Result<(), Error> {
        match (self.field.kind, item) {
            (Kind::Bool | Kind::Int32 | Kind::Int64, Item::Bytes(bytes)) => {
                let mut reader = Reader::new(bytes);
                while let Some(number) = reader.next_varint().map_err(unreadable(self.message.name))? {
                    self.budget.values =
                        self.budget.values.checked_sub(1).ok_or_else(|| malformed("too many values"))?;
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

    fn entry<'b>(&mut self, bytes: &'b [u8]) -> Result<(Cow<'b, str>, Value), Error> {
        let (mut key, mut value) = (Cow::default(), None);
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, item) {
                (1, Item::Bytes(bytes)) => key = text(bytes),
                // Upstream takes whatever stands there for the length of the key, which is hardly ever that long.
                (1, _) => return Err(unreadable(self.message.name)(Problem::Truncated)),
                (2, item) => value = self.value(item, value)?,
                (_, item) => skip(self.message.name, item)?,
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
        Ok(Some(match (self.field.kind, item) {
            (Kind::Bool, Item::Varint(number)) => Value::Bool(number != 0),
            // As upstream, the higher half is dropped: a negative number is written with 64 bits.
            (Kind::Int32, Item::Varint(number)) => (number as i32).into(),
            (Kind::Int64, Item::Varint(number)) => number.cast_signed().into(),
            (Kind::Double, Item::Fixed64(bits)) => {
                let number = Number::from_f64(f64::from_bits(bits));
                Value::Number(number.ok_or_else(|| malformed("not a finite number"))?)
            }
            (Kind::String, Item::Bytes(bytes)) => text(bytes).into(),
            (Kind::Bytes, Item::Bytes(bytes)) => STANDARD.encode(bytes).into(),
            (Kind::Time | Kind::MicroTime, Item::Bytes(bytes)) => return self.time(bytes),
            (Kind::Duration, Item::Bytes(bytes)) => self.duration(bytes)?,
            (Kind::Quantity, Item::Bytes(bytes)) => match texts("Quantity", ["String_", ""], bytes)? {
                [quantity, _] if quantity.is_empty() => "0".into(),
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
            (_, item) => return Err(self.mismatch(item)),
        }))
    }

    fn time(&self, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, item) {
                (1, Item::Varint(number)) => seconds = number.cast_signed(),
                (2, Item::Varint(number)) => nanos = number as i32,
                (1, item) => return Err(mismatch("Timestamp", "Seconds", item, VARINT)),
                (2, item) => return Err(mismatch("Timestamp", "Nanos", item, VARINT)),
                (_, item) => skip("Timestamp", item)?,
            }
        }
        // As upstream: the epoch itself is what a time that was never set looks like.
        if (seconds, nanos) == (0, 0) {
            return Ok(None);
        }
        let time = Timestamp::new(seconds, nanos).map_err(|_| malformed("time out of range"))?;
        let text = if self.field.kind == Kind::MicroTime { time::format_micro(time) } else { time::format(time) };
        // RFC 3339 has years of four digits.
        if text.find('-') == Some(4) { Ok(Some(text.into())) } else { Err(malformed("time out of range")) }
    }

    fn duration(&self, bytes: &[u8]) -> Result<Value, Error> {
        let mut nanoseconds = 0;
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, item) {
                (1, Item::Varint(number)) => nanoseconds = number.cast_signed(),
                (1, item) => return Err(mismatch("Duration", "Duration", item, VARINT)),
                (_, item) => skip("Duration", item)?,
            }
        }
        let text = go::format_duration(Duration::from_nanos(nanoseconds.unsigned_abs()));
        Ok(if nanoseconds < 0 { format!("-{text}") } else { text }.into())
    }

    fn int_or_string(&self, bytes: &[u8]) -> Result<Value, Error> {
        let (mut form, mut integer, mut string) = (0, 0, Cow::default());
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, item) {
                (1, Item::Varint(number)) => form = number,
                (2, Item::Varint(number)) => integer = number as i32,
                (3, Item::Bytes(bytes)) => string = text(bytes),
                (1, item) => return Err(mismatch("IntOrString", "Type", item, VARINT)),
                (2, item) => return Err(mismatch("IntOrString", "IntVal", item, VARINT)),
                (3, item) => return Err(mismatch("IntOrString", "StrVal", item, LENGTH)),
                (_, item) => skip("IntOrString", item)?,
            }
        }
        match form {
            0 => Ok(integer.into()),
            1 => Ok(string.into()),
            _ => Err(malformed("neither a number nor text")),
        }
    }

    /// JSON in the first field, or an object in protobuf there; nothing if it is empty.
    fn json(&mut self, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let mut raw: &[u8] = &[];
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, item) {
                (1, Item::Bytes(bytes)) => raw = bytes,
                (1, item) => return Err(mismatch(self.message.name, "Raw", item, LENGTH)),
                (_, item) => skip(self.message.name, item)?,
            }
        }
        if raw.is_empty() {
            return Ok(None);
        }
        if raw.starts_with(MAGIC) {
            let depth = self.depth.checked_sub(1).ok_or_else(|| malformed("exceeded max depth"))?;
            return envelope(raw, None, depth, self.budget).map(Some);
        }
        let limits = Limits { depth: self.depth, ..self.budget.limits };
        let decoded = decode::json(raw, &limits).map_err(Error::Json)?;
        Ok(Some(decoded.value))
    }

    /// A schema, or what stands in its place; nothing if there is neither.
    fn schema(&mut self, instead: Instead, bytes: &[u8]) -> Result<Option<Value>, Error> {
        let (mut schema, mut allowed, mut list) = (None, false, Vec::new());
        // The truth value comes before the schema, lists behind it.
        let first = if instead == Instead::Bool { 2 } else { 1 };
        let mut reader = Reader::new(bytes);
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match (number, instead, item) {
                (1, Instead::Bool, Item::Varint(number)) => allowed = number != 0,
                (number, _, Item::Bytes(bytes)) if number == first => schema = Some(self.schema_of(bytes)?),
                (2, Instead::Schemas, Item::Bytes(bytes)) => list.push(self.schema_of(bytes)?),
                (2, Instead::Strings, Item::Bytes(bytes)) => list.push(text(bytes).into()),
                (1 | 2, _, item) => return Err(self.mismatch(item)),
                (_, _, item) => skip(self.message.name, item)?,
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
        while let Some((number, item)) = reader.next().map_err(unreadable(self.message.name))? {
            match number {
                1 => list.push(text(self.bytes(item)?).into()),
                _ => skip(self.message.name, item)?,
            }
        }
        Ok(Value::Array(list))
    }
}

/// Text that is not Unicode is taken for the characters that stand for that: upstream would keep the bytes, but show
/// those characters.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The first two fields of a message of text.
fn texts<'a>(message: &str, names: [&str; 2], bytes: &'a [u8]) -> Result<[Cow<'a, str>; 2], Error> {
    let mut texts = [Cow::default(), Cow::default()];
    let mut reader = Reader::new(bytes);
    while let Some((number, item)) = reader.next().map_err(unreadable(message))? {
        let index = number as usize - 1;
        match (texts.get_mut(index), item) {
            (Some(slot), Item::Bytes(bytes)) => *slot = text(bytes),
            (Some(_), item) => return Err(mismatch(message, names[index], item, LENGTH)),
            (None, item) => skip(message, item)?,
        }
    }
    Ok(texts)
}

/// The name that a field of the API has in the types that upstream generates its decoders from.
fn in_go(field: &str) -> String {
    match field {
        "metadata" => return "ObjectMeta".into(),
        "uid" => return "UID".into(),
        "apiVersion" => return "APIVersion".into(),
        _ => {}
    }
    let mut letters = field.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

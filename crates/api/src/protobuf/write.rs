//! From objects to bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::table::{self, Field, Instead, Kind, Label, Message};
use super::{MAGIC, message_of};
use crate::description::GroupVersionKind;
use crate::time;

/// Why an object cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// Objects of this kind are not exchanged in protobuf.
    #[error(
        "kind \"{kind}\" of \"{api_version}\" does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message"
    )]
    UnknownKind {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// A value is not what the message wants.
    #[error("{message}.{field}: {problem}")]
    Value {
        /// Name of the message.
        message: &'static str,
        /// Name of the field in JSON.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Writes an object, which says its kind, with its envelope.
///
/// # Errors
/// Its kind is not exchanged in protobuf, or a value does not fit its field.
pub fn encode(object: &Value) -> Result<Vec<u8>, Unwritable> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = find(GroupVersionKind::from_api_version(api_version, kind))?;
    let mut raw = Vec::with_capacity(2048);
    if let Some(object) = object.as_object() {
        fields(&mut raw, message, object)?;
    }
    let mut body = head(api_version, kind, raw.len());
    body.extend_from_slice(&raw);
    body.extend_from_slice(TAIL);
    Ok(body)
}

/// Writes the event of a watch around an object that is written already. Its length comes first, as
/// nothing in the bytes says where an event ends.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let object_size = 1 + size_of_varint(object.len()) + object.len();
    let size = 1 + size_of_varint(event.len()) + event.len() + 1 + size_of_varint(object_size) + object_size;
    let mut frame = Vec::with_capacity(4 + size);
    frame.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    bytes(&mut frame, 1, event.as_bytes());
    tag(&mut frame, 2, LENGTH);
    varint(&mut frame, object_size as u64);
    bytes(&mut frame, 1, object);
    frame
}

/// A list that is written item by item.
#[derive(Debug)]
pub struct List {
    item: &'static Message,
    api_version: String,
    kind: String,
    raw: Vec<u8>,
}

impl List {
    /// A list of objects of the kind `item` with this metadata and no items yet.
    ///
    /// # Errors
    /// The kind is not exchanged in protobuf.
    pub fn new(item: GroupVersionKind<'_>, metadata: &Value) -> Result<Self, Unwritable> {
        let message = find(item)?;
        let (api_version, kind) = (item.api_version(), format!("{}List", item.kind));
        let list = find(GroupVersionKind { kind: &kind, ..item })?;
        let mut raw = Vec::new();
        // Every list has its metadata first and then its items.
        let only_metadata: Map<String, Value> = [("metadata".to_owned(), metadata.clone())].into_iter().collect();
        fields(&mut raw, list, &only_metadata)?;
        Ok(Self { item: message, api_version, kind, raw })
    }

    /// Adds an item.
    ///
    /// # Errors
    /// A value does not fit its field.
    pub fn push(&mut self, item: &Value) -> Result<(), Unwritable> {
        let Some(item) = item.as_object() else { return Ok(()) };
        nested(&mut self.raw, ITEMS, |out| fields(out, self.item, item))
    }

    /// The list with its envelope.
    pub fn finish(self) -> Vec<u8> {
        let mut body = head(&self.api_version, &self.kind, self.raw.len());
        body.extend_from_slice(&self.raw);
        body.extend_from_slice(TAIL);
        body
    }
}

/// Number of the items of every list.
const ITEMS: u32 = 2;

/// What ends an envelope: neither compressed nor of a type of its own.
const TAIL: &[u8] = &[3 << 3 | LENGTH, 0, 4 << 3 | LENGTH, 0];

fn find(kind: GroupVersionKind<'_>) -> Result<&'static Message, Unwritable> {
    let unknown = || Unwritable::UnknownKind { api_version: kind.api_version(), kind: kind.kind.to_owned() };
    message_of(kind).ok_or_else(unknown)
}

/// The beginning of an envelope around a message of this size.
fn head(api_version: &str, kind: &str, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size + api_version.len() + kind.len() + 32);
    body.extend_from_slice(MAGIC);
    tag(&mut body, 1, LENGTH);
    let names = [api_version, kind];
    varint(&mut body, names.iter().map(|name| 1 + size_of_varint(name.len()) + name.len()).sum::<usize>() as u64);
    bytes(&mut body, 1, api_version.as_bytes());
    bytes(&mut body, 2, kind.as_bytes());
    tag(&mut body, 2, LENGTH);
    varint(&mut body, size as u64);
    body
}

/// Writes the fields of an object in the order of their numbers.
fn fields(out: &mut Vec<u8>, message: &'static Message, object: &Map<String, Value>) -> Result<(), Unwritable> {
    for field in &message.fields {
        let Some(name) = field.name else {
            let Kind::Message(inner) = field.kind else { continue };
            let inner = table::builtin().at(inner);
            if !field.is_optional || inner.has_any(object) {
                nested(out, field.number, |out| fields(out, inner, object))?;
            }
            continue;
        };
        let place = Place { message, field, name };
        let value = object.get(name).filter(|value| !value.is_null());
        match (field.label, value) {
            (Label::Once, None) if field.is_optional => {}
            (Label::Once, None) => place.zero(out)?,
            (Label::Once, Some(value)) => place.value(out, field.number, value)?,
            (_, None) => {}
            (Label::List, Some(value)) => {
                let list = value.as_array().ok_or_else(|| place.wrong("not a list"))?;
                list.iter().try_for_each(|item| place.value(out, field.number, item))?;
            }
            (Label::Map, Some(value)) => {
                let map = value.as_object().ok_or_else(|| place.wrong("not an object"))?;
                // The keys of an object are in order.
                for (key, value) in map {
                    nested(out, field.number, |out| {
                        bytes(out, 1, key.as_bytes());
                        place.value(out, 2, value)
                    })?;
                }
            }
        }
    }
    Ok(())
}

impl Message {
    fn has_any(&self, object: &Map<String, Value>) -> bool {
        self.fields.iter().any(|field| field.name.is_some_and(|name| object.contains_key(name)))
    }
}

/// A field that is being written.
struct Place {
    message: &'static Message,
    field: &'static Field,
    name: &'static str,
}

impl Place {
    fn wrong(&self, problem: &'static str) -> Unwritable {
        Unwritable::Value { message: self.message.name, field: self.name, problem }
    }

    /// Writes a field that was never set and is written nevertheless.
    fn zero(&self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let number = self.field.number;
        match self.field.kind {
            // These three say themselves whether they are there.
            Kind::Bytes | Kind::Strings | Kind::Schema(_) => {}
            Kind::Bool | Kind::Int32 | Kind::Int64 => number_of(out, number, 0),
            Kind::Double => double(out, number, 0.0),
            Kind::String | Kind::Time | Kind::MicroTime | Kind::Json => bytes(out, number, b""),
            Kind::Quantity => quantity(out, number, "0"),
            Kind::IntOrString => int_or_string(out, number, 0, 0, ""),
            Kind::Message(inner) => {
                nested(out, number, |out| fields(out, table::builtin().at(inner), &Map::new()))?;
            }
        }
        Ok(())
    }

    fn value(&self, out: &mut Vec<u8>, number: u32, value: &Value) -> Result<(), Unwritable> {
        match (self.field.kind, value) {
            (Kind::Bool, Value::Bool(value)) => number_of(out, number, u64::from(*value)),
            (Kind::Int32 | Kind::Int64, Value::Number(value)) => {
                let value = value.as_i64().ok_or_else(|| self.wrong("not a whole number"))?;
                number_of(out, number, value.cast_unsigned());
            }
            (Kind::Double, Value::Number(value)) => double(out, number, value.as_f64().unwrap_or_default()),
            (Kind::String, Value::String(text)) => bytes(out, number, text.as_bytes()),
            (Kind::Bytes, Value::String(text)) => bytes(out, number, &self.base64(text)?),
            (Kind::Time | Kind::MicroTime, Value::String(text)) => self.time(out, number, text)?,
            (Kind::Quantity, Value::String(text)) => quantity(out, number, text),
            (Kind::Quantity, Value::Number(amount)) => quantity(out, number, &amount.to_string()),
            (Kind::IntOrString, Value::String(text)) => int_or_string(out, number, 1, 0, text),
            (Kind::IntOrString, Value::Number(value)) => {
                let value = value.as_i64().ok_or_else(|| self.wrong("not a whole number"))?;
                int_or_string(out, number, 0, value, "");
            }
            (Kind::Json, value) => {
                let json = serde_json::to_vec(value).map_err(|_| self.wrong("cannot be written as JSON"))?;
                nested(out, number, |out| {
                    bytes(out, 1, &json);
                    Ok(())
                })?;
            }
            (Kind::Strings, Value::Array(list)) => {
                nested(out, number, |out| list.iter().try_for_each(|item| self.text(out, 1, item)))?;
            }
            (Kind::Schema(instead), value) => nested(out, number, |out| self.schema(out, instead, value))?,
            (Kind::Message(inner), Value::Object(object)) => {
                nested(out, number, |out| fields(out, table::builtin().at(inner), object))?;
            }
            // What a list or map holds although it is nothing.
            (Kind::Message(_) | Kind::Strings | Kind::Time | Kind::MicroTime, Value::Null) => bytes(out, number, b""),
            _ => return Err(self.wrong("of another type")),
        }
        Ok(())
    }

    fn text(&self, out: &mut Vec<u8>, number: u32, value: &Value) -> Result<(), Unwritable> {
        bytes(out, number, value.as_str().ok_or_else(|| self.wrong("not text"))?.as_bytes());
        Ok(())
    }

    fn base64(&self, text: &str) -> Result<Vec<u8>, Unwritable> {
        let decoded = if text.contains(['\r', '\n']) {
            STANDARD.decode(text.replace(['\r', '\n'], ""))
        } else {
            STANDARD.decode(text)
        };
        decoded.map_err(|_| self.wrong("not base64"))
    }

    fn time(&self, out: &mut Vec<u8>, number: u32, text: &str) -> Result<(), Unwritable> {
        let time = time::parse(text).ok_or_else(|| self.wrong("not a time"))?;
        // Whole seconds are counted down to, so that what is left is never negative.
        let nanos = time.as_nanosecond().rem_euclid(1_000_000_000);
        let seconds = time.as_nanosecond().div_euclid(1_000_000_000) as i64;
        let nanos = if self.field.kind == Kind::MicroTime { nanos / 1000 * 1000 } else { 0 };
        nested(out, number, |out| {
            number_of(out, 1, seconds.cast_unsigned());
            number_of(out, 2, nanos as u64);
            Ok(())
        })
    }

    /// The other way round of reading: a truth value comes before the schema, lists behind it.
    fn schema(&self, out: &mut Vec<u8>, instead: Instead, value: &Value) -> Result<(), Unwritable> {
        let schema = |out: &mut Vec<u8>, number: u32, object: &Map<String, Value>| {
            nested(out, number, |out| fields(out, table::builtin().schema(), object))
        };
        match (instead, value) {
            (Instead::Bool, Value::Bool(allowed)) => number_of(out, 1, u64::from(*allowed)),
            (Instead::Bool, Value::Object(object)) => {
                number_of(out, 1, 1);
                schema(out, 2, object)?;
            }
            (Instead::Schemas | Instead::Strings, Value::Object(object)) => schema(out, 1, object)?,
            (Instead::Schemas, Value::Array(list)) => {
                for item in list {
                    schema(out, 2, item.as_object().ok_or_else(|| self.wrong("not a schema"))?)?;
                }
            }
            (Instead::Strings, Value::Array(list)) => list.iter().try_for_each(|item| self.text(out, 2, item))?,
            _ => return Err(self.wrong("not a schema")),
        }
        Ok(())
    }
}

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn size_of_varint(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, LENGTH);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number_of(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, VARINT);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    tag(out, number, FIXED_64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn quantity(out: &mut Vec<u8>, number: u32, text: &str) {
    tag(out, number, LENGTH);
    varint(out, (1 + size_of_varint(text.len()) + text.len()) as u64);
    bytes(out, 1, text.as_bytes());
}

fn int_or_string(out: &mut Vec<u8>, number: u32, form: u64, integer: i64, text: &str) {
    let mut inner = Vec::with_capacity(16 + text.len());
    number_of(&mut inner, 1, form);
    number_of(&mut inner, 2, integer.cast_unsigned());
    bytes(&mut inner, 3, text.as_bytes());
    bytes(out, number, &inner);
}

/// Writes a message, whose length is known only afterwards: most are short, so that one byte is
/// left for it and the content moved where that is too little.
fn nested(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritable>,
) -> Result<(), Unwritable> {
    tag(out, number, LENGTH);
    let start = out.len();
    out.push(0);
    write(out)?;
    let mut size = out.len() - start - 1;
    let more = size_of_varint(size) - 1;
    if more > 0 {
        out.extend_from_slice(&[0; 9][..more]);
        out.copy_within(start + 1..start + 1 + size, start + 1 + more);
    }
    let mut place = start;
    while size >= 0x80 {
        out[place] = size as u8 | 0x80;
        size >>= 7;
        place += 1;
    }
    out[place] = size as u8;
    Ok(())
}

//! From objects, as JSON, to bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_base::go;
use serde_json::Number;

use super::json::{self, Document, Object, Value};
use super::table::{self, Field, Instead, Kind, Label, Message};
use super::{MAGIC, message_of, wire};
use crate::description::GroupVersionKind;
use crate::time;

mod list;

pub use list::List;

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
    /// It is not JSON, or not an object.
    #[error("the object cannot be decoded: {problem} at offset {offset}")]
    Malformed {
        /// Where in its text.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
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

/// The same inside, where results are passed on for every value: they have to be small.
pub(super) type Failure = Box<Unwritable>;

/// Writes an object, which is given as JSON and says its kind, with its envelope.
///
/// # Errors
/// It is not JSON, its kind is not exchanged in protobuf, or a value does not fit its field.
pub fn encode(object: &[u8]) -> Result<Vec<u8>, Unwritable> {
    let mut out = Vec::with_capacity(object.len() + ENVELOPE);
    enveloped(&mut out, object).map_err(|failure| *failure)?;
    Ok(out)
}

/// Writes the event of a watch around an object, which is given as JSON. Its length comes first, as nothing in
/// the bytes says where an event ends.
///
/// # Errors
/// The object cannot be written.
pub fn watch_frame(event: &str, object: &[u8]) -> Result<Vec<u8>, Unwritable> {
    let mut frame = Vec::with_capacity(object.len() + 2 * ENVELOPE);
    frame_around(&mut frame, event, |out| enveloped(out, object)).map_err(|failure| *failure)?;
    Ok(frame)
}

/// Room that an envelope takes at most, nearly.
const ENVELOPE: usize = 128;

/// What ends an envelope: neither compressed nor of a type of its own.
const TAIL: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

pub(super) fn frame_around(
    frame: &mut Vec<u8>,
    event: &str,
    object: impl FnOnce(&mut Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    frame.extend_from_slice(&[0; 4]);
    wire::bytes(frame, 1, event.as_bytes());
    wire::nested(frame, 2, |out| wire::nested(out, 1, object))?;
    let size = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

fn find(kind: GroupVersionKind<'_>) -> Result<&'static Message, Failure> {
    let unknown = || Unwritable::UnknownKind { api_version: kind.api_version(), kind: kind.kind.to_owned() };
    message_of(kind).ok_or_else(|| unknown().into())
}

fn check_text(object: &[u8]) -> Result<(), Failure> {
    if object.is_ascii() {
        return Ok(());
    }
    std::str::from_utf8(object)
        .map(|_| ())
        .map_err(|error| Unwritable::Malformed { offset: error.valid_up_to(), problem: "text is not UTF-8" }.into())
}

fn enveloped(out: &mut Vec<u8>, object: &[u8]) -> Result<(), Failure> {
    check_text(object)?;
    let [api_version, kind] = json::type_of(object)?;
    let message = find(GroupVersionKind::from_api_version(&api_version, &kind))?;
    envelope_until_object(out, &api_version, &kind);
    let mut document = Document::default();
    let object = document.read(object, message)?;
    wire::nested(out, 2, |out| fields(out, message, object))?;
    out.extend_from_slice(TAIL);
    Ok(())
}

/// The beginning of an envelope, up to the object.
fn envelope_until_object(out: &mut Vec<u8>, api_version: &str, kind: &str) {
    out.extend_from_slice(MAGIC);
    wire::message(out, 1, |out| {
        wire::bytes(out, 1, api_version.as_bytes());
        wire::bytes(out, 2, kind.as_bytes());
    });
}

/// Writes the fields of an object in the order of their numbers.
fn fields(out: &mut Vec<u8>, message: &'static Message, object: Object<'_>) -> Result<(), Failure> {
    for field in &message.fields {
        let Some(name) = field.name else {
            let Kind::Message(inner) = field.kind else { continue };
            let inner = table::builtin().at(inner);
            wire::nested(out, field.number, |out| fields(out, inner, object.part(field.place, inner)))?;
            continue;
        };
        let Some(value) = object.at(field.place) else {
            if !field.zero.is_empty() {
                out.extend_from_slice(&field.zero);
            }
            continue;
        };
        let place = Place { message, field, name };
        match (field.label, value) {
            (Label::Once, value) => place.value(out, field.number, value)?,
            (Label::List, Value::List(mut list)) => {
                list.try_for_each(|item| place.value(out, field.number, item))?;
            }
            (Label::List, _) => return Err(place.wrong("not a list")),
            (Label::Map, Value::Map(mut map)) => {
                while let (Some(Value::Text(key)), Some(value)) = (map.next(), map.next()) {
                    wire::nested(out, field.number, |out| {
                        wire::bytes(out, 1, key);
                        place.value(out, 2, value)
                    })?;
                }
            }
            (Label::Map, _) => return Err(place.wrong("not an object")),
        }
    }
    Ok(())
}

/// A field that is being written.
struct Place {
    message: &'static Message,
    field: &'static Field,
    name: &'static str,
}

impl Place {
    #[cold]
    fn wrong(&self, problem: &'static str) -> Failure {
        Unwritable::Value { message: self.message.name, field: self.name, problem }.into()
    }

    fn value(&self, out: &mut Vec<u8>, number: u32, value: Value<'_>) -> Result<(), Failure> {
        match (self.field.kind, value) {
            (Kind::Bool, Value::Bool(value)) => wire::integer(out, number, u64::from(value)),
            (Kind::Int32 | Kind::Int64, Value::Number(value)) => {
                wire::integer(out, number, self.whole(value)?.cast_unsigned());
            }
            (Kind::Double, Value::Number(value)) => wire::double(out, number, self.float(value)?),
            (Kind::String, Value::Text(text)) => wire::bytes(out, number, text),
            (Kind::Bytes, Value::Text(text)) => self.base64(out, number, text)?,
            (Kind::Time | Kind::MicroTime, Value::Text(text)) => self.time(out, number, text)?,
            (Kind::Duration, Value::Text(text)) => {
                let read = std::str::from_utf8(text).ok().and_then(|text| go::parse_duration(text).ok());
                let nanoseconds = read.ok_or_else(|| self.wrong("not a duration"))?;
                wire::message(out, number, |out| wire::integer(out, 1, nanoseconds.cast_unsigned()));
            }
            (Kind::Quantity, Value::Text(text)) => wire::wrapped(out, number, text),
            (Kind::Quantity, Value::Number(amount)) => {
                let amount: Number = serde_json::from_slice(amount).map_err(|_| self.wrong("not a number"))?;
                wire::wrapped(out, number, amount.to_string().as_bytes());
            }
            (Kind::IntOrString, Value::Text(text)) => wire::int_or_string(out, number, Err(text)),
            (Kind::IntOrString, Value::Number(value)) => wire::int_or_string(out, number, Ok(self.whole(value)?)),
            (Kind::Json, Value::Json(json)) => wire::wrapped(out, number, json),
            (Kind::Strings, Value::List(mut list)) => {
                wire::nested(out, number, |out| list.try_for_each(|item| self.text(out, 1, item)))?;
            }
            (Kind::Schema(instead), value) => wire::nested(out, number, |out| self.schema(out, instead, value))?,
            (Kind::Message(inner), Value::Object(object)) => {
                wire::nested(out, number, |out| fields(out, table::builtin().at(inner), object))?;
            }
            // What a list or map holds although it is nothing.
            (Kind::Message(_) | Kind::Strings | Kind::Time | Kind::MicroTime, Value::Null) => {
                wire::bytes(out, number, b"");
            }
            _ => return Err(self.wrong("of another type")),
        }
        Ok(())
    }

    fn whole(&self, number: &[u8]) -> Result<i64, Failure> {
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        number.ok_or_else(|| self.wrong("not a whole number"))
    }

    fn float(&self, number: &[u8]) -> Result<f64, Failure> {
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        number.ok_or_else(|| self.wrong("not a number"))
    }

    fn text(&self, out: &mut Vec<u8>, number: u32, value: Value<'_>) -> Result<(), Failure> {
        let Value::Text(text) = value else { return Err(self.wrong("not text")) };
        wire::bytes(out, number, text);
        Ok(())
    }

    fn base64(&self, out: &mut Vec<u8>, number: u32, text: &[u8]) -> Result<(), Failure> {
        wire::nested(out, number, |out| {
            let is_end_of_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let decoded = if text.iter().any(is_end_of_line) {
                let in_one: Vec<u8> = text.iter().copied().filter(|byte| !is_end_of_line(byte)).collect();
                STANDARD.decode_vec(in_one, out)
            } else {
                STANDARD.decode_vec(text, out)
            };
            decoded.map_err(|_| self.wrong("not base64"))
        })
    }

    fn time(&self, out: &mut Vec<u8>, number: u32, text: &[u8]) -> Result<(), Failure> {
        let (seconds, nanos) = match time::seconds(text) {
            Some(seconds) => (seconds, 0),
            None => {
                let time =
                    std::str::from_utf8(text).ok().and_then(time::parse).ok_or_else(|| self.wrong("not a time"))?;
                // Whole seconds are counted down to, so that what is left is never negative.
                let nanos = time.as_nanosecond().rem_euclid(1_000_000_000) as u64;
                let seconds = time.as_nanosecond().div_euclid(1_000_000_000) as i64;
                (seconds, if self.field.kind == Kind::MicroTime { nanos / 1000 * 1000 } else { 0 })
            }
        };
        wire::message(out, number, |out| {
            wire::integer(out, 1, seconds.cast_unsigned());
            wire::integer(out, 2, nanos);
        });
        Ok(())
    }

    /// The other way round of reading: a truth value comes before the schema, lists behind it.
    fn schema(&self, out: &mut Vec<u8>, instead: Instead, value: Value<'_>) -> Result<(), Failure> {
        let schema = |out: &mut Vec<u8>, number: u32, value: Value<'_>| {
            let Value::Object(object) = value else { return Err(self.wrong("not a schema")) };
            wire::nested(out, number, |out| fields(out, table::builtin().schema(), object))
        };
        match (instead, value) {
            (Instead::Bool, Value::Bool(allowed)) => wire::integer(out, 1, u64::from(allowed)),
            (Instead::Bool, Value::Object(_)) => {
                wire::integer(out, 1, 1);
                schema(out, 2, value)?;
            }
            (Instead::Schemas | Instead::Strings, Value::Object(_)) => schema(out, 1, value)?,
            (Instead::Schemas, Value::List(mut list)) => list.try_for_each(|item| schema(out, 2, item))?,
            (Instead::Strings, Value::List(mut list)) => list.try_for_each(|item| self.text(out, 2, item))?,
            _ => return Err(self.wrong("not a schema")),
        }
        Ok(())
    }
}

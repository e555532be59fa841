//! From the bytes of a body to a value, in the form that its type says.

use portolan_api::decode::{self, Decoded, Limits};
use portolan_api::description::GroupVersionKind;
use portolan_api::protobuf;
use serde_json::Value;

use super::{Call, kinds};
use crate::status::Status;

const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

impl Call<'_> {
    /// Reads a body in the form that its type says. It should hold an object of the kind `expected`.
    pub(crate) fn decoded(&self, bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Decoded, Status> {
        self.parsed(bytes, expected)?.map_err(|unread| match unread {
            Unread::TooLarge(limit) => Status::too_large(limit),
            Unread::Unknown(why) => unrecognized(bytes, expected, &why),
            Unread::Inside { version, kind, why } => {
                let expected = expected.kind;
                Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {expected}: {why}"))
            }
        })
    }

    /// Reads options, of which a decoder's words are told as they are.
    pub(super) fn decoded_options(&self, bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Decoded, Status> {
        self.parsed(bytes, expected)?.map_err(|unread| match unread {
            Unread::TooLarge(limit) => Status::too_large(limit),
            Unread::Unknown(why) | Unread::Inside { why, .. } => Status::bad_request(why),
        })
    }

    fn parsed(&self, bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Result<Decoded, Unread>, Status> {
        match self.content_type() {
            "" | "application/json" => Ok(parse_as(bytes, false)),
            "application/yaml" => Ok(parse_as(bytes, true)),
            protobuf::MEDIA_TYPE if protobuf::knows(expected) => Ok(parse_protobuf(bytes, expected)),
            other => {
                // Users' objects have no protobuf, but upstream names it nevertheless.
                let named = protobuf::knows(expected) || self.is_of_users(expected);
                let supported = if named { &MEDIA_TYPES[..] } else { &MEDIA_TYPES[..2] };
                Err(Status::unsupported_media_type(other, supported))
            }
        }
    }
}

/// Why a body cannot be read.
enum Unread {
    TooLarge(usize),
    /// The text is a decoder's; nobody could tell yet what is in the body.
    Unknown(String),
    /// The same, of what is in an object whose kind was told.
    Inside {
        version: String,
        kind: String,
        why: String,
    },
}

/// Parses JSON or YAML in which an object should stand.
fn parse_as(bytes: &[u8], yaml: bool) -> Result<Decoded, Unread> {
    let json_problem = |text: &str| Unread::Unknown(format!("couldn't get version/kind; json parse error: {text}"));
    let decoded = parsed(bytes, yaml).map_err(|error| match error {
        decode::Error::TooLarge { limit } => Unread::TooLarge(limit),
        // Deeper than is read here, but upstream says what it says of any list.
        decode::Error::TooDeep if bytes.trim_ascii_start().starts_with(b"[") => {
            Unread::Unknown(kinds::unreadable(&Value::Array(Vec::new())).unwrap_or_default())
        }
        error @ (decode::Error::Json(_) | decode::Error::TooDeep) => json_problem(&error.to_string()),
        decode::Error::Yaml(text) => Unread::Unknown(text),
    })?;
    match kinds::unreadable(&decoded.value) {
        None => Ok(decoded),
        Some(problem) => Err(Unread::Unknown(problem)),
    }
}

fn parsed(bytes: &[u8], yaml: bool) -> Result<Decoded, decode::Error> {
    let limits = Limits::default();
    if yaml { decode::yaml(bytes, &limits) } else { decode::clipped_json(bytes, &limits) }
}

/// Parses bytes as protobuf.
fn parse_protobuf(bytes: &[u8], expected: GroupVersionKind<'_>) -> Result<Decoded, Unread> {
    let value = protobuf::decode(bytes, Some(expected), &Limits::default()).map_err(|error| match error {
        protobuf::Error::TooLarge { limit } => Unread::TooLarge(limit),
        protobuf::Error::Inside { api_version, kind, why } => {
            let version = GroupVersionKind::from_api_version(&api_version, "").version.to_owned();
            Unread::Inside { version, kind, why }
        }
        protobuf::Error::UnknownKind { api_version, kind } => {
            let found = GroupVersionKind::from_api_version(&api_version, &kind);
            let why = kinds::not_registered(found, expected.group);
            Unread::Inside { version: found.version.to_owned(), kind: kind.clone(), why }
        }
        error => Unread::Unknown(error.to_string()),
    })?;
    Ok(Decoded { value, duplicates: Vec::new(), is_clipped: false })
}

/// How much of a body a refusal shows.
const SHOWN: usize = 30;

/// 400 for a body that is nothing, with its beginning as upstream shows it.
pub(super) fn unrecognized(bytes: &[u8], expected: GroupVersionKind<'_>, why: &str) -> Status {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let mut summary = match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if bytes.len() > SHOWN {
        summary.push_str(" ...");
    }
    let kind = expected.kind;
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({summary})"))
}

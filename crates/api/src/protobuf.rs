//! Objects in protobuf, as typed clients send them: `application/vnd.kubernetes.protobuf`.
//!
//! A body is `k8s\0` and an envelope that names the kind and holds the object's own message.
//! Reading gives the same object as the client's JSON would; which field of a message is which
//! field in JSON stands in a table that is generated from the types published for Go. Writing gives
//! the bytes that upstream writes: fields by number, maps by key, zeros unless they may be absent.

use serde_json::Value;

use crate::decode::{self, Limits};
use crate::description::GroupVersionKind;

mod json;
mod read;
mod table;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub use write::{List, Unwritable, encode, watch_frame};

/// The media type of bodies in protobuf.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// Kinds that every group has.
const OF_ALL_GROUPS: [&str; 13] = [
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "APIVersions",
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PartialObjectMetadata",
    "PartialObjectMetadataList",
    "PatchOptions",
    "Status",
    "UpdateOptions",
];

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is too large.
    #[error("Request body is too large: limit is {limit}")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It does not start as every such body does.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// It is nothing.
    #[error("empty data")]
    Empty,
    /// It is nothing but how every such body starts.
    #[error("empty body")]
    OnlyMagic,
    /// It is not well-formed, or does not fit the message.
    #[error("{0}")]
    Malformed(String),
    /// The same of the object in it, whose kind was told.
    #[error("{why}")]
    Inside {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
        /// What is wrong.
        why: String,
    },
    /// It holds JSON that cannot be read.
    #[error("{0}")]
    Json(decode::Error),
    /// Objects of this kind are not exchanged in protobuf.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\" in protobuf")]
    UnknownKind {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
    },
}

/// Reads a body. An object that does not say what it is, is of the kind `expected`.
///
/// Fields that the table lacks belong to newer releases and are skipped, as upstream does.
///
/// # Errors
/// The body is larger or deeper than the limits, is malformed, or is of a kind that is not
/// exchanged in protobuf.
pub fn decode(body: &[u8], expected: Option<GroupVersionKind<'_>>, limits: &Limits) -> Result<Value, Error> {
    if body.len() > limits.bytes {
        return Err(Error::TooLarge { limit: limits.bytes });
    }
    match body.strip_prefix(MAGIC) {
        Some([]) => return Err(Error::OnlyMagic),
        None if body.is_empty() => return Err(Error::Empty),
        _ => {}
    }
    read::body(body, expected, limits)
}

/// Whether objects of a kind are exchanged in protobuf.
pub fn knows(kind: GroupVersionKind<'_>) -> bool {
    message_of(kind).is_some()
}

/// Definitions and those of their fields that upstream's JSON leaves out if there is nothing in them.
pub(crate) fn left_out_if_empty() -> Vec<(&'static str, &'static str)> {
    table::left_out_if_empty()
}

/// The message of a kind.
fn message_of(kind: GroupVersionKind<'_>) -> Option<&'static table::Message> {
    let table = table::builtin();
    // Options, Status and metadata belong to every group.
    let of_all_groups = || {
        OF_ALL_GROUPS.contains(&kind.kind).then_some(GroupVersionKind { group: "meta.k8s.io", version: "v1", ..kind })
    };
    table.message(kind).or_else(|| table.message(of_all_groups()?))
}

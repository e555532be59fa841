//! Objects in protobuf, as typed clients send them: `application/vnd.kubernetes.protobuf`.
//!
//! A body is `k8s\0` and an envelope that names the kind and holds the object's own message.
//! Reading gives the same object as the client's JSON would; which field of a message is which
//! field in JSON stands in a table that `cargo xtask codegen` makes.

use serde_json::Value;

use crate::decode::{self, Limits};
use crate::description::{GroupVersionKind, builtin};

mod read;
mod table;
#[cfg(test)]
mod tests;
mod wire;

/// The media type of bodies in protobuf.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

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
    #[error("provided data does not appear to be a protobuf message, expected prefix \"k8s\\x00\"")]
    NoMagic,
    /// It is not well-formed, or does not fit the message.
    #[error("{message}: {problem}")]
    Malformed {
        /// Name of the message.
        message: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// It holds JSON that cannot be read.
    #[error("{message}: {source}")]
    Json {
        /// Name of the message.
        message: &'static str,
        /// Why not.
        source: decode::Error,
    },
    /// Its object is not encoded in protobuf, or is compressed.
    #[error("the object is encoded as \"{content_type}\" \"{content_encoding}\", which is not supported")]
    Encoding {
        /// Media type of the object.
        content_type: String,
        /// How the object is compressed.
        content_encoding: String,
    },
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
    read::body(body, expected, limits)
}

/// Whether objects of a kind are exchanged in protobuf.
pub fn knows(kind: GroupVersionKind<'_>) -> bool {
    message_of(kind).is_some()
}

/// The message of a kind.
fn message_of(kind: GroupVersionKind<'_>) -> Option<&'static table::Message> {
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
    let table = table::builtin();
    if let Some(definition) = builtin().definition_of_kind(kind) {
        return table.message(&definition.name);
    }
    // Options and Status belong to every group.
    match kind.kind {
        "DeleteOptions" | "Status" => table.message(&format!("{META}{}", kind.kind)),
        _ => None,
    }
}

//! The OpenAPI documents, made from the description.
//!
//! They hold what clients act on: paths with their kind, action, query parameters and content
//! types, and schemas with the merge rules; and a few words about kinds and fields (`about`).

use bytes::Bytes;

use serde_json::{Map, Value, json};

use crate::description::{Description, Version, builtin};

mod about;
mod custom;
mod merge;
mod operations;
mod protobuf;
mod schemas;
#[cfg(test)]
mod tests;

pub use about::about_field;
pub use merge::{v2_merge, v2_part};

/// Which form of OpenAPI is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// Where references point.
    fn prefix(self) -> &'static str {
        match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        }
    }

    fn reference(self, definition: &str) -> Value {
        json!({"$ref": format!("{}{definition}", self.prefix())})
    }
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.36.0"})
}

/// The one document of `/openapi/v2`.
///
/// Several hundred kilobytes: made anew at each call, so keep its bytes.
pub fn v2(description: &Description) -> Value {
    let mut paths = Map::new();
    let mut definitions: Map<String, Value> = builtin()
        .definitions()
        .iter()
        .map(|it| (it.name.clone().into_owned(), schemas::definition(it, Dialect::V2)))
        .collect();
    for version in description.versions() {
        paths.extend(operations::paths(version, Dialect::V2));
        definitions.extend(custom::schemas(version, Dialect::V2));
    }
    json!({"swagger": "2.0", "info": info(), "paths": paths, "definitions": definitions})
}

/// What kubectl asks for at `/openapi/v2`. Because of the `@` it is no valid media type.
pub const V2_PROTOBUF_ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What the answer must call itself instead: clients refuse the `@` there.
pub const V2_PROTOBUF_CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document of [`v2`] as [`V2_PROTOBUF_CONTENT_TYPE`], the only form that kubectl asks for.
///
/// Made anew at each call, so keep it.
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    protobuf::encode(document)
}

/// `apis/apps/v1`, the name of a version's document in [`v3_index`].
fn v3_name(version: &Version) -> String {
    if version.group.is_empty() {
        format!("api/{}", version.version)
    } else {
        format!("apis/{}", version.api_version())
    }
}

/// The index at `/openapi/v3`. Each document's URL carries a hash, so that it can be kept for ever.
pub fn v3_index(description: &Description) -> Value {
    let paths = description.versions().map(|version| {
        let name = v3_name(version);
        let url = format!("/openapi/v3/{name}?hash={}", hash_of(version));
        (name, json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// The version whose document has this name in the index, such as `apis/apps/v1`.
pub fn v3_version<'a>(description: &'a Description, name: &str) -> Option<&'a Version> {
    let (group, version) = match name.split('/').collect::<Vec<_>>()[..] {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    description.version(group, version)
}

/// The document of a version, encoded. Up to some hundred kilobytes: made at the first call and kept.
pub fn v3(version: &Version) -> Bytes {
    let make = || {
        let paths = operations::paths(version, Dialect::V3);
        let mut schemas = schemas::of_version(version);
        schemas.extend(custom::schemas(version, Dialect::V3));
        let document = json!({"openapi": "3.0.0", "info": info(), "paths": paths, "components": {"schemas": schemas}});
        document.to_string().into()
    };
    version.documents.openapi.get_or_init(make).clone()
}

/// Changes with the document of a version; where users defined all of it, whenever that may have changed: of their kinds
/// there can be thousands, and making all their documents to tell of them would take long.
pub fn hash_of(version: &Version) -> &str {
    version.documents.hash.get_or_init(|| {
        if version.resources.iter().any(|resource| resource.custom.is_none()) {
            return format!("{:016X}", fold(SEED, v3(version)));
        }
        let mut hash = fold(SEED, hash().bytes());
        for custom in version.resources.iter().filter_map(|resource| resource.custom.as_ref()) {
            let (uid, revision) = custom.definition.fingerprint();
            hash = fold(fold(hash, uid.bytes()), revision.to_be_bytes());
        }
        format!("{hash:016X}")
    })
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a.
fn fold(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Changes whenever documents are made differently: over the tables and the program's version.
fn hash() -> String {
    let tables = [
        include_str!("generated/resources.txt"),
        include_str!("generated/schemas.txt"),
        include_str!("openapi/about.rs"),
        include_str!("openapi/custom.rs"),
        include_str!("openapi/operations.rs"),
        include_str!("openapi/protobuf.rs"),
        include_str!("openapi/schemas.rs"),
        env!("CARGO_PKG_VERSION"),
    ];
    // Once per version and process would be a second of work together.
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HASH.get_or_init(|| format!("{:016X}", fold(SEED, tables.into_iter().chain(about::FILES).flat_map(str::bytes))))
        .clone()
}

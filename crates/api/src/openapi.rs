//! The OpenAPI documents, made from the description.
//!
//! They hold what clients act on: paths with their kind, action, query parameters and content
//! types, and schemas with the merge rules. They hold no prose.

use serde_json::{Map, Value, json};

use crate::description::{Version, builtin};

mod operations;
mod protobuf;
mod schemas;
#[cfg(test)]
mod tests;

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
pub fn v2() -> Value {
    let mut paths = Map::new();
    for version in builtin().versions() {
        paths.extend(operations::paths(version, Dialect::V2));
    }
    let definitions =
        builtin().definitions().iter().map(|it| (it.name.to_owned(), schemas::definition(it, Dialect::V2)));
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions.collect::<Map<_, _>>(),
    })
}

/// What kubectl asks for at `/openapi/v2`. Because of the `@` it is no valid media type.
pub const V2_PROTOBUF_ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What the answer must call itself instead: clients refuse the `@` there.
pub const V2_PROTOBUF_CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// [`v2`] as [`V2_PROTOBUF_CONTENT_TYPE`], the only form that kubectl asks for.
///
/// Made anew at each call, so keep it.
pub fn v2_protobuf() -> Vec<u8> {
    protobuf::encode(&v2())
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
pub fn v3_index() -> Value {
    let hash = hash();
    let paths = builtin().versions().map(|version| {
        let name = v3_name(version);
        let url = format!("/openapi/v3/{name}?hash={hash}");
        (name, json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// A document by its name in the index, such as `apis/apps/v1`. `None` if there is no such version.
///
/// Up to some hundred kilobytes: made anew at each call.
pub fn v3(name: &str) -> Option<Value> {
    let version = builtin().versions().find(|version| v3_name(version) == name)?;
    let paths = operations::paths(version, Dialect::V3);
    let schemas = schemas::of_version(version);
    Some(json!({"openapi": "3.0.0", "info": info(), "paths": paths, "components": {"schemas": schemas}}))
}

/// Changes whenever a document may have changed (FNV-1a over the tables and the program's version).
pub fn hash() -> String {
    let tables = [
        include_str!("generated/resources.txt"),
        include_str!("generated/schemas.txt"),
        include_str!("openapi/operations.rs"),
        include_str!("openapi/protobuf.rs"),
        include_str!("openapi/schemas.rs"),
        env!("CARGO_PKG_VERSION"),
    ];
    let bytes = tables.into_iter().flat_map(str::bytes);
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016X}")
}

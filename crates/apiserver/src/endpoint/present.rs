//! Objects in the form that the client asked for.

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use portolan_api::encoded;
use portolan_base::Timestamp;
use portolan_store::Revision;
use serde_json::{Value, json};

use super::{Call, kinds};
use crate::body::Body;
use crate::extensions::StrategyOf;
use crate::negotiate::{Include, Shape, View};
use crate::status::Status;
use crate::{respond, storage};

impl Call<'_> {
    /// Answers with one stored object.
    pub(crate) fn present(
        &self,
        code: u16,
        view: View,
        stored: &[u8],
        revision: Revision,
    ) -> Result<Response<Body>, Status> {
        self.expect_shape(view, Shape::One)?;
        let bytes = self.presenter().object(view, stored, revision, Columns::Shown)?;
        Ok(respond::bytes_of(code, respond::JSON, bytes))
    }

    /// Refuses to show one object as a list of metadata and the other way round; in upstream's words, which name the
    /// types of its server.
    pub(crate) fn expect_shape(&self, view: View, actual: Shape) -> Result<(), Status> {
        let View::Metadata { of, .. } = view else { return Ok(()) };
        if of == actual {
            return Ok(());
        }
        let kind = self.kind();
        let (asked, is, list) = match of {
            Shape::One => ("PartialObjectMetadata", "is", "List"),
            Shape::Many => ("PartialObjectMetadataList", "is not", ""),
        };
        let name = match self.resource.custom {
            Some(_) => format!("unstructured.Unstructured{list}"),
            None => format!("{}.{}{list}", kinds::package(kind.group, kind.kind), kind.kind),
        };
        let text = format!("you requested {asked}, but the requested object {is} a list (*{name})");
        Err(Status::new(406, "NotAcceptable", text))
    }

    pub(super) fn presenter(&self) -> Presenter {
        Presenter { strategy: StrategyOf::new(self.resource), now: self.now }
    }
}

/// Turns stored objects of one kind into the forms that clients ask for.
#[derive(Clone)]
pub(super) struct Presenter {
    pub(super) strategy: StrategyOf,
    pub(super) now: Timestamp,
}

impl Presenter {
    /// One stored object in a form.
    pub(super) fn object(
        &self,
        view: View,
        stored: &[u8],
        revision: Revision,
        columns: Columns,
    ) -> Result<Bytes, Status> {
        Ok(match view {
            View::Whole => storage::spliced(stored, revision),
            View::Metadata { version, .. } => {
                let mut bytes = BytesMut::new();
                partial(&mut bytes, stored, revision, version);
                bytes.freeze()
            }
            View::Table { version, include } => {
                let row = self.row(stored, revision, version, include)?;
                let table = json!({
                    "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": if revision.0 == 0 { json!({}) } else { json!({"resourceVersion": revision.to_string()}) },
                    "columnDefinitions": self.columns(columns), "rows": [row],
                });
                to_bytes(&table)?
            }
        })
    }

    /// What a table says of its columns.
    pub(super) fn columns(&self, columns: Columns) -> Value {
        if columns == Columns::Shown { self.strategy.column_definitions() } else { Value::Null }
    }

    /// One stored object as a row of a table.
    pub(super) fn row(
        &self,
        stored: &[u8],
        revision: Revision,
        version: &str,
        include: Include,
    ) -> Result<Value, Status> {
        let object = storage::decode_at(stored, revision)?;
        let cells = self.strategy.cells(&object, self.now);
        Ok(json!({"cells": cells, "object": included(object, version, include)}))
    }
}

/// What a row of a table of this version carries of its object; that there is nothing is said.
pub(crate) fn included(object: Value, version: &str, include: Include) -> Value {
    match include {
        Include::Nothing => Value::Null,
        Include::Object => object,
        Include::Metadata => partial_of(object, version),
    }
}

/// Whether a table says what its columns are; later events of a watch do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    Shown,
    Known,
}

fn to_bytes(value: &Value) -> Result<Bytes, Status> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Status::internal(error.to_string()))
}

/// Appends a stored object's metadata as an object of its own: a copy of bytes, nothing is decoded.
pub(super) fn partial(into: &mut BytesMut, stored: &[u8], revision: Revision, version: &str) {
    let metadata = encoded::raw_at(stored, &["metadata"]).unwrap_or(b"{}");
    let head = partial_head(version);
    into.reserve(head.len() + metadata.len() + storage::RESOURCE_VERSION_SIZE + 1);
    into.put_slice(head.as_bytes());
    storage::put_members(into, metadata.get(1..).unwrap_or(b"}"), revision);
    into.put_u8(b'}');
}

/// What comes before the members of the metadata in such an object.
pub(super) fn partial_head(version: &str) -> String {
    format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{{")
}

pub(crate) fn partial_of(mut object: Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"].take(),
    })
}

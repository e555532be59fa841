//! A collection in protobuf. The length of the whole comes first, so that it is complete before its
//! first byte is sent.

use std::sync::Arc;

use http::Response;
use portolan_api::description::GroupVersionKind;
use portolan_api::encoded;
use portolan_api::protobuf::{self, List, Unwritable};
use portolan_store::{Entry, Revision};
use serde_json::{Value, json};

use super::Call;
use crate::body::Body;
use crate::negotiate::View;
use crate::status::Status;
use crate::{respond, storage};

/// After how many objects others get their turn.
const TURN: usize = 64;

impl Call<'_> {
    pub(super) async fn list_in_protobuf(
        &self,
        view: View,
        metadata: &Value,
        entries: &[Arc<Entry>],
    ) -> Result<Response<Body>, Status> {
        let kind = match view {
            View::Metadata { version } => {
                GroupVersionKind { group: "meta.k8s.io", version, kind: "PartialObjectMetadata" }
            }
            View::Whole | View::Table { .. } => self.kind(),
        };
        let mut list = List::new(kind, metadata).map_err(|error| unwritable(&error))?;
        for turn in entries.chunks(TURN) {
            for entry in turn {
                let object = value(view, &entry.value, entry.mod_revision)?;
                list.push(&object).map_err(|error| unwritable(&error))?;
            }
            tokio::task::yield_now().await;
        }
        Ok(respond::bytes_of(200, protobuf::MEDIA_TYPE, list.finish()))
    }
}

/// A stored object, or its metadata as an object of its own.
pub(super) fn value(view: View, stored: &[u8], revision: Revision) -> Result<Value, Status> {
    let View::Metadata { version } = view else { return storage::decode_at(stored, revision) };
    let metadata = encoded::raw_at(stored, &["metadata"]).unwrap_or(b"{}");
    let mut metadata: Value = serde_json::from_slice(metadata)
        .map_err(|error| Status::internal(format!("a stored object cannot be decoded: {error}")))?;
    metadata["resourceVersion"] = revision.to_string().into();
    Ok(json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
    }))
}

/// What is stored passed the checks of its kind, so this is our fault.
pub(super) fn unwritable(error: &Unwritable) -> Status {
    tracing::error!(%error, "a stored object cannot be written in protobuf");
    Status::internal(error.to_string())
}

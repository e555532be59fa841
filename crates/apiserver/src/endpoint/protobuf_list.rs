//! A collection in protobuf. The length of the whole comes first, so that it is complete before its
//! first byte is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_api::description::GroupVersionKind;
use portolan_api::protobuf::{self, List, Unwritable};
use portolan_store::{Entry, Revision};
use serde_json::Value;

use super::Call;
use super::present::partial;
use crate::body::{Body, BoxError};
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
            View::Metadata { version, .. } => {
                GroupVersionKind { group: "meta.k8s.io", version, kind: "PartialObjectMetadata" }
            }
            View::Whole | View::Table { .. } => self.kind(),
        };
        let mut list = List::new(kind, metadata.to_string().as_bytes()).map_err(|error| unwritable(&error))?;
        let mut object = BytesMut::new();
        for turn in entries.chunks(TURN) {
            for entry in turn {
                object.clear();
                whole_or_partial(&mut object, view, &entry.value, entry.mod_revision);
                list.push(&object).map_err(|error| unwritable(&error))?;
            }
            tokio::task::yield_now().await;
        }
        let body = Pieces::new(list.finish()).boxed_unsync();
        Ok(respond::with_body(200, protobuf::MEDIA_TYPE, body))
    }
}

/// Appends a stored object, or its metadata as an object of its own, in JSON.
pub(super) fn whole_or_partial(into: &mut BytesMut, view: View, stored: &[u8], revision: Revision) {
    match view {
        View::Metadata { version, .. } => partial(into, stored, revision, version),
        View::Whole | View::Table { .. } => storage::splice(into, stored, revision),
    }
}

/// What is stored passed the checks of its kind, so this is our fault.
pub(super) fn unwritable(error: &Unwritable) -> Status {
    tracing::error!(%error, "a stored object cannot be written in protobuf");
    Status::internal(error.to_string())
}

/// A body that is complete, but not in one piece.
struct Pieces {
    rest: std::vec::IntoIter<Vec<u8>>,
    size: u64,
}

impl Pieces {
    fn new(pieces: Vec<Vec<u8>>) -> Self {
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { rest: pieces.into_iter(), size }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let piece = this.rest.next();
        this.size -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.size == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size)
    }
}

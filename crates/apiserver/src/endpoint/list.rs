//! Reading a collection: stored bytes are copied into chunks, never decoded or collected.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_store::{Entry, KeyRange, RangeRequest, Revision};
use serde_json::{Map, Value, json};

use super::Call;
use super::page_token::PageToken;
use super::present::{Presenter, partial};
use super::select::{ReadAt, Selection, parse_integer};
use crate::body::{Body, BoxError};
use crate::negotiate::{Accepted, Format, Shape, View};
use crate::status::Status;
use crate::{respond, storage};

/// Size of the chunks of a list: large enough that TLS records are full, small enough that a
/// thousand lists at a time are no matter.
const CHUNK: usize = 64 * 1024;

/// How many entries a page with selectors reads at a time.
const SCAN: usize = 1000;

/// A page of a list, selected but not yet encoded.
pub(super) struct Page {
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) revision: Revision,
    /// All keys of the list.
    range: KeyRange,
    /// The last key, if more follow.
    next: Option<Bytes>,
    remaining: Option<usize>,
}

impl Call<'_> {
    pub(super) async fn list(&self) -> Result<Response<Body>, Status> {
        let accepted = self.accepted()?;
        self.listed(accepted, self.page().await?).await
    }

    /// The answer about a page.
    pub(super) async fn listed(&self, accepted: Accepted, page: Page) -> Result<Response<Body>, Status> {
        let Accepted { view, format } = accepted;
        self.expect_shape(view, Shape::Many)?;
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".into(), page.revision.to_string().into());
        if let Some(after) = &page.next {
            let token = PageToken::behind(after, &page.range, Some(page.revision));
            metadata.insert("continue".into(), token.into());
        } else if view == View::Whole && self.resource.custom.is_some() {
            // Lists of users' objects are written from what upstream set in them, which leaves nothing out.
            metadata.insert("continue".into(), "".into());
        }
        if let Some(remaining) = page.remaining.filter(|_| page.next.is_some()) {
            metadata.insert("remainingItemCount".into(), remaining.into());
        }
        let metadata = Value::Object(metadata);
        if format == Format::Protobuf {
            return self.list_in_protobuf(view, &metadata, &page.entries).await;
        }
        let (head, tail) = self.frame_of(view, &metadata, page.entries.is_empty());
        let named = self.resource.custom.is_some();
        let size = |entry: &Arc<Entry>| {
            let left_out = if named { 0 } else { storage::names_size(&entry.value) };
            (entry.value.len() - left_out) as u64
        };
        let size = if view == View::Whole { page.entries.iter().map(size).sum() } else { 0 };
        let body = ListBody {
            size,
            view,
            named,
            presenter: self.presenter(),
            head: Some(head),
            entries: page.entries.into_iter(),
            first: true,
            tail: Some(tail),
        };
        Ok(respond::with_body(200, respond::JSON, body.boxed_unsync()))
    }

    /// What stands before and behind the items.
    fn frame_of(&self, view: View, metadata: &Value, is_empty: bool) -> (Bytes, Bytes) {
        let (kind, api_version, items, columns) = match view {
            View::Whole => (self.resource.list_kind.clone().into_owned(), self.kind().api_version(), "items", None),
            View::Metadata { version, .. } => {
                ("PartialObjectMetadataList".into(), format!("meta.k8s.io/{version}"), "items", None)
            }
            View::Table { version, .. } => {
                ("Table".into(), format!("meta.k8s.io/{version}"), "rows", Some(self.strategy.column_definitions()))
            }
        };
        let (kind, api_version) = (json!(kind), json!(api_version));
        let columns = columns.map_or(String::new(), |columns| format!("\"columnDefinitions\":{columns},"));
        // Of metadata upstream makes no list before there is some.
        let (begin, end) = match view {
            View::Metadata { .. } if is_empty => ("", &b"null}\n"[..]),
            _ => ("[", &b"]}\n"[..]),
        };
        let head = format!(
            "{{\"kind\":{kind},\"apiVersion\":{api_version},\"metadata\":{metadata},{columns}\"{items}\":{begin}"
        );
        (head.into(), Bytes::from_static(end))
    }

    /// Selects the entries of one page.
    pub(super) async fn page(&self) -> Result<Page, Status> {
        let limit = self.limit()?;
        parse_integer(self.query, "timeoutSeconds")?;
        self.check_list_options()?;
        let (selection, range) = self.selection()?;
        let token = self.query.get("continue");
        let (revision, start) = if token.is_empty() {
            let revision = match self.read_at(limit > 0)? {
                ReadAt::Newest => None,
                ReadAt::NotOlderThan(_) => {
                    self.check_fresh().await?;
                    None
                }
                ReadAt::Exactly(revision) => Some(revision),
            };
            (revision, range.start.clone())
        } else {
            let token = PageToken::decode(token, &range)?;
            if self.resource_version()?.is_some_and(|revision| revision.0 > 0) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            (token.revision, token.start)
        };
        self.collect(range, start, revision, limit, &selection).await
    }

    fn limit(&self) -> Result<usize, Status> {
        let limit = parse_integer(self.query, "limit")?.unwrap_or_default();
        // Who takes any state gets it from memory upstream, all at once.
        if self.query.get("resourceVersion") == "0" && self.query.get("continue").is_empty() {
            return Ok(0);
        }
        // A negative one limits nothing.
        Ok(usize::try_from(limit).unwrap_or_default())
    }

    async fn collect(
        &self,
        whole: KeyRange,
        start: Bytes,
        mut revision: Option<Revision>,
        limit: usize,
        selection: &Selection,
    ) -> Result<Page, Status> {
        let everything = selection.is_everything();
        let mut range = KeyRange { start, ..whole.clone() };
        let mut page = Page { entries: Vec::new(), revision: Revision(0), range: whole, next: None, remaining: None };
        loop {
            // One page is one read; only a page that also selects may need several.
            let read = match limit {
                0 => 0,
                _ if everything => limit,
                _ => SCAN.max(limit),
            };
            let request = RangeRequest { range: range.clone(), revision, limit: read };
            let read = self.server.store().range(request).await;
            let answer = read.map_err(|error| self.expired(error, &page.range, &range.start))?;
            page.revision = answer.revision;
            revision = Some(answer.revision);
            let last_read = answer.entries.last().map(|entry| entry.key.clone());
            let entries = self.converted(self.current_all(answer.entries)?).await?;
            if everything && page.entries.is_empty() {
                page.entries = entries;
            } else {
                for entry in entries {
                    if selection.selects(&entry) {
                        if limit > 0 && page.entries.len() == limit {
                            // One more matches, so there is a next page.
                            page.next = page.entries.last().map(|entry| entry.key.clone());
                            return Ok(page);
                        }
                        page.entries.push(entry);
                    }
                }
            }
            match last_read.filter(|_| answer.remaining > 0) {
                None => return Ok(page),
                Some(last) if everything => {
                    page.next = Some(last);
                    page.remaining = Some(answer.remaining);
                    return Ok(page);
                }
                Some(last) => {
                    let mut start = last.to_vec();
                    start.push(0);
                    range.start = start.into();
                }
            }
        }
    }

    /// 410 for a list whose revision is gone; with a token that continues at the newest one.
    fn expired(&self, error: portolan_store::Error, range: &KeyRange, start: &Bytes) -> Status {
        if !matches!(error, portolan_store::Error::Compacted { .. }) || self.query.get("continue").is_empty() {
            return match error {
                portolan_store::Error::Compacted { .. } => {
                    Status::expired("The resourceVersion for the provided list is too old.")
                }
                error => error.into(),
            };
        }
        let after = start.strip_suffix(&[0]).unwrap_or(start);
        Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new \
             list without the continue parameter, or use the continue token in this response to retrieve the \
             remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
             that were created, modified, or deleted between the time the first chunk was returned and now may show \
             up in the list.",
        )
        .with_continue(PageToken::behind(after, range, None))
    }
}

/// Encodes a list while it is sent.
struct ListBody {
    /// Bytes that it has at least.
    size: u64,
    view: View,
    /// Whether each item says its kind.
    named: bool,
    presenter: Presenter,
    head: Option<Bytes>,
    entries: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    tail: Option<Bytes>,
}

impl ListBody {
    fn chunk(&mut self) -> Result<BytesMut, Status> {
        let mut chunk = BytesMut::with_capacity(CHUNK + CHUNK / 4);
        if let Some(head) = self.head.take() {
            chunk.put_slice(&head);
        }
        while chunk.len() < CHUNK {
            let Some(entry) = self.entries.next() else {
                if let Some(tail) = self.tail.take() {
                    chunk.put_slice(&tail);
                }
                break;
            };
            if !std::mem::take(&mut self.first) {
                chunk.put_u8(b',');
            }
            self.item(&entry, &mut chunk)?;
        }
        Ok(chunk)
    }

    fn item(&self, entry: &Entry, chunk: &mut BytesMut) -> Result<(), Status> {
        let value = match self.view {
            View::Whole => {
                let splice = if self.named { storage::splice } else { storage::splice_item };
                splice(chunk, &entry.value, entry.mod_revision);
                return Ok(());
            }
            View::Metadata { version, .. } => {
                partial(chunk, &entry.value, entry.mod_revision, version);
                return Ok(());
            }
            View::Table { version, include } => {
                self.presenter.row(&entry.value, entry.mod_revision, version, include)?
            }
        };
        serde_json::to_writer(chunk.writer(), &value).map_err(|error| Status::internal(error.to_string()))
    }
}

impl http_body::Body for ListBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.tail.is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(this.chunk().map(|chunk| Frame::data(chunk.freeze())).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.size);
        hint
    }
}

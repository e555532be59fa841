//! Following a collection. The frame of an event is encoded by the first watcher that needs it and
//! shared by all others.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use portolan_api::field::{self, Path};
use portolan_api::{encoded, protobuf};
use portolan_base::Clock;
use portolan_store::{Entry, Error, Event, EventKind, RangeRequest, Revision, Watch, WatchItem, WatchRequest};
use serde_json::{Value, json};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::present::{self, Columns, Presenter, included};
use super::protobuf_list::{unwritable, whole_or_partial};
use super::select::{Selection, list_options, parse_integer};
use super::{Call, Delivery};
use crate::body::{Body, BoxError};
use crate::extensions::convert::{self, Reader};
use crate::metrics::Events;
use crate::negotiate::{Accepted, Format, Include, View};
use crate::respond;
use crate::server::Server;
use crate::status::Status;
use crate::storage;

/// How often a quiet watch learns how far the history is.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// Watches without `timeoutSeconds` end between this and twice this, so that they do not all come
/// back at once.
const LIFETIME: Duration = Duration::from_secs(1800);

/// Items that may wait for a slow watcher: a burst of a large deployment, but not for ever.
const BUFFER: usize = 1024;

/// Media type of events in protobuf.
const IN_PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What comes before the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Initial {
    /// The state of the collection, and for who takes bookmarks where that ends.
    State,
    Nothing,
}

impl Call<'_> {
    pub(super) async fn watch(&self) -> Result<Response<Body>, Status> {
        let Accepted { view, format } = self.accepted()?;
        let (selection, range) = self.selection()?;
        let bookmarks = self.query.is_true("allowWatchBookmarks");
        let initial = self.initial_events()?;
        let requested = self.resource_version()?.filter(|revision| revision.0 > 0);
        let timeout = self.watch_timeout()?;
        let mut source = WatchBody {
            kind: self.resource.kind.clone().into_owned(),
            api_version: self.kind().api_version(),
            presenter: self.presenter(),
            clock: self.server.config.clock.clone(),
            view,
            format,
            selection,
            bookmarks,
            columns: Columns::Shown,
            delivery: self.delivery,
            pending: VecDeque::new(),
            watch: None,
            deadline: Box::pin(tokio::time::sleep(timeout)),
            draining: Box::pin(self.server.draining.clone().cancelled_owned()),
            replaced: self
                .resource
                .custom
                .as_ref()
                .map(|custom| Box::pin(self.server.extensions.replaced(&custom.definition).cancelled_owned())),
            reader: self.reader(),
            converting: None,
            server: self.server.this.clone(),
            sent: self.server.metrics.watches.of(self.resource),
        };
        let after = match (initial, requested) {
            (Initial::Nothing, Some(revision)) => revision,
            (Initial::Nothing, None) => self.server.store().status().await.revision,
            (Initial::State, requested) => {
                if requested.is_some() {
                    self.check_fresh().await?;
                }
                let state = RangeRequest { range: range.clone(), revision: None, limit: 0 };
                let state = self.server.store().range(state).await?;
                for entry in &self.converted(self.current_all(state.entries)?).await? {
                    if !source.selection.selects(entry) {
                        continue;
                    }
                    let frames = source.frame("ADDED", &entry.value, entry.mod_revision)?;
                    source.send(frames);
                }
                if bookmarks {
                    let bookmark = source.bookmark(state.revision, true)?;
                    source.send(bookmark.into());
                }
                state.revision
            }
        };
        let progress = bookmarks.then_some(BOOKMARK_INTERVAL);
        let request = WatchRequest { range, after: Some(after), progress, buffer: BUFFER };
        match self.server.store().watch(request).await {
            Ok(watch) => source.watch = Some(watch),
            Err(Error::Compacted { requested, compacted }) => {
                let gone = Status::expired(format!("too old resource version: {requested} ({compacted})"));
                let frame = source.framed("ERROR", &gone.to_value())?;
                source.send(frame.into());
            }
            Err(error) => return Err(error.into()),
        }
        let content_type = if format == Format::Protobuf { IN_PROTOBUF } else { respond::JSON };
        Ok(respond::with_body(200, content_type, source.boxed_unsync()))
    }

    /// What the watch begins with.
    fn initial_events(&self) -> Result<Initial, Status> {
        let how = self.query.get("resourceVersionMatch");
        let asked = self.query.has("sendInitialEvents");
        // Whoever has no state yet is taken to ask for it.
        let has_none = !asked && how.is_empty() && matches!(self.query.get("resourceVersion"), "" | "0");
        let (asked, how) = if has_none { (true, "NotOlderThan") } else { (asked, how) };
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        let mut forbidden = |why: &str| errors.push(field::Error::forbidden(&path, why));
        if asked && how != "NotOlderThan" {
            forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !asked && !how.is_empty() {
            forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        if !matches!(how, "" | "NotOlderThan") {
            errors.push(field::Error::not_supported(&path, how, &["NotOlderThan"]));
        }
        if !how.is_empty() && !self.query.get("continue").is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(field::Error::forbidden(&path, why));
        }
        if !errors.is_empty() {
            return Err(list_options(&errors));
        }
        Ok(if has_none || self.query.is_true("sendInitialEvents") { Initial::State } else { Initial::Nothing })
    }

    fn watch_timeout(&self) -> Result<Duration, Status> {
        parse_integer(self.query, "limit")?;
        let seconds = parse_integer(self.query, "timeoutSeconds")?.unwrap_or_default();
        Ok(match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => {
                let spread = uuid::Uuid::new_v4().as_u128() % LIFETIME.as_millis();
                LIFETIME + Duration::from_millis(u64::try_from(spread).unwrap_or_default())
            }
        })
    }
}

/// Encodes the events of a watch while they are sent.
struct WatchBody {
    kind: String,
    api_version: String,
    presenter: Presenter,
    clock: Arc<dyn Clock>,
    view: View,
    format: Format,
    selection: Selection,
    bookmarks: bool,
    columns: Columns,
    delivery: Delivery,
    pending: VecDeque<Bytes>,
    watch: Option<Watch>,
    deadline: Pin<Box<Sleep>>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Ends when the definition of a custom resource says something else: the client comes back for that.
    replaced: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// How what is stored is read, if not as it is.
    reader: Option<Reader>,
    /// Events that are being brought into the version that is watched; what comes after them waits.
    converting: Option<BoxFuture<'static, Result<Vec<Event>, Status>>>,
    server: Weak<Server>,
    sent: Arc<Events>,
}

impl WatchBody {
    /// Takes over what the store delivers; `false` once nothing more will come.
    fn take(&mut self, item: WatchItem) -> Result<bool, Status> {
        match item {
            WatchItem::Events(events) => {
                if let Some(reader) = self.reader.as_ref().filter(|reader| !convert::passes(reader, &events)) {
                    self.converting = Some(Box::pin(convert::events(self.server.clone(), reader.clone(), events)));
                    return Ok(true);
                }
                self.send_all(&events)?;
                Ok(true)
            }
            WatchItem::Progress(revision) => {
                if self.bookmarks {
                    let frame = self.bookmark(revision, false)?;
                    self.send(frame.into());
                }
                Ok(true)
            }
            WatchItem::Lagged => {
                // Clients begin anew when they are told that their place in history is gone.
                let gone = Status::expired("the watch did not keep up with the changes: list again");
                let frame = self.framed("ERROR", &gone.to_value())?;
                self.send(frame.into());
                Ok(false)
            }
            WatchItem::Closed => Ok(false),
        }
    }

    fn send_all<E: Borrow<Event>>(&mut self, events: &[E]) -> Result<(), Status> {
        for event in events {
            if let Some(frames) = self.event(event.borrow())? {
                self.send(frames);
            }
        }
        Ok(())
    }

    /// Sends an event, and counts it.
    fn send(&mut self, frames: Frames) {
        // The length that comes before an event in protobuf is none of its bytes.
        let head = if self.format == Format::Protobuf { 4 } else { 0 };
        self.sent.sent(frames.size().saturating_sub(head));
        self.pending.extend(frames);
    }

    /// The frames of an event, if the watcher is to see it.
    fn event(&mut self, event: &Event) -> Result<Option<Frames>, Status> {
        let revision = event.entry.mod_revision;
        let deleted = event.kind == EventKind::Delete;
        if self.selection.is_everything() {
            let Some(kind) = natural_kind(event) else { return Ok(None) };
            return self.shared_frame(event, kind).map(Some);
        }
        let selects = |entry: &Arc<Entry>| self.selection.selects(entry);
        let before = event.previous.as_ref().is_some_and(selects);
        let after = !deleted && selects(&event.entry);
        match (before, after) {
            (true, true) => self.shared_frame(event, "MODIFIED").map(Some),
            (false, true) if event.previous.is_none() => self.shared_frame(event, "ADDED").map(Some),
            (false, true) => self.frame("ADDED", &event.entry.value, revision).map(Some),
            (true, false) if deleted => self.shared_frame(event, "DELETED").map(Some),
            // It left the selection: the watcher sees it as it was, at the revision of its leaving.
            (true, false) => match &event.previous {
                Some(previous) => self.frame("DELETED", &previous.value, revision).map(Some),
                None => Ok(None),
            },
            (false, false) => Ok(None),
        }
    }

    /// The frame that all watchers of whole objects share.
    fn shared_frame(&mut self, event: &Event, kind: &'static str) -> Result<Frames, Status> {
        let revision = event.entry.mod_revision;
        let value = match (&event.kind, &event.previous) {
            (EventKind::Delete, Some(previous)) => &previous.value,
            _ => &event.entry.value,
        };
        // Room 0 is for JSON, room 1 for protobuf.
        if self.view != View::Whole || self.delivery == Delivery::Shared {
            return self.frame(kind, value, revision);
        }
        if self.format == Format::Protobuf {
            let shared = &event.encoded[1];
            if let Some(frame) = shared.get() {
                return Ok(Frames::from(frame.clone()));
            }
            let frame = protobuf_frame(self.view, kind, value, revision)?;
            return Ok(Frames::from(shared.get_or_init(|| frame).clone()));
        }
        Ok(Frames::from(event.encoded[0].get_or_init(|| whole_frame(kind, value, revision)).clone()))
    }

    fn frame(&mut self, kind: &'static str, value: &Bytes, revision: Revision) -> Result<Frames, Status> {
        if self.delivery == Delivery::Shared
            && self.format == Format::Json
            && let Some(frames) = in_pieces(self.view, kind, value, revision)
        {
            return Ok(frames);
        }
        if self.format == Format::Protobuf {
            return protobuf_frame(self.view, kind, value, revision).map(Frames::from);
        }
        if self.view == View::Whole {
            return Ok(whole_frame(kind, value, revision).into());
        }
        self.presenter.now = self.clock.now();
        let object = self.presenter.object(self.view, value, revision, self.columns)?;
        self.columns = Columns::Known;
        Ok(framed(kind, &object).into())
    }

    fn bookmark(&mut self, revision: Revision, ends_initial_events: bool) -> Result<Bytes, Status> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = match self.view {
            View::Whole => json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}),
            View::Metadata { version, .. } => json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
            }),
            View::Table { version, include } => {
                let object = json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata});
                // That all that was there has been told is said whatever rows are to carry.
                let include = match include {
                    Include::Nothing if ends_initial_events => Include::Metadata,
                    include => include,
                };
                let cells = self.presenter.strategy.cells(&object, self.clock.now());
                json!({
                    "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": {"resourceVersion": revision.to_string()},
                    "columnDefinitions": self.presenter.columns(std::mem::replace(&mut self.columns, Columns::Known)),
                    "rows": [{"cells": cells, "object": included(object, version, include)}],
                })
            }
        };
        self.framed("BOOKMARK", &object)
    }

    /// An object that is not stored, as an event.
    fn framed(&self, kind: &str, object: &Value) -> Result<Bytes, Status> {
        match self.format {
            Format::Protobuf => in_protobuf(kind, &encode(object)?),
            Format::Json | Format::Yaml => Ok(framed(kind, &encode(object)?)),
        }
    }
}

/// What happened, to one who sees everything; `None` for a deletion of something never seen.
fn natural_kind(event: &Event) -> Option<&'static str> {
    match (event.kind, &event.previous) {
        (EventKind::Put, None) => Some("ADDED"),
        (EventKind::Put, Some(_)) => Some("MODIFIED"),
        (EventKind::Delete, Some(_)) => Some("DELETED"),
        (EventKind::Delete, None) => None,
    }
}

fn encode(value: &Value) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(value).map_err(|error| Status::internal(error.to_string()))
}

fn protobuf_frame(view: View, kind: &str, stored: &[u8], revision: Revision) -> Result<Bytes, Status> {
    let mut object = BytesMut::new();
    whole_or_partial(&mut object, view, stored, revision);
    in_protobuf(kind, &object)
}

fn in_protobuf(kind: &str, object: &[u8]) -> Result<Bytes, Status> {
    let frame = protobuf::watch_frame(kind, object).map_err(|error| unwritable(&error))?;
    Ok(frame.into())
}

const FRAME_OVERHEAD: usize = 64;

/// One event as it is sent: one frame, or the pieces of [`in_pieces`].
struct Frames([Bytes; 3]);

impl From<Bytes> for Frames {
    fn from(frame: Bytes) -> Self {
        Self([frame, Bytes::new(), Bytes::new()])
    }
}

impl Frames {
    fn size(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

impl IntoIterator for Frames {
    type Item = Bytes;
    type IntoIter = std::iter::Filter<std::array::IntoIter<Bytes, 3>, fn(&Bytes) -> bool>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().filter(|frame| !frame.is_empty())
    }
}

/// An event for a reader in this process: what comes before the stored members, those members
/// themselves without a copy, and what comes after them. `None` for forms that are not stored bytes.
fn in_pieces(view: View, kind: &str, value: &Bytes, revision: Revision) -> Option<Frames> {
    let mut head = BytesMut::with_capacity(4 * FRAME_OVERHEAD);
    open(&mut head, kind);
    let (members, end) = match view {
        View::Whole => {
            let offset = storage::members_offset(value)?;
            head.put_slice(&value[..offset]);
            (value.slice(offset..), Bytes::from_static(b"}\n"))
        }
        View::Metadata { version, .. } => {
            let metadata = encoded::raw_at(value, &["metadata"])?;
            head.put_slice(present::partial_head(version).as_bytes());
            (value.slice_ref(metadata.get(1..)?), Bytes::from_static(b"}}\n"))
        }
        View::Table { .. } => return None,
    };
    storage::put_version(&mut head, &members, revision);
    Some(Frames([head.freeze(), members, end]))
}

fn whole_frame(kind: &str, value: &[u8], revision: Revision) -> Bytes {
    let mut frame = BytesMut::with_capacity(value.len() + 2 * FRAME_OVERHEAD);
    open(&mut frame, kind);
    storage::splice(&mut frame, value, revision);
    frame.put_slice(b"}\n");
    frame.freeze()
}

fn framed(kind: &str, object: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(object.len() + FRAME_OVERHEAD);
    open(&mut frame, kind);
    frame.put_slice(object);
    frame.put_slice(b"}\n");
    frame.freeze()
}

fn open(frame: &mut BytesMut, kind: &str) {
    for part in ["{\"type\":\"", kind, "\",\"object\":"] {
        frame.put_slice(part.as_bytes());
    }
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(frame) = this.pending.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if let Some(converting) = &mut this.converting {
                let Poll::Ready(converted) = converting.as_mut().poll(context) else { return Poll::Pending };
                this.converting = None;
                match converted.and_then(|events| this.send_all(&events)) {
                    Ok(()) => continue,
                    Err(status) => {
                        this.watch = None;
                        if let Ok(frame) = this.framed("ERROR", &status.to_value()) {
                            this.send(frame.into());
                        }
                        continue;
                    }
                }
            }
            let Some(watch) = &mut this.watch else { return Poll::Ready(None) };
            match watch.poll_next(context) {
                Poll::Ready(Some(item)) => match this.take(item) {
                    Ok(true) => {}
                    Ok(false) => this.watch = None,
                    Err(status) => return Poll::Ready(Some(Err(status.into()))),
                },
                Poll::Ready(None) => this.watch = None,
                Poll::Pending => {
                    let over = this.deadline.as_mut().poll(context).is_ready()
                        || this.draining.as_mut().poll(context).is_ready()
                        || this.replaced.as_mut().is_some_and(|replaced| replaced.as_mut().poll(context).is_ready());
                    if !over {
                        return Poll::Pending;
                    }
                    this.watch = None;
                }
            }
        }
    }
}

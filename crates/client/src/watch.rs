//! Streams of changes.

use std::marker::PhantomData;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::body::{Framing, Line, Lines};
use crate::error::{Error, Status};
use crate::transport::{Body, SharedFrames};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent<K> {
    /// An object came into being, or into the selection.
    Added(K),
    /// An object changed.
    Modified(K),
    /// An object is gone, or out of the selection; this is its last state.
    Deleted(K),
    /// Nothing changed up to this revision.
    Bookmark {
        /// The revision.
        resource_version: String,
        /// All objects that existed at the start have been sent.
        initial_events_end: bool,
    },
}

/// The changes of a kind, in order, until the server ends the watch.
#[derive(Debug)]
pub struct WatchStream<K> {
    lines: RawWatch,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> WatchStream<K> {
    pub(crate) fn new(path: String, body: Body) -> Self {
        Self { lines: RawWatch { path, lines: Lines::new(body, Framing::Any) }, kind: PhantomData }
    }

    /// The next change; `None` when the server ended the watch in good order.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Status`] if the server reports a failure in the stream, for example an expired
    /// revision; [`Error::Transport`] if the connection broke. The stream is over after either.
    pub async fn next(&mut self) -> Result<Option<WatchEvent<K>>, Error> {
        let Some(line) = self.lines.next().await?.map(RawLine::into_whole) else { return Ok(None) };
        let event = line.parse()?;
        let object = |raw: &RawValue| {
            K::decode(raw.get().as_bytes()).map_err(|source| Error::Decode { path: line.path.clone(), source })
        };
        Ok(Some(match event {
            RawEvent::Added(raw) => WatchEvent::Added(object(raw)?),
            RawEvent::Modified(raw) => WatchEvent::Modified(object(raw)?),
            RawEvent::Deleted(raw) => WatchEvent::Deleted(object(raw)?),
            RawEvent::Bookmark { resource_version, initial_events_end } => {
                WatchEvent::Bookmark { resource_version, initial_events_end }
            }
        }))
    }
}

/// A watch whose objects are not decoded.
#[derive(Debug)]
pub(crate) struct RawWatch {
    path: String,
    lines: Lines,
}

/// One line of a watch.
#[derive(Debug)]
pub(crate) struct RawLine {
    path: String,
    line: Line,
}

/// A line in one piece.
#[derive(Debug)]
pub(crate) struct WholeLine {
    path: String,
    bytes: Bytes,
}

/// One change whose object is not decoded.
#[derive(Debug)]
pub(crate) enum RawEvent<'a> {
    Added(&'a RawValue),
    Modified(&'a RawValue),
    Deleted(&'a RawValue),
    Bookmark { resource_version: String, initial_events_end: bool },
}

impl RawWatch {
    pub(crate) fn new(path: String, answer: http::Response<Body>) -> Self {
        let framing = answer.extensions().get::<SharedFrames>().map_or(Framing::Any, |_| Framing::Shared);
        Self { path, lines: Lines::new(answer.into_body(), framing) }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<RawLine>, Error> {
        let line = self.lines.next().await.map_err(|source| Error::Transport {
            method: http::Method::GET,
            path: self.path.clone(),
            source,
        })?;
        Ok(line.map(|line| RawLine { path: self.path.clone(), line }))
    }
}

impl RawLine {
    /// The pieces of the line, if it is in pieces.
    pub(crate) fn pieces(&self) -> Option<&[Bytes; 3]> {
        match &self.line {
            Line::Whole(_) => None,
            Line::Pieces(pieces) => Some(pieces),
        }
    }

    pub(crate) fn into_whole(self) -> WholeLine {
        WholeLine { path: self.path, bytes: self.line.into_whole() }
    }
}

impl WholeLine {
    pub(crate) fn parse(&self) -> Result<RawEvent<'_>, Error> {
        #[derive(Deserialize)]
        struct Line<'a> {
            r#type: &'a str,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Bookmark {
            metadata: ObjectMeta,
        }
        let decode = |source| Error::Decode { path: self.path.clone(), source };
        let line: Line<'_> = serde_json::from_slice(&self.bytes).map_err(decode)?;
        match line.r#type {
            "ADDED" => Ok(RawEvent::Added(line.object)),
            "MODIFIED" => Ok(RawEvent::Modified(line.object)),
            "DELETED" => Ok(RawEvent::Deleted(line.object)),
            "BOOKMARK" => {
                let bookmark: Bookmark = serde_json::from_str(line.object.get()).map_err(decode)?;
                let annotations = bookmark.metadata.annotations.unwrap_or_default();
                Ok(RawEvent::Bookmark {
                    resource_version: bookmark.metadata.resource_version.unwrap_or_default(),
                    initial_events_end: annotations.get("k8s.io/initial-events-end").is_some_and(|end| end == "true"),
                })
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(line.object.get()).map_err(decode)?;
                Err(status.into())
            }
            other => Err(decode(serde::de::Error::custom(format!("unknown watch event {other:?}")))),
        }
    }
}

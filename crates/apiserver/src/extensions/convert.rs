//! Objects between the version that is stored and the one that is asked for: those of users' kinds, and those of
//! the few built-in kinds whose versions differ.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use portolan_api::conversion::{self, Conversion};
use portolan_api::description::Resource;
use portolan_api::{custom, encoded};
use portolan_store::{Entry, Event, KeyRange, RangeRequest, Revision};
use serde_json::Value;

use super::review;
use crate::endpoint::Call;
use crate::server::Server;
use crate::status::Status;
use crate::storage;

/// How a request reads what is stored, if that is not simply as it is.
#[derive(Clone)]
pub(crate) enum Reader {
    /// As a version of what a user defined has it.
    Custom(Arc<custom::Version>),
    /// As a version of a built-in kind has it.
    BuiltIn { conversion: &'static Conversion, api_version: String },
}

impl Reader {
    fn storage_version(&self) -> String {
        match self {
            Self::Custom(version) => {
                let definition = &version.definition;
                format!("{}/{}", definition.group, definition.storage_version)
            }
            Self::BuiltIn { conversion, .. } => conversion.stored.to_owned(),
        }
    }
}

impl Call<'_> {
    /// How this request reads what is stored; `None` for the many kinds that are stored as they are shown.
    pub(crate) fn reader(&self) -> Option<Reader> {
        if let Some(version) = &self.resource.custom {
            return Some(Reader::Custom(version.clone()));
        }
        let conversion = conversion::of(&self.resource.group, &self.resource.name)?;
        Some(Reader::BuiltIn { conversion, api_version: self.kind().api_version() })
    }

    /// Stored objects in the version of the request, with what its schema says now.
    pub(crate) async fn converted(&self, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
        match self.reader() {
            Some(reader) => read_all(self.server, &reader, entries).await,
            None => Ok(entries),
        }
    }

    /// An object of the request's version in the one that is stored.
    pub(crate) async fn in_storage_version(&self, encoded: Bytes) -> Result<Bytes, Status> {
        let version = match self.reader() {
            Some(Reader::Custom(version)) if !version.is_storage() => version,
            Some(Reader::BuiltIn { conversion, api_version }) if conversion.stored != api_version => {
                let mut object = decode(&encoded)?;
                conversion.convert(&mut object, conversion.stored);
                return storage::encode(&object);
            }
            _ => return Ok(encoded),
        };
        let definition = &version.definition;
        let wanted = format!("{}/{}", definition.group, definition.storage_version);
        let mut object = decode(&encoded)?;
        match &definition.conversion {
            custom::Conversion::None => object["apiVersion"] = wanted.into(),
            custom::Conversion::Webhook(webhook) => {
                let converted = review::convert(self.server, webhook, vec![object], &wanted).await?;
                object = converted.into_iter().next().unwrap_or_default();
            }
        }
        custom::prune(&mut object, definition.storage_root());
        // Upstream fills them in when it reads, whichever version it was written in.
        custom::default(&mut object, definition.storage_root());
        storage::encode(&object)
    }

    /// What comes back of an object that is written: what the version that is stored does not know gets lost.
    pub(crate) async fn through_storage(&self, encoded: Bytes) -> Result<Bytes, Status> {
        let reader = match self.reader() {
            Some(Reader::Custom(version)) if !version.is_storage() => Reader::Custom(version),
            _ => return Ok(encoded),
        };
        let value = self.in_storage_version(encoded).await?;
        let none = Revision(0);
        let entry =
            Entry { key: Bytes::new(), value, create_revision: none, mod_revision: none, version: 1, lease: None };
        let read = read_all(self.server, &reader, vec![Arc::new(entry)]).await?;
        Ok(read.first().map(|entry| entry.value.clone()).unwrap_or_default())
    }

    /// Whether an object that nobody changed would still be stored as something else than it is.
    pub(crate) async fn is_outdated(&self, entry: &Entry) -> Result<bool, Status> {
        let Some(reader) = self.reader() else { return Ok(false) };
        let request = RangeRequest { range: KeyRange::key(entry.key.clone()), revision: None, limit: 1 };
        let answer = self.server.store().range(request).await?;
        let stored = answer.entries.first().map(|stored| stored.value.clone()).unwrap_or_default();
        Ok(encoded::string_at(&stored, &["apiVersion"]).is_some_and(|found| found != reader.storage_version()))
    }
}

/// An object of one version of a resource as another version has it.
pub(crate) async fn object(server: &Server, mut object: Value, to: &Resource) -> Result<Value, Status> {
    let wanted = to.group_version_kind().api_version();
    if object["apiVersion"] == wanted.as_str() {
        return Ok(object);
    }
    if let Some(conversion) = conversion::of(&to.group, &to.name) {
        conversion.convert(&mut object, &wanted);
        return Ok(object);
    }
    let Some(version) = &to.custom else {
        object["apiVersion"] = wanted.into();
        return Ok(object);
    };
    if let custom::Conversion::Webhook(webhook) = &version.definition.conversion {
        let converted = review::convert(server, webhook, vec![object], &wanted).await?;
        object = converted.into_iter().next().unwrap_or_default();
    }
    object["apiVersion"] = wanted.into();
    custom::prune(&mut object, version.root());
    custom::default(&mut object, version.root());
    Ok(object)
}

fn decode(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::internal(format!("a stored object cannot be decoded: {error}")))
}

/// What must be done with a stored object before a version shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It was written by the schema of now, in this version.
    Nothing,
    /// The schema of now is to be applied, or the conversion is built in.
    Refresh,
    /// The webhook is to be asked.
    Ask,
}

fn work(reader: &Reader, entry: &Entry) -> Work {
    let found = encoded::string_at(&entry.value, &["apiVersion"]).unwrap_or_default();
    let version = match reader {
        _ if entry.value.is_empty() => return Work::Nothing,
        Reader::BuiltIn { api_version, .. } if found == *api_version => return Work::Nothing,
        Reader::BuiltIn { .. } => return Work::Refresh,
        Reader::Custom(version) => version,
    };
    let definition = &version.definition;
    let is_same = found.split_once('/').is_some_and(|(_, found)| found == version.name);
    match is_same {
        true if entry.mod_revision.0 >= definition.since => Work::Nothing,
        false if definition.conversion != custom::Conversion::None => Work::Ask,
        _ => Work::Refresh,
    }
}

/// Reads stored objects as a version sees them. What needs a webhook goes to it in one request.
async fn read_all(server: &Server, reader: &Reader, mut entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
    let mut asked = Vec::new();
    for (index, entry) in entries.iter_mut().enumerate() {
        match work(reader, entry) {
            Work::Nothing => {}
            Work::Refresh => *entry = refreshed(reader, entry)?,
            Work::Ask => asked.push(index),
        }
    }
    let Reader::Custom(version) = reader else { return Ok(entries) };
    if let (false, custom::Conversion::Webhook(webhook)) = (asked.is_empty(), &version.definition.conversion) {
        let decoded = |index: &usize| {
            let mut object = storage::decode(&entries[*index])?;
            refresh(version, &mut object);
            Ok(object)
        };
        let objects = asked.iter().map(decoded).collect::<Result<Vec<_>, Status>>()?;
        let wanted = format!("{}/{}", version.definition.group, version.name);
        let converted = review::convert(server, webhook, objects, &wanted).await?;
        for (index, object) in asked.into_iter().zip(converted) {
            entries[index] = with(version, &entries[index], object)?;
        }
    }
    Ok(entries)
}

/// An entry as a version shows it without anybody being asked.
fn refreshed(reader: &Reader, entry: &Entry) -> Result<Arc<Entry>, Status> {
    let mut object = decode(&entry.value)?;
    match reader {
        Reader::Custom(version) => {
            refresh(version, &mut object);
            with(version, entry, object)
        }
        Reader::BuiltIn { conversion, api_version } => {
            conversion.convert(&mut object, api_version);
            Ok(Arc::new(Entry { value: storage::encode(&object)?, ..Entry::clone(entry) }))
        }
    }
}

/// Gives a stored object what the schema of its own version says now.
fn refresh(version: &custom::Version, object: &mut Value) {
    let stored = object["apiVersion"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
    let root = if stored == version.name { Some(version.root()) } else { version.definition.root_of(stored) };
    if let Some(root) = root {
        custom::prune(object, root);
        custom::default(object, root);
    }
}

/// An entry with an object of any version as a version has it. Defaults are those of the version that was stored.
fn with(version: &custom::Version, entry: &Entry, mut object: Value) -> Result<Arc<Entry>, Status> {
    object["apiVersion"] = format!("{}/{}", version.definition.group, version.name).into();
    custom::prune(&mut object, version.root());
    Ok(Arc::new(Entry { value: storage::encode(&object)?, ..Entry::clone(entry) }))
}

/// Whether a reader sees events as they are.
pub(crate) fn passes(reader: &Reader, events: &[Arc<Event>]) -> bool {
    let mut seen = events.iter().flat_map(|event| [Some(&event.entry), event.previous.as_ref()]).flatten();
    seen.all(|entry| work(reader, entry) == Work::Nothing)
}

/// Events as watchers of a version see them.
pub(crate) async fn events(
    server: Weak<Server>,
    reader: Reader,
    events: Vec<Arc<Event>>,
) -> Result<Vec<Event>, Status> {
    let server = server.upgrade().ok_or_else(|| Status::internal("the server stops"))?;
    // In one go, so that a webhook is asked once for all of them.
    let seen = events.iter().flat_map(|event| std::iter::once(&event.entry).chain(&event.previous)).cloned().collect();
    let mut seen = read_all(&server, &reader, seen).await?.into_iter();
    let converted = events.iter().map(|event| Event {
        kind: event.kind,
        entry: seen.next().unwrap_or_else(|| event.entry.clone()),
        previous: event.previous.as_ref().and_then(|_| seen.next()),
        encoded: Default::default(),
    });
    Ok(converted.collect())
}

//! Events: what people read under `kubectl describe`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Event, EventSource};
use portolan_base::error::chain;
use portolan_base::{Clock, SystemClock};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::params::Patch;

pub use k8s_openapi::api::core::v1::ObjectReference;

/// Events that wait to be written; more are dropped and counted.
const QUEUE: usize = 1024;
/// Distinct events that are remembered to be counted instead of repeated.
const REMEMBERED: usize = 4096;
/// After this silence the same event starts a new record.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// All is well.
    Normal,
    /// Somebody may want to look.
    Warning,
}

/// A reference to an object, as events and endpoints carry it.
pub fn reference<K: Object>(object: &K) -> ObjectReference {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        name: text(object.name()),
        namespace: text(object.namespace()),
        uid: text(object.uid()),
        resource_version: object.metadata().resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Writes events in the background. Repeated events become one with a count. Cheap to clone.
///
/// The writing ends when the last clone is dropped; what is queued then is lost, which is what
/// events are for.
#[derive(Debug, Clone)]
pub struct EventRecorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: mpsc::Sender<Occurrence>,
    // Owned here so that the writer ends with the recorder.
    _writer: JoinSet<()>,
}

#[derive(Debug)]
struct Occurrence {
    object: ObjectReference,
    event_type: EventType,
    reason: String,
    message: String,
}

impl EventRecorder {
    /// A recorder for a component (`scheduler`) on a host (empty if that does not matter).
    ///
    /// Must be called inside a Tokio runtime.
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        Self::with_clock(client, component, host, Arc::new(SystemClock))
    }

    /// The same with a given clock.
    pub fn with_clock(client: Client, component: &str, host: &str, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            client,
            source: EventSource {
                component: Some(component.to_owned()),
                host: (!host.is_empty()).then(|| host.to_owned()),
            },
            clock,
            recent: HashMap::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(receiver));
        Self { shared: Arc::new(Shared { sender, _writer: tasks }) }
    }

    /// Records that something happened to an object. Never waits; drops the event if too many wait.
    pub fn event(&self, object: &ObjectReference, event_type: EventType, reason: &str, message: impl Into<String>) {
        let occurrence =
            Occurrence { object: object.clone(), event_type, reason: reason.to_owned(), message: message.into() };
        if self.shared.sender.try_send(occurrence).is_err() {
            tracing::debug!(reason, "event dropped: the queue is full");
        }
    }
}

struct Writer {
    client: Client,
    source: EventSource,
    clock: Arc<dyn Clock>,
    recent: HashMap<Identity, Record>,
}

/// What makes two events the same.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    uid: String,
    kind: String,
    name: String,
    field_path: String,
    reason: String,
    message: String,
}

struct Record {
    namespace: String,
    name: String,
    count: i32,
    last: Instant,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Occurrence>) {
        while let Some(occurrence) = receiver.recv().await {
            if let Err(error) = self.write(&occurrence).await {
                // An event about an object in a namespace that is going away is refused; that is normal.
                tracing::debug!(reason = occurrence.reason, "event not written: {}", chain(&error));
            }
        }
    }

    async fn write(&mut self, occurrence: &Occurrence) -> Result<(), Error> {
        let object = &occurrence.object;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let identity = Identity {
            uid: text(&object.uid),
            kind: text(&object.kind),
            name: text(&object.name),
            field_path: text(&object.field_path),
            reason: occurrence.reason.clone(),
            message: occurrence.message.clone(),
        };
        self.forget();
        let now = self.clock.now();
        if let Some(record) = self.recent.get_mut(&identity) {
            record.count += 1;
            record.last = Instant::now();
            let patch = Patch::Merge(json!({"count": record.count, "lastTimestamp": Time(now)}));
            match self.client.patch::<Event>(&record.namespace, &record.name, "", &patch).await {
                // The record is gone, so a new one is due.
                Err(error) if error.is_not_found() => {}
                outcome => return outcome.map(drop),
            }
        }
        let event = self.event(occurrence, now);
        self.client.create(&event).await?;
        let record = Record {
            namespace: event.namespace().to_owned(),
            name: event.name().to_owned(),
            count: 1,
            last: Instant::now(),
        };
        self.recent.insert(identity, record);
        Ok(())
    }

    fn event(&self, occurrence: &Occurrence, now: Timestamp) -> Event {
        let object = &occurrence.object;
        // Events about cluster objects live in `default`.
        let namespace = object.namespace.clone().filter(|namespace| !namespace.is_empty());
        let name = object.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond() as u64 ^ rand::random_range(0..1 << 16))),
                namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: object.clone(),
            type_: Some(format!("{:?}", occurrence.event_type)),
            reason: Some(occurrence.reason.clone()),
            message: Some(occurrence.message.clone()),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        }
    }

    fn forget(&mut self) {
        if self.recent.len() >= REMEMBERED {
            self.recent.retain(|_, record| record.last.elapsed() < FORGET_AFTER);
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.clear();
        }
    }
}

//! Events: what people read under `kubectl describe`.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Event, EventSource};
use portolan_base::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use writer::Writer;

mod writer;

pub use k8s_openapi::api::core::v1::ObjectReference;

/// Events that wait to be written; more are dropped and counted.
const QUEUE: usize = 1024;
/// What a note may be long where events have an action, in bytes.
const LONGEST_NOTE: usize = 1024;

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
    /// What was done; the older form of events does not know it.
    action: Option<&'static str>,
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
        let source =
            EventSource { component: Some(component.to_owned()), host: (!host.is_empty()).then(|| host.to_owned()) };
        let writer = Writer::new(client, source, clock);
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(receiver));
        Self { shared: Arc::new(Shared { sender, _writer: tasks }) }
    }

    /// Records that something happened to an object. Never waits; drops the event if too many wait.
    pub fn event(&self, object: &ObjectReference, event_type: EventType, reason: &str, message: impl Into<String>) {
        self.record(object, event_type, reason, None, message.into());
    }

    /// The same in the newer form of events (API group `events.k8s.io`), which says what was done and counts in a series.
    pub fn acted(
        &self,
        object: &ObjectReference,
        event_type: EventType,
        reason: &str,
        action: &'static str,
        message: impl Into<String>,
    ) {
        self.record(object, event_type, reason, Some(action), message.into());
    }

    fn record(
        &self,
        object: &ObjectReference,
        event_type: EventType,
        reason: &str,
        action: Option<&'static str>,
        message: String,
    ) {
        let (object, reason) = (object.clone(), reason.to_owned());
        let occurrence = Occurrence { object, event_type, reason, action, message };
        if let Err(error) = self.shared.sender.try_send(occurrence) {
            tracing::debug!(reason = error.into_inner().reason, "event dropped: the queue is full");
        }
    }
}

impl Occurrence {
    /// The object that tells of this.
    fn event(&self, source: &EventSource, now: Timestamp) -> Event {
        // Events about cluster objects live in `default`.
        let namespace = self.object.namespace.clone().filter(|namespace| !namespace.is_empty());
        let name = self.object.name.as_deref().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond() as u64 ^ rand::random_range(0..1 << 16))),
                namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: self.object.clone(),
            type_: Some(format!("{:?}", self.event_type)),
            reason: Some(self.reason.clone()),
            reporting_component: source.component.clone(),
            ..Event::default()
        };
        let Some(action) = self.action else {
            return Event {
                message: Some(self.message.clone()),
                source: Some(source.clone()),
                reporting_instance: source.host.clone(),
                first_timestamp: Some(Time(now)),
                last_timestamp: Some(Time(now)),
                count: Some(1),
                ..event
            };
        };
        let [component, host] = [&source.component, &source.host].map(|name| name.as_deref().unwrap_or(""));
        Event {
            message: Some(shortened(&self.message)),
            action: Some(action.to_owned()),
            reporting_instance: Some(format!("{component}-{host}")),
            event_time: Some(MicroTime(now)),
            ..event
        }
    }
}

/// A message that is no longer than a note may be.
fn shortened(message: &str) -> String {
    const MORE: &str = " ...";
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LONGEST_NOTE - MORE.len());
    format!("{}{MORE}", &message[..end])
}

#[cfg(test)]
mod tests;

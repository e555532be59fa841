//! Events: what people read under `kubectl describe`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
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
    /// What was done; empty in the older form of events, which does not know it.
    action: &'static str,
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
        self.acted(object, event_type, reason, "", message);
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
        let (object, reason, message) = (object.clone(), reason.to_owned(), message.into());
        let occurrence = Occurrence { object, event_type, reason, action, message };
        if let Err(error) = self.shared.sender.try_send(occurrence) {
            tracing::debug!(reason = error.into_inner().reason, "event dropped: the queue is full");
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
            let patch = match occurrence.action {
                "" => json!({"count": record.count, "lastTimestamp": Time(now)}),
                _ => json!({"series": {"count": record.count, "lastObservedTime": MicroTime(now)}}),
            };
            let patch = Patch::Merge(patch);
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
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond() as u64 ^ rand::random_range(0..1 << 16))),
                namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: object.clone(),
            type_: Some(format!("{:?}", occurrence.event_type)),
            reason: Some(occurrence.reason.clone()),
            reporting_component: self.source.component.clone(),
            ..Event::default()
        };
        if occurrence.action.is_empty() {
            return Event {
                message: Some(occurrence.message.clone()),
                source: Some(self.source.clone()),
                reporting_instance: self.source.host.clone(),
                first_timestamp: Some(Time(now)),
                last_timestamp: Some(Time(now)),
                count: Some(1),
                ..event
            };
        }
        let [component, host] = [&self.source.component, &self.source.host].map(|name| name.as_deref().unwrap_or(""));
        Event {
            message: Some(shortened(&occurrence.message)),
            action: Some(occurrence.action.to_owned()),
            reporting_instance: Some(format!("{component}-{host}")),
            event_time: Some(MicroTime(now)),
            ..event
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
mod tests {
    use super::*;
    use crate::params::ListParams;
    use crate::testing::FakeServer;

    #[tokio::test]
    async fn both_forms_of_events_say_who_reports_and_count() {
        let server = FakeServer::default();
        let client = server.client();
        let (sender, receiver) = mpsc::channel(QUEUE);
        for message in ["a", "a", "b"] {
            for action in ["", "Binding"] {
                let object = ObjectReference {
                    kind: Some("Pod".to_owned()),
                    namespace: Some("n".to_owned()),
                    name: Some("p".to_owned()),
                    ..ObjectReference::default()
                };
                let reason = if action.is_empty() { "Old" } else { "New" }.to_owned();
                let (event_type, message) = (EventType::Normal, message.to_owned());
                let occurrence = Occurrence { object, event_type, reason, action, message };
                sender.send(occurrence).await.expect("room");
            }
        }
        drop(sender);
        let source = EventSource { component: Some("scheduler".to_owned()), host: Some("h".to_owned()) };
        let writer = Writer { client: client.clone(), source, clock: Arc::new(SystemClock), recent: HashMap::new() };
        writer.run(receiver).await;
        let list = client.list::<Event>("n", &ListParams::default()).await.expect("listed");
        let mut seen: Vec<String> = list
            .items
            .iter()
            .map(|event| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let series = event.series.as_ref().and_then(|series| series.count);
                let times = [event.first_timestamp.is_some(), event.event_time.is_some(), event.source.is_some()];
                let by = [text(&event.reporting_component), text(&event.reporting_instance), text(&event.action)];
                let counts = [event.count, series];
                format!("{} {} by {by:?}, {counts:?}, {times:?}", text(&event.reason), text(&event.message))
            })
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                r#"New a by ["scheduler", "scheduler-h", "Binding"], [None, Some(2)], [false, true, false]"#,
                r#"New b by ["scheduler", "scheduler-h", "Binding"], [None, None], [false, true, false]"#,
                r#"Old a by ["scheduler", "h", ""], [Some(2), None], [true, false, true]"#,
                r#"Old b by ["scheduler", "h", ""], [Some(1), None], [true, false, true]"#,
            ]
        );
        assert_eq!(shortened(&"é".repeat(600)).len(), 1024);
    }
}

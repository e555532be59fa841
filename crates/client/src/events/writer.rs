//! Writing events, each once: what repeats is counted.
//!
//! In the older form each repetition is written. In the newer one the second makes a series, and further ones are
//! counted here and written when the series ends, or after a while (KEP-383; `tools/events` of client-go).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Event, EventSource};
use portolan_base::Clock;
use portolan_base::error::chain;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::{EventType, ObjectReference, Occurrence};
use crate::client::Client;
use crate::error::Error;
use crate::params::Patch;

/// Distinct events that are remembered to be counted instead of repeated.
const REMEMBERED: usize = 4096;
/// When there are more, those go that were silent for so long.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// A series that is silent for so long has ended. Also how often they are looked at.
const SERIES_END: Duration = Duration::from_secs(360);
/// What is counted in a series that goes on is written this often, so that it does not expire.
const SERIES_REFRESH: Duration = Duration::from_secs(1800);

pub(super) struct Writer {
    client: Client,
    source: EventSource,
    clock: Arc<dyn Clock>,
    recent: HashMap<Identity, Record>,
}

/// What makes two events the same.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    /// Kind, namespace, name, UID and path in the object.
    object: [String; 5],
    is_warning: bool,
    reason: String,
    same: Same,
}

#[derive(PartialEq, Eq, Hash)]
enum Same {
    /// The older form: the same words.
    Message(String),
    /// The newer form: the same was done to the same version of the object, whatever the words.
    Action(&'static str, String),
}

struct Record {
    namespace: String,
    name: String,
    count: i32,
    /// When it happened last, by the clock of the events and by that of this process.
    seen: Timestamp,
    last: Instant,
    /// When it was written last, and the count then.
    written: Instant,
    written_count: i32,
}

impl Record {
    fn patch(&self, same: &Same) -> Patch {
        Patch::Merge(match same {
            Same::Message(_) => json!({"count": self.count, "lastTimestamp": Time(self.seen)}),
            Same::Action(..) => json!({"series": {"count": self.count, "lastObservedTime": MicroTime(self.seen)}}),
        })
    }

    async fn write(&mut self, client: &Client, same: &Same) -> Result<(), Error> {
        client.patch::<Event>(&self.namespace, &self.name, "", &self.patch(same)).await?;
        (self.written, self.written_count) = (Instant::now(), self.count);
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(client: Client, source: EventSource, clock: Arc<dyn Clock>) -> Self {
        Self { client, source, clock, recent: HashMap::new() }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Occurrence>) {
        let mut looks = tokio::time::interval(SERIES_END);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                occurrence = receiver.recv() => {
                    let Some(occurrence) = occurrence else { return };
                    if let Err(error) = self.write(&occurrence).await {
                        // An event about an object in a namespace that is going away is refused; that is normal.
                        tracing::debug!(reason = occurrence.reason, "event not written: {}", chain(&error));
                    }
                }
                _ = looks.tick() => self.look_at_series().await,
            }
        }
    }

    async fn write(&mut self, occurrence: &Occurrence) -> Result<(), Error> {
        self.forget();
        let now = self.clock.now();
        let identity = Identity::of(occurrence);
        if let Some(record) = self.recent.get_mut(&identity) {
            record.count = record.count.saturating_add(1);
            (record.seen, record.last) = (now, Instant::now());
            if matches!(identity.same, Same::Action(..)) && record.count > 2 {
                return Ok(());
            }
            match record.write(&self.client, &identity.same).await {
                // The record is gone, so a new one is due.
                Err(error) if error.is_not_found() => drop(self.recent.remove(&identity)),
                outcome => return outcome,
            }
        }
        let event = occurrence.event(&self.source, now);
        self.client.create(&event).await?;
        let written = Instant::now();
        let record = Record {
            namespace: event.namespace().to_owned(),
            name: event.name().to_owned(),
            count: 1,
            seen: now,
            last: written,
            written,
            written_count: 1,
        };
        self.recent.insert(identity, record);
        Ok(())
    }

    /// Ends series, and writes down how far those are that go on.
    async fn look_at_series(&mut self) {
        let now = Instant::now();
        let has_ended = |record: &Record| now.duration_since(record.last) >= SERIES_END;
        let series = self.recent.iter_mut().filter(|(identity, _)| matches!(identity.same, Same::Action(..)));
        for (identity, record) in series {
            let is_due = has_ended(record) || now.duration_since(record.written) >= SERIES_REFRESH;
            if is_due
                && record.count > record.written_count
                && let Err(error) = record.write(&self.client, &identity.same).await
            {
                tracing::debug!(reason = identity.reason, "series not written: {}", chain(&error));
            }
        }
        self.recent.retain(|identity, record| matches!(identity.same, Same::Message(_)) || !has_ended(record));
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

impl Identity {
    fn of(occurrence: &Occurrence) -> Self {
        let object: &ObjectReference = &occurrence.object;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            object: [&object.kind, &object.namespace, &object.name, &object.uid, &object.field_path].map(text),
            is_warning: occurrence.event_type == EventType::Warning,
            reason: occurrence.reason.clone(),
            same: match occurrence.action {
                None => Same::Message(occurrence.message.clone()),
                Some(action) => Same::Action(action, text(&object.resource_version)),
            },
        }
    }
}

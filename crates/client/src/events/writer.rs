//! Writing events, each once: what repeats is counted.
//!
//! In the older form each repetition is written. In the newer one they make an [`EventSeries`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use portolan_api::event_series::{self, EventSeries};
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
    /// When it happened last, by the clock of the events.
    seen: Timestamp,
    series: EventSeries<Instant>,
}

impl Record {
    fn patch(&self, same: &Same) -> Patch {
        let count = self.series.count();
        Patch::Merge(match same {
            Same::Message(_) => json!({"count": count, "lastTimestamp": Time(self.seen)}),
            Same::Action(..) => json!({"series": {"count": count, "lastObservedTime": MicroTime(self.seen)}}),
        })
    }

    async fn write(&mut self, client: &Client, same: &Same) -> Result<(), Error> {
        client.patch::<Event>(&self.namespace, &self.name, "", &self.patch(same)).await?;
        self.series.wrote(Instant::now());
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(client: Client, source: EventSource, clock: Arc<dyn Clock>) -> Self {
        Self { client, source, clock, recent: HashMap::new() }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Occurrence>) {
        let mut looks = tokio::time::interval(event_series::END);
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
            record.seen = now;
            let is_due = record.series.again(Instant::now());
            if matches!(identity.same, Same::Action(..)) && !is_due {
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
        let record = Record {
            namespace: event.namespace().to_owned(),
            name: event.name().to_owned(),
            seen: now,
            series: EventSeries::begin(Instant::now()),
        };
        self.recent.insert(identity, record);
        Ok(())
    }

    /// Ends series, and writes down how far those are that go on.
    async fn look_at_series(&mut self) {
        let now = Instant::now();
        let age = |then| now.duration_since(then);
        let series = self.recent.iter_mut().filter(|(identity, _)| matches!(identity.same, Same::Action(..)));
        for (identity, record) in series.filter(|(_, record)| record.series.is_due(age)) {
            if let Err(error) = record.write(&self.client, &identity.same).await {
                tracing::debug!(reason = identity.reason, "series not written: {}", chain(&error));
            }
        }
        let has_ended = |record: &Record| record.series.has_ended(age);
        self.recent.retain(|identity, record| matches!(identity.same, Same::Message(_)) || !has_ended(record));
    }

    fn forget(&mut self) {
        if self.recent.len() >= REMEMBERED {
            self.recent.retain(|_, record| record.series.seen().elapsed() < FORGET_AFTER);
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

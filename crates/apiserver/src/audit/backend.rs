//! Where records go, and how they get there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use portolan_base::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::format::{self, Format};
use super::log::{Log, LogFile};
use crate::config::Error;
use crate::outgoing::{Client, Endpoint, Tries};

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a record that was cut short says.
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// Records go into a file.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettings {
    /// The file.
    pub file: LogFile,
    /// How a record looks.
    pub format: Format,
    /// How it gets there.
    pub delivery: Delivery,
    /// How large it may be.
    pub truncate: Option<Truncate>,
}

/// Records go to another service.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The service.
    pub endpoint: Endpoint,
    /// How long to wait before the second attempt.
    pub initial_backoff: Duration,
    /// How records get there.
    pub delivery: Delivery,
    /// How large they may be.
    pub truncate: Option<Truncate>,
}

/// Whether requests wait for their records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Delivery {
    /// They do.
    #[default]
    Blocking,
    /// They do, and fail if it cannot be recorded that they came in.
    BlockingStrict,
    /// They do not: records are collected.
    Batch(Batch),
}

/// How records are collected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// How many may wait; more are lost.
    pub buffer: usize,
    /// How many go at once.
    pub most: usize,
    /// How long they wait for others.
    pub wait: Duration,
    /// How often some may go.
    pub throttle: Option<Throttle>,
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// On average.
    pub per_second: f64,
    /// At once after a pause.
    pub burst: u32,
}

/// How large records may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate {
    /// Of one: what is larger goes without its objects, or not at all.
    pub most_event_bytes: usize,
    /// Of those that go at once.
    pub most_batch_bytes: usize,
}

impl LogSettings {
    /// Plain records, written before the answer.
    pub fn of(file: LogFile) -> Self {
        Self { file, format: Format::Json, delivery: Delivery::Blocking, truncate: None }
    }
}

/// One place that records go to.
#[derive(Debug)]
pub(super) struct Backend {
    sink: Sink,
    pub(super) delivery: Delivery,
    truncate: Option<Truncate>,
    queue: mpsc::Sender<Arc<Value>>,
    /// For whoever empties the queue.
    pub(super) queued: Mutex<Option<mpsc::Receiver<Arc<Value>>>>,
    errors: Errors,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Sink {
    Log(Log, Format),
    Webhook(Client, Duration),
}

/// Records that were lost, by the reason.
#[derive(Debug, Default)]
struct Errors {
    sink: AtomicU64,
    buffered: AtomicU64,
    truncate: AtomicU64,
}

/// A record could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl Backend {
    pub(super) fn log(settings: LogSettings) -> Result<Self, Error> {
        let path: PathBuf = settings.file.path.clone();
        let log = Log::open(settings.file).map_err(|source| Error::AuditLog { path, source })?;
        Ok(Self::new(Sink::Log(log, settings.format), settings.delivery, settings.truncate))
    }

    pub(super) fn webhook(settings: WebhookSettings) -> Result<Self, Error> {
        let client = Client::new(settings.endpoint).map_err(|source| Error::Outgoing { source })?.within(TIMEOUT);
        Ok(Self::new(Sink::Webhook(client, settings.initial_backoff), settings.delivery, settings.truncate))
    }

    fn new(sink: Sink, delivery: Delivery, truncate: Option<Truncate>) -> Self {
        let buffer = match delivery {
            Delivery::Batch(batch) => batch.buffer,
            // What ends without anybody who could wait.
            Delivery::Blocking | Delivery::BlockingStrict => 10_000,
        };
        let (queue, queued) = mpsc::channel(buffer.max(1));
        Self { sink, delivery, truncate, queue, queued: Mutex::new(Some(queued)), errors: Errors::default() }
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.sink
    }

    fn is_batch(&self) -> bool {
        matches!(self.delivery, Delivery::Batch(_))
    }

    /// Takes a record, and waits for it to be kept if that is wanted.
    pub(super) async fn take(&self, event: &Arc<Value>, now: Timestamp) -> Result<(), Lost> {
        let event = self.fitted(event)?;
        match &self.sink {
            _ if self.is_batch() => self.enqueue(event),
            Sink::Log(..) => self.write(&[event], now),
            Sink::Webhook(..) => Box::pin(self.send(&[event])).await,
        }
    }

    /// The same for those who cannot wait.
    pub(super) fn put(&self, event: &Arc<Value>, now: Timestamp) {
        let Ok(event) = self.fitted(event) else { return };
        // What is lost is counted.
        let _ = match &self.sink {
            Sink::Log(..) if !self.is_batch() => self.write(&[event], now),
            _ => self.enqueue(event),
        };
    }

    fn enqueue(&self, event: Arc<Value>) -> Result<(), Lost> {
        self.queue.try_send(event).map_err(|_| {
            self.errors.buffered.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a record of the audit log is lost: too many wait");
            Lost
        })
    }

    /// Has records that were collected kept, in as many parts as their size needs.
    pub(super) async fn deliver(&self, events: &[Arc<Value>], now: Timestamp) {
        let most = self.truncate.map_or(usize::MAX, |truncate| truncate.most_batch_bytes);
        for part in parts(events, most) {
            // What is lost is counted.
            let _ = match &self.sink {
                Sink::Log(..) => self.write(part, now),
                Sink::Webhook(..) => self.send(part).await,
            };
        }
    }

    /// The record, without its objects if it is too large with them.
    fn fitted(&self, event: &Arc<Value>) -> Result<Arc<Value>, Lost> {
        let Some(truncate) = self.truncate else { return Ok(event.clone()) };
        let fits = |event: &Value| size(event) <= truncate.most_event_bytes;
        if fits(event) {
            return Ok(event.clone());
        }
        let mut short = Value::clone(event);
        if let Some(fields) = short.as_object_mut().filter(|event| event["level"] != "Metadata") {
            fields.remove("requestObject");
            fields.remove("responseObject");
            short["annotations"][TRUNCATED] = "true".into();
            if fits(&short) {
                return Ok(Arc::new(short));
            }
        }
        self.errors.truncate.fetch_add(1, Ordering::Relaxed);
        let id = event["auditID"].as_str().unwrap_or_default();
        tracing::error!(id, "a record of the audit log is lost: it is too large even without its objects");
        Err(Lost)
    }

    fn write(&self, events: &[Arc<Value>], now: Timestamp) -> Result<(), Lost> {
        let Sink::Log(log, format) = &self.sink else { return Err(Lost) };
        let mut outcome = Ok(());
        for event in events {
            if let Err(error) = log.write(&format::line(event, *format), now) {
                self.lost(1, &error.to_string());
                outcome = Err(Lost);
            }
        }
        outcome
    }

    async fn send(&self, events: &[Arc<Value>]) -> Result<(), Lost> {
        let Sink::Webhook(client, initial) = &self.sink else { return Err(Lost) };
        let list = list(events);
        let attempt = || async {
            let delivered = client.deliver(&list).await;
            delivered.inspect_err(|why| tracing::debug!(why, "the audit webhook did not take records"))
        };
        Tries::new(*initial).run(attempt, |_| true).await.map_err(|why| {
            self.lost(events.len(), &why);
            Lost
        })
    }

    fn lost(&self, count: usize, why: &str) {
        self.errors.sink.fetch_add(count as u64, Ordering::Relaxed);
        tracing::error!(plugin = self.plugin(), count, why, "records of the audit log are lost");
    }

    fn plugin(&self) -> &'static str {
        match self.sink {
            Sink::Log(..) => "log",
            Sink::Webhook(..) => "webhook",
        }
    }

    /// How many records were lost, by upstream's names of what lost them.
    pub(super) fn errors(&self) -> [(&'static str, u64); 3] {
        let Errors { sink, buffered, truncate } = &self.errors;
        [(self.plugin(), sink), ("buffered", buffered), ("truncate", truncate)]
            .map(|(plugin, count)| (plugin, count.load(Ordering::Relaxed)))
    }
}

/// Bytes of a record as it is written.
fn size(event: &Value) -> usize {
    event.to_string().len() + 1
}

/// Consecutive parts, each of at most so many bytes if it has more than one record.
fn parts(events: &[Arc<Value>], most: usize) -> Vec<&[Arc<Value>]> {
    if most == usize::MAX {
        return vec![events];
    }
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (index, event) in events.iter().enumerate() {
        let next = size(event);
        if index > begin && bytes + next > most {
            parts.push(&events[begin..index]);
            (begin, bytes) = (index, 0);
        }
        bytes += next;
    }
    parts.push(&events[begin..]);
    parts
}

/// An `EventList`, whose items do not repeat what they are.
fn list(events: &[Arc<Value>]) -> Value {
    let items = events.iter().map(|event| {
        let mut item = Value::clone(event);
        if let Some(fields) = item.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        item
    });
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_goes_without_its_objects_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = LogFile { path: folder.path().join("log"), ..LogFile::default() };
        let truncate = Some(Truncate { most_event_bytes: 160, most_batch_bytes: 300 });
        let backend = Backend::log(LogSettings { truncate, ..LogSettings::of(file) }).expect("opens");
        let event = |level: &str, object: usize, uri: usize| {
            Arc::new(json!({"level": level, "requestObject": "x".repeat(object), "requestURI": "y".repeat(uri)}))
        };
        for (given, kept, is_short) in [
            (event("Request", 10, 10), true, false),
            (event("Request", 200, 10), true, true),
            (event("Request", 200, 200), false, false),
            (event("Metadata", 0, 200), false, false),
        ] {
            let found = backend.fitted(&given);
            assert_eq!(found.is_ok(), kept, "{given}");
            let short = found.is_ok_and(|event| event["annotations"][TRUNCATED] == "true");
            assert_eq!(short, is_short, "{given}");
        }
        assert_eq!(backend.errors()[2], ("truncate", 2));
        let events: Vec<_> = (0..5).map(|_| event("Request", 10, 50)).collect();
        let sizes: Vec<usize> = parts(&events, 260).into_iter().map(<[_]>::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
        assert_eq!(parts(&events, usize::MAX).len(), 1);
    }
}

//! Brings records away that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Auditor;
use super::backend::{Backend, Batch, Delivery, Sink, Throttle};

/// How records are collected that nobody could wait for although somebody should.
const STRAY: Batch = Batch { buffer: 0, most: 400, wait: Duration::ZERO, throttle: None };

/// Empties all queues until `stop`, and then what is left in them.
pub(crate) async fn run(auditor: Arc<Auditor>, stop: CancellationToken) {
    let mut running = JoinSet::new();
    for backend in &auditor.backends {
        if let Some(queued) = backend.queued.lock().take() {
            running.spawn(empty(auditor.clone(), backend.clone(), queued, stop.clone()));
        }
        running.spawn(compress(backend.clone(), stop.clone()));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the audit log failed");
        }
    }
}

async fn empty(
    auditor: Arc<Auditor>,
    backend: Arc<Backend>,
    mut queued: Receiver<Arc<Value>>,
    stop: CancellationToken,
) {
    let batch = match backend.delivery {
        Delivery::Batch(batch) => batch,
        Delivery::Blocking | Delivery::BlockingStrict => STRAY,
    };
    let mut bucket = batch.throttle.map(Bucket::new);
    let mut sending = JoinSet::new();
    loop {
        let events = collect(&mut queued, &batch, &stop).await;
        if events.is_empty() {
            break;
        }
        if let Some(bucket) = &mut bucket {
            bucket.take().await;
        }
        let now = auditor.clock.now();
        match backend.sink() {
            Sink::Log(..) => backend.deliver(&events, now).await,
            // A service that is slow holds nobody else up.
            Sink::Webhook(..) => {
                let backend = backend.clone();
                sending.spawn(async move { backend.deliver(&events, now).await });
            }
        }
        while sending.try_join_next().is_some() {}
    }
    sending.join_all().await;
}

/// The next records; none when all are done.
async fn collect(queued: &mut Receiver<Arc<Value>>, batch: &Batch, stop: &CancellationToken) -> Vec<Arc<Value>> {
    let first = match stop.run_until_cancelled(queued.recv()).await {
        Some(first) => first,
        None => queued.try_recv().ok(),
    };
    let mut events: Vec<Arc<Value>> = first.into_iter().collect();
    if events.is_empty() {
        return events;
    }
    let end = Instant::now() + batch.wait;
    while events.len() < batch.most {
        let next = match queued.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                let more = tokio::time::timeout_at(end, queued.recv());
                stop.run_until_cancelled(more).await.and_then(Result::ok).flatten()
            }
        };
        match next {
            Some(event) => events.push(event),
            None => break,
        }
    }
    events
}

/// Lets through so many per second, and more after a pause.
struct Bucket {
    settings: Throttle,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(settings: Throttle) -> Self {
        Self { settings, tokens: f64::from(settings.burst), filled: Instant::now() }
    }

    async fn take(&mut self) {
        self.fill();
        if self.tokens < 1.0 {
            let missing = (1.0 - self.tokens) / self.settings.per_second;
            tokio::time::sleep(Duration::from_secs_f64(missing)).await;
            self.fill();
        }
        self.tokens -= 1.0;
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let grown = (now - self.filled).as_secs_f64() * self.settings.per_second;
        self.tokens = (self.tokens + grown).min(f64::from(self.settings.burst));
        self.filled = now;
    }
}

/// Makes files smaller that are full.
async fn compress(backend: Arc<Backend>, stop: CancellationToken) {
    let Sink::Log(log, _) = backend.sink() else { return };
    while stop.run_until_cancelled(log.rotated()).await.is_some() {
        let backend = backend.clone();
        let work = tokio::task::spawn_blocking(move || match backend.sink() {
            Sink::Log(log, _) => log.compress(),
            Sink::Webhook(..) => Vec::new(),
        });
        match work.await {
            Ok(failures) => {
                for error in failures {
                    tracing::error!(%error, "a full file of the audit log cannot be compressed");
                }
            }
            Err(error) => tracing::error!(%error, "compressing the audit log failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_go_when_there_are_enough_or_when_they_waited_long_enough() {
        let (sender, mut queued) = tokio::sync::mpsc::channel(10);
        let stop = CancellationToken::new();
        let batch = Batch { buffer: 10, most: 2, wait: Duration::from_secs(30), throttle: None };
        for number in 0..3 {
            sender.try_send(Arc::new(Value::from(number))).expect("there is room");
        }
        let start = Instant::now();
        assert_eq!(collect(&mut queued, &batch, &stop).await.len(), 2);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(collect(&mut queued, &batch, &stop).await.len(), 1);
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        sender.try_send(Arc::new(Value::Null)).expect("there is room");
        stop.cancel();
        assert_eq!(collect(&mut queued, &batch, &stop).await.len(), 1, "what is left goes at once");
        assert!(collect(&mut queued, &batch, &stop).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_a_few_per_second() {
        let mut bucket = Bucket::new(Throttle { per_second: 10.0, burst: 3 });
        let start = Instant::now();
        for _ in 0..5 {
            bucket.take().await;
        }
        assert_eq!(start.elapsed().as_millis(), 200);
    }
}

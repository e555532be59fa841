//! The stream that an instance lives by: `POST /registry/instances?lease=connection` is answered by events, and the
//! instance stays as long as they are read.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use portolan_registrar::Connected;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::watch::{COMMENT, KEEP_ALIVE};

struct Held {
    connected: Connected,
    first: Option<Value>,
    changed: Arc<Notify>,
}

/// What the client is told: that it is registered, that both sides are there, and at last why that is over.
pub(crate) fn events(
    connected: Connected,
    mut registered: Value,
    changed: Arc<Notify>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    registered["type"] = "REGISTERED".into();
    registered["graceSeconds"] = connected.grace().as_secs().into();
    let held = Held { connected, first: Some(registered), changed };
    futures::stream::unfold(Some(held), |held| async move {
        let mut held = held?;
        if let Some(first) = held.first.take() {
            return Some((Ok(event(&first)), Some(held)));
        }
        let (until, changes) = (Instant::now() + KEEP_ALIVE, held.changed.clone());
        loop {
            let changed = changes.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(reason) = held.connected.over() {
                return Some((Ok(event(&json!({"type": "ENDED", "reason": reason}))), None));
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Some((Ok(Bytes::from_static(COMMENT)), Some(held)));
            }
        }
    })
}

fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

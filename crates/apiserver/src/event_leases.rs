//! Events go by themselves after a while: each is written with a lease of the store.
//!
//! A lease is shared by the events of a minute at most, so that there are few of them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portolan_store::{LeaseId, Store};

use crate::status::Status;

/// For how long events get the same lease at most; the part of their time that it is else. As upstream.
const SHARED_FOR: Duration = Duration::from_secs(60);
const SHARED_PART: u32 = 20;

/// Most events with the same lease: they are deleted in one transaction.
const SHARED_BY: u32 = 1000;

/// The lease that new events get.
#[derive(Debug)]
pub(crate) struct EventLeases {
    /// How long events are kept; zero: for ever.
    kept_for: Duration,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    id: LeaseId,
    since: Instant,
    uses: u32,
}

impl EventLeases {
    pub(crate) fn new(kept_for: Duration) -> Self {
        Self { kept_for, current: Mutex::default() }
    }

    /// A lease that lasts at least as long as events are kept; nothing if they are kept for ever.
    pub(crate) async fn lease(&self, store: &dyn Store) -> Result<Option<LeaseId>, Status> {
        if self.kept_for.is_zero() {
            return Ok(None);
        }
        let shared_for = SHARED_FOR.min(self.kept_for / SHARED_PART);
        if let Some(current) = self.current.lock().as_mut()
            && current.since.elapsed() < shared_for
            && current.uses < SHARED_BY
        {
            current.uses += 1;
            return Ok(Some(current.id));
        }
        let id = store.grant_lease(self.kept_for + shared_for).await?;
        *self.current.lock() = Some(Current { id, since: Instant::now(), uses: 1 });
        Ok(Some(id))
    }
}

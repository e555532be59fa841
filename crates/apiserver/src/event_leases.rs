//! Events go by themselves after an hour: each is written with a lease of the store.
//!
//! A lease is shared by the events of one minute, so that there are few of them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portolan_store::{LeaseId, Store};

use crate::status::Status;

/// How long events are kept, as upstream.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// For how long events get the same lease.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// Most events with the same lease: they are deleted in one transaction.
const SHARED_BY: u32 = 1000;

/// The lease that new events get.
#[derive(Debug, Default)]
pub(crate) struct EventLeases(Mutex<Option<Current>>);

#[derive(Debug)]
struct Current {
    id: LeaseId,
    since: Instant,
    uses: u32,
}

impl EventLeases {
    /// A lease that lasts at least as long as events are kept.
    pub(crate) async fn lease(&self, store: &dyn Store) -> Result<LeaseId, Status> {
        if let Some(current) = self.0.lock().as_mut()
            && current.since.elapsed() < SHARED_FOR
            && current.uses < SHARED_BY
        {
            current.uses += 1;
            return Ok(current.id);
        }
        let id = store.grant_lease(KEPT_FOR + SHARED_FOR).await?;
        *self.0.lock() = Some(Current { id, since: Instant::now(), uses: 1 });
        Ok(id)
    }
}

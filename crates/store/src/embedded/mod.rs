//! The store that lives in this process: an own log, an in-memory index, checkpoints.
//!
//! Three threads: the *committer* orders and writes changes, the *dispatcher* delivers watches,
//! the *keeper* makes segments, compacts and writes checkpoints. Callers read the index directly
//! and never wait for the disk. `docs/store-format.md` describes the files.

mod check;
mod checkpoint;
mod commit;
mod files;
mod index;
mod keeper;
mod lease;
mod log;
mod open;
mod record;
mod segment;
mod shared;
#[cfg(any(test, feature = "testing"))]
mod simulated;
mod watch;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod model_tests;

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use portolan_base::Clock;

pub use check::{Damage, Report, check};
pub use files::{Access, Claim, File, Files, SystemFiles};
pub use lease::SteadyClock;
pub use open::{OpenError, restore};
#[cfg(any(test, feature = "testing"))]
pub use simulated::{Fault, SimulatedFiles};

use crate::{
    Error, LeaseId, LeaseStatus, Operation, RangeRequest, RangeResponse, Revision, Status, Store, Txn, TxnResponse,
    Watch, WatchRequest,
};
use commit::{Committer, Request};
use log::Log;
use shared::Shared;

/// Longest key.
pub const MOST_KEY_BYTES: usize = 4 << 10;
/// Largest transaction: keys and values together.
pub const MOST_TXN_BYTES: usize = 8 << 20;
/// Keys looked at under one lock while reading a range.
const PIECE: usize = 1024;

/// When history is forgotten without being asked: as soon as one of the limits is exceeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AutoCompaction {
    /// Keep at most about this many revisions.
    pub revisions: Option<u64>,
    /// Keep revisions for about this long.
    pub age: Option<Duration>,
    /// Keep at most about this much memory of replaced versions.
    pub bytes: Option<u64>,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its files are. Made if it does not exist.
    pub directory: PathBuf,
    /// Size of a log segment.
    pub segment_bytes: u64,
    /// Write a checkpoint once this much of the log holds only forgotten history.
    pub checkpoint_every_bytes: u64,
    /// When history is forgotten without being asked.
    pub auto_compaction: AutoCompaction,
    /// Where lease times and the age of revisions come from.
    pub clock: Arc<dyn Clock>,
    /// How the disk is reached.
    pub files: Arc<dyn Files>,
}

impl Options {
    /// Sensible settings for a store in `directory`: five minutes of history, at most 64 MiB.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let age = Some(Duration::from_secs(300));
        Self {
            directory: directory.into(),
            segment_bytes: 16 << 20,
            checkpoint_every_bytes: 64 << 20,
            auto_compaction: AutoCompaction { revisions: None, age, bytes: Some(64 << 20) },
            clock: Arc::new(SteadyClock::default()),
            files: Arc::new(SystemFiles),
        }
    }
}

/// A [`Store`] in this process. Dropping it writes what is queued and closes it.
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

/// In the order in which they are stopped.
struct Threads {
    committer: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    dispatcher: Option<JoinHandle<()>>,
    claim: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = &self.shared.segments.directory;
        formatter.debug_struct("Embedded").field("directory", directory).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in a directory, or makes one. Blocks while it reads.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] rather than the loss of an acknowledged write.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let Options { directory, segment_bytes, checkpoint_every_bytes, auto_compaction, clock, files } = options;
        files.make_directory(&directory).map_err(OpenError::io("make the directory", &directory))?;
        let claim = open::claim(files.as_ref(), &directory)?;
        let mut loaded = open::load(files, &directory, segment_bytes)?;
        loaded.repair()?;
        let open::Loaded { segments, index, mut leases, revision, checkpoint, mut tail, .. } = loaded;
        *segments.sealed.lock() = std::mem::take(&mut tail.sealed);
        leases.restart(lease::now_ms(clock.as_ref()));
        let segments = Arc::new(segments);
        let log = Log::resume(Arc::clone(&segments), tail).map_err(OpenError::io("make a segment in", &directory))?;
        let limits = auto_compaction;
        let shared = Shared::new(segments, clock, checkpoint_every_bytes, limits, index, leases, revision, checkpoint);
        let store = Self {
            shared: Arc::new(shared),
            threads: Mutex::new(Threads { committer: None, keeper: None, dispatcher: None, claim: Some(claim) }),
        };
        store.start(log).map_err(OpenError::io("start a thread for", &directory))?;
        Ok(store)
    }

    fn start(&self, log: Log) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        let spawn =
            |name: &str, work: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let shared = Arc::clone(&self.shared);
        threads.dispatcher = Some(spawn("store-watch", Box::new(move || shared.watches.dispatch(&shared)))?);
        let shared = Arc::clone(&self.shared);
        threads.keeper = Some(spawn("store-keeper", Box::new(move || shared.keep()))?);
        let committer = Committer::new(Arc::clone(&self.shared), log);
        threads.committer = Some(spawn("store-commit", Box::new(move || committer.run()))?);
        // What a restart found may already be over the limits.
        self.shared.keeper.notify(|signal| signal.work = true);
        Ok(())
    }

    /// Writes what is queued, ends watches with [`crate::WatchItem::Closed`] and releases the directory.
    ///
    /// Blocks for the last flush. Idempotent.
    pub fn close(&self) {
        let mut threads = self.threads.lock();
        self.shared.queue.close();
        let ended = |thread: Option<JoinHandle<()>>, name: &str| {
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(thread = name, "a thread of the store had panicked");
            }
        };
        ended(threads.committer.take(), "committer");
        self.shared.keeper.notify(|signal| signal.closing = true);
        ended(threads.keeper.take(), "keeper");
        self.shared.watches.close();
        ended(threads.dispatcher.take(), "dispatcher");
        threads.claim = None;
    }

    /// Ends the leases that are due now. Happens by itself when the clock is a real one; with a
    /// [`portolan_base::ManualClock`] this is how the store learns that the clock was moved.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn tick(&self) -> Result<(), Error> {
        self.shared.keeper.notify(|signal| signal.work = true);
        self.shared.queue.ask(|reply| Request::Tick { reply }).await
    }

    fn read(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let shared = &self.shared;
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let mut range = request.range.clone();
        let mut entries = Vec::new();
        let mut index = shared.index.read();
        let visible = shared.visible();
        let revision = request.revision.unwrap_or(visible);
        index.check_revision(revision, visible)?;
        let mut pin = None;
        loop {
            let budget = PIECE.min(limit.saturating_sub(entries.len())).max(1);
            let Some(next) = index.scan(&range, revision, limit, budget, &mut entries) else {
                return Ok(RangeResponse { entries, revision, remaining: 0 });
            };
            range.start = next;
            if entries.len() >= limit {
                let remaining = index.count(&range, revision);
                return Ok(RangeResponse { entries, revision, remaining });
            }
            // Let writers in between; the pin keeps what this read still needs.
            pin.get_or_insert_with(|| shared.pin_known(revision));
            parking_lot::RwLockReadGuard::bump(&mut index);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses what is too large and copies what will be kept, on the caller's thread.
fn prepare(txn: &mut Txn) -> Result<(), Error> {
    let mut size = 0;
    for operation in txn.success.iter_mut().chain(&mut txn.failure) {
        if let Operation::Put { key, value, .. } = operation {
            if key.len() > MOST_KEY_BYTES {
                return Err(Error::TooLarge { what: "a key", size: key.len(), limit: MOST_KEY_BYTES });
            }
            size += key.len() + value.len();
            if size > MOST_TXN_BYTES {
                return Err(Error::TooLarge { what: "a transaction", size, limit: MOST_TXN_BYTES });
            }
            (*key, *value) = index::pack(key, value);
        }
    }
    Ok(())
}

#[async_trait]
impl Store for Embedded {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        self.read(&request)
    }

    async fn txn(&self, mut txn: Txn) -> Result<TxnResponse, Error> {
        prepare(&mut txn)?;
        self.shared.queue.ask(|reply| Request::Txn { txn, reply }).await?
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        self.shared.watches.start(&self.shared, request)
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, Error> {
        // At least a millisecond: a lease that ends at once could not be attached to anything.
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.shared.queue.ask(|reply| Request::Grant { ttl_ms, reply }).await?
    }

    async fn renew_lease(&self, id: LeaseId) -> Result<Duration, Error> {
        self.shared.leases.lock().renew(id, self.shared.now_ms()).ok_or(Error::LeaseNotFound(id))
    }

    async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error> {
        self.shared.queue.ask(|reply| Request::Revoke { id, reply }).await?
    }

    async fn lease(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        let lease = self.shared.leases.lock().get(id).cloned().ok_or(Error::LeaseNotFound(id))?;
        let index = self.shared.index.read();
        let visible = self.shared.visible();
        // Attachments of writes that are not durable yet are not visible.
        let attached = |key: &bytes::Bytes| index.get_at(key, visible).is_some_and(|entry| entry.lease == Some(id));
        Ok(LeaseStatus {
            id,
            ttl: Duration::from_millis(lease.ttl_ms),
            remaining: Duration::from_millis(lease.deadline_ms.saturating_sub(self.shared.now_ms())),
            keys: lease.keys.into_iter().filter(attached).collect(),
        })
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.shared.queue.ask(|reply| Request::Compact { revision, reply: Some(reply) }).await?
    }

    async fn snapshot(&self, path: &Path) -> Result<Revision, Error> {
        let (shared, path) = (Arc::clone(&self.shared), path.to_owned());
        let written = tokio::task::spawn_blocking(move || shared.snapshot(&path)).await;
        written.unwrap_or_else(|error| {
            Err(Error::Backend { operation: "write a snapshot".into(), source: Arc::new(error) })
        })
    }

    async fn status(&self) -> Status {
        let shared = &self.shared;
        let sealed: u64 = shared.segments.sealed.lock().iter().map(|sealed| sealed.bytes).sum();
        let active = shared.active_bytes.load(Ordering::Relaxed);
        let index = shared.index.read();
        let revision = shared.visible();
        Status {
            revision,
            compacted: index.compacted,
            keys: index.count(&crate::KeyRange::prefix(bytes::Bytes::new()), revision),
            disk_bytes: sealed + active + shared.checkpoint.lock().bytes,
            read_only: shared.read_only().map(|reason| reason.to_string()),
        }
    }
}

//! The port: what a store can be asked, whatever keeps the bytes.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

/// A point in the store's history. Every transaction that changes something takes the next one.
///
/// Revision 0 is "before anything"; the first write has revision 1. Revisions never repeat and
/// never go back, not even after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Names a lease. Chosen by the store at grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A set of keys: one key, all keys with a prefix, or a half-open interval.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Bytes,
    /// First key behind the range; `None` means there is no upper end.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Exactly one key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let mut end = Vec::with_capacity(start.len() + 1);
        end.extend_from_slice(&start);
        end.push(0);
        Self { start, end: Some(end.into()) }
    }

    /// All keys that begin with `prefix`; all keys at all if it is empty.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = start.iter().rposition(|&byte| byte != 0xff).map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        });
        Self { start, end }
    }

    /// Keys from `start` up to and without `end`.
    pub fn interval(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value, shared by everyone who reads this version.
    pub value: Bytes,
    /// Revision at which the key came into being (again).
    pub create_revision: Revision,
    /// Revision of this version.
    pub mod_revision: Revision,
    /// How many times the key was written since it came into being; starts at 1.
    pub version: u64,
    /// Lease whose end deletes the key.
    pub lease: Option<LeaseId>,
}

/// A question for the entries of a range.
#[derive(Debug, Clone)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At which revision; `None` asks for the newest.
    pub revision: Option<Revision>,
    /// At most this many entries; `0` means all.
    pub limit: usize,
}

/// The answer to a [`RangeRequest`].
#[derive(Debug, Clone)]
pub struct RangeResponse {
    /// Entries in key order.
    pub entries: Vec<Arc<Entry>>,
    /// Revision the answer belongs to: the requested one, or the newest at the time.
    pub revision: Revision,
    /// How many further entries of the range lie behind the last one given.
    pub remaining: usize,
}

/// A condition on one key, tested when a transaction is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The newest version of the key has this revision. `Revision(0)`: the key does not exist.
    ModRevision {
        /// The key.
        key: Bytes,
        /// The revision that its newest version must have.
        equals: Revision,
    },
    /// The key exists.
    Exists {
        /// The key.
        key: Bytes,
    },
    /// The newest value of the key is exactly this.
    Value {
        /// The key.
        key: Bytes,
        /// The bytes that it must hold.
        equals: Bytes,
    },
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
        /// Lease whose end deletes the key.
        lease: Option<LeaseId>,
    },
    /// Deletes all keys of a range.
    Delete {
        /// Which keys.
        range: KeyRange,
    },
    /// Reads the newest entries of a range, after the steps before this one.
    Range {
        /// Which keys.
        range: KeyRange,
    },
}

/// What one [`Operation`] did.
#[derive(Debug, Clone)]
pub enum OperationResult {
    /// The version that the put replaced.
    Put {
        /// The version before, if the key existed.
        previous: Option<Arc<Entry>>,
    },
    /// The versions that the deletion ended.
    Delete {
        /// Versions before, in key order.
        previous: Vec<Arc<Entry>>,
    },
    /// The entries that were asked for.
    Range {
        /// Entries in key order.
        entries: Vec<Arc<Entry>>,
    },
}

/// If all of `compare` hold apply `success`, else `failure`; all steps at one revision or none.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    /// Conditions, all of which must hold.
    pub compare: Vec<Compare>,
    /// Steps when they hold.
    pub success: Vec<Operation>,
    /// Steps when one does not.
    pub failure: Vec<Operation>,
}

/// What a transaction did.
#[derive(Debug, Clone)]
pub struct TxnResponse {
    /// Whether the conditions held.
    pub succeeded: bool,
    /// The transaction's revision if it changed something, else the newest one.
    pub revision: Revision,
    /// One result per step that was applied.
    pub results: Vec<OperationResult>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key was written.
    Put,
    /// The key was deleted.
    Delete,
}

/// One change of one key, shared by all who watch it.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The new version. For a deletion: the key with an empty value and the deletion's revision.
    pub entry: Arc<Entry>,
    /// The version before, if there was one.
    pub previous: Option<Arc<Entry>>,
    /// Room for derived encodings, each made by the first watcher that needs it and shared by the
    /// rest. The store never reads or fills it.
    pub encoded: [OnceLock<Bytes>; 2],
}

/// Which changes to deliver.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Deliver changes *after* this revision; `None` means after the newest one.
    pub after: Option<Revision>,
    /// If set, deliver a [`WatchItem::Progress`] about this often while nothing else happens.
    pub progress: Option<Duration>,
    /// How many items may wait before the watcher counts as too slow and is ended.
    pub buffer: usize,
}

/// What a watch delivers.
#[derive(Debug, Clone)]
pub enum WatchItem {
    /// Changes of one transaction (or several, in order). Complete: a revision is never split.
    Events(Vec<Arc<Event>>),
    /// Everything up to and including this revision has been delivered.
    Progress(Revision),
    /// The watcher did not keep up; it must start again. The last item.
    Lagged,
    /// The store stops. The last item.
    Closed,
}

/// Changes what a watch delivers on its way to the reader.
type Mapping = Arc<dyn Fn(WatchItem) -> WatchItem + Send + Sync>;

/// A running watch. Dropping it ends it.
pub struct Watch {
    items: mpsc::Receiver<WatchItem>,
    started_after: Revision,
    mapping: Option<Mapping>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").field("started_after", &self.started_after).finish_non_exhaustive()
    }
}

impl Watch {
    /// Made by backends.
    pub fn new(items: mpsc::Receiver<WatchItem>, started_after: Revision) -> Self {
        Self { items, started_after, mapping: None }
    }

    /// The same watch, with each item passed through `mapping` when it is read.
    #[must_use]
    pub fn mapped(self, mapping: Arc<dyn Fn(WatchItem) -> WatchItem + Send + Sync>) -> Self {
        Self { mapping: Some(mapping), ..self }
    }

    fn map(&self, item: Option<WatchItem>) -> Option<WatchItem> {
        match &self.mapping {
            None => item,
            Some(mapping) => item.map(|item| mapping(item)),
        }
    }

    /// The revision after which changes are delivered.
    pub fn started_after(&self) -> Revision {
        self.started_after
    }

    /// The next item; `None` after the last.
    pub async fn next(&mut self) -> Option<WatchItem> {
        let item = self.items.recv().await;
        self.map(item)
    }

    /// For `Stream` adapters and `select!` by poll.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<WatchItem>> {
        self.items.poll_recv(context).map(|item| self.map(item))
    }
}

/// A lease and the time that is left to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Its name.
    pub id: LeaseId,
    /// Time to live as granted.
    pub ttl: Duration,
    /// Time until it ends if it is not renewed.
    pub remaining: Duration,
    /// Keys that end with it.
    pub keys: Vec<Bytes>,
}

/// Figures about a store, for status pages and metrics.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Newest revision.
    pub revision: Revision,
    /// Oldest revision that can still be read or watched from.
    pub compacted: Revision,
    /// Live keys.
    pub keys: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
}

/// Why a store refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision is older than what is retained.
    #[error("revision {requested} was compacted, the oldest one kept is {compacted}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest revision that can be asked for.
        compacted: Revision,
    },
    /// The revision does not exist yet.
    #[error("revision {requested} is in the future, the newest one is {current}")]
    FutureRevision {
        /// What was asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// No such lease, or it ended.
    #[error("lease {:016x} does not exist or has ended", .0.0)]
    LeaseNotFound(LeaseId),
    /// A key, value or transaction is larger than the store takes.
    #[error("{what} is {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Writes are refused because an earlier one could not be made durable; reads go on.
    #[error("the store refuses writes: {reason}")]
    ReadOnly {
        /// What failed, and what the operator can do.
        reason: Arc<str>,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// The backend failed in a way of its own.
    #[error("{operation}")]
    Backend {
        /// What was being done.
        operation: String,
        /// Why it failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// An ordered key-value store with history.
///
/// Guarantees of every backend: an acknowledged write survives `kill -9` and power loss; revisions
/// are a total order of all writes; a read without a revision sees every write acknowledged before
/// it began; a watch delivers each change in its range exactly once, in order and without gaps.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads the entries of a range.
    ///
    /// # Errors
    /// [`Error::Compacted`] and [`Error::FutureRevision`] for revisions outside the history.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error>;

    /// Applies a transaction; returns once it is durable.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::TooLarge`], [`Error::LeaseNotFound`]; nothing changed then.
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, Error>;

    /// Starts a watch.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the history no longer reaches back to the start,
    /// [`Error::FutureRevision`] if it lies in the future.
    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error>;

    /// Grants a lease.
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, Error>;

    /// Renews a lease in memory; nothing is written. Returns its time to live.
    async fn renew_lease(&self, id: LeaseId) -> Result<Duration, Error>;

    /// Ends a lease and deletes its keys, in one transaction.
    async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error>;

    /// What is known of a lease.
    async fn lease(&self, id: LeaseId) -> Result<LeaseStatus, Error>;

    /// Forgets history up to `revision`: older versions can no longer be read or watched.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// Writes everything that is live to a file from which a new store can be made.
    async fn snapshot(&self, path: &Path) -> Result<Revision, Error>;

    /// Figures.
    async fn status(&self) -> Status;
}

//! Opening a store: claim the directory, load the checkpoint, replay the log.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::Mutex;

use super::check::Damage;
use super::checkpoint::{self, Item};
use super::commit::version;
use super::files::{Access, Claim, Files};
use super::index::{Index, deletion, pack};
use super::lease::Leases;
use super::log::{self, Segments, Tail};
use super::record::{self, Step};
use super::segment;
use super::shared::Checkpoint;
use crate::{KeyRange, LeaseId, Revision};

const LOCK: &str = "LOCK";
/// Changes forgotten at once while replaying compactions.
const PIECE: usize = 4096;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "the store in {} is in use by {}; stop that process, or give this one another data directory",
        directory.display(),
        holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The store's directory.
        directory: PathBuf,
        /// The process that has it, if its id could be read.
        holder: Option<u32>,
    },
    /// The files are not as they were written. Nothing was changed.
    #[error(
        "the store in {} is damaged: {damage}. Acknowledged writes may be lost, so nothing was changed. Keep a copy of \
         the directory, look at it with `portolan store check`, and go back to the latest backup with `portolan \
         restore FILE`",
        directory.display()
    )]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// Where and what.
        damage: Damage,
    },
    /// The operating system refused.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A restore would overwrite a store.
    #[error("{} holds a store already; restore into an empty directory", directory.display())]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
}

impl OpenError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// Everything that a directory says.
pub(super) struct Loaded {
    pub(super) segments: Segments,
    pub(super) index: Index,
    pub(super) leases: Leases,
    pub(super) revision: Revision,
    pub(super) checkpoint: Checkpoint,
    pub(super) tail: Tail,
    pub(super) records: u64,
    pub(super) numbers: Vec<u64>,
    /// Files that a crash left half made or not yet removed.
    pub(super) leftovers: Vec<String>,
}

/// Claims a directory for this process.
pub(super) fn claim(files: &dyn Files, directory: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let path = directory.join(LOCK);
    match files.claim(&path).map_err(OpenError::io("lock", &path))? {
        Claim::Held(claim) => Ok(claim),
        Claim::Busy(holder) => Err(OpenError::InUse { directory: directory.to_owned(), holder }),
    }
}

/// Reads a directory; changes nothing.
pub(super) fn load(files: Arc<dyn Files>, directory: &Path, segment_bytes: u64) -> Result<Loaded, OpenError> {
    let damaged = |damage| OpenError::Damaged { directory: directory.to_owned(), damage };
    let names = files.list(directory).map_err(OpenError::io("list", directory))?;
    let mut leftovers: Vec<String> = names.iter().filter(|name| name.ends_with(".tmp")).cloned().collect();
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    let newest = names.iter().filter_map(|name| checkpoint::revision_of(name)).max();
    let mut state = Replay::default();
    let mut base = Checkpoint::default();
    let mut first = 1;
    let mut store = None;
    if let Some(revision) = newest {
        let name = checkpoint::name(revision);
        let path = directory.join(&name);
        let file = files.open(&path, Access::Read).map_err(OpenError::io("open", &path))?;
        let header = checkpoint::read(file.as_ref(), &name, |item| state.load(item)).map_err(|error| match error {
            checkpoint::ReadError::Io(source) => OpenError::Io { operation: "read", path: path.clone(), source },
            checkpoint::ReadError::Damaged(damage) => damaged(damage),
        })?;
        base = Checkpoint { revision, bytes: file.length().map_err(OpenError::io("examine", &path))? };
        (first, store) = (header.log_from, Some(header.store));
        state.start_at(header.revision);
        if !numbers.contains(&first) {
            let problem = "the segment is missing, but the checkpoint says that it follows".to_owned();
            return Err(damaged(Damage { file: segment::name(first), offset: 0, problem }));
        }
    }
    leftovers.extend(names.into_iter().filter(|name| {
        segment::number_of(name).is_some_and(|number| number < first)
            || checkpoint::revision_of(name).is_some_and(|revision| Some(revision) != newest)
    }));
    numbers.retain(|&number| number >= first);
    if store.is_none()
        && let Some(&number) = numbers.first()
    {
        store = store_of(files.as_ref(), directory, number)?;
    }
    let segments = Segments {
        files,
        directory: directory.to_owned(),
        store: store.unwrap_or_else(rand::random),
        segment_bytes,
        sealed: Mutex::default(),
        spare: Mutex::default(),
        active: AtomicU64::new(0),
    };
    let tail = log::read(&segments, numbers.clone(), first, |payload| {
        record::decode(payload, |revision, steps| state.replay(revision, steps))
    })
    .map_err(|error| into_open_error(error, directory))?;
    let Replay { index, mut leases, revision, records, .. } = state;
    leases.rebuild(&index.newest_in(&KeyRange::prefix(Bytes::new())));
    Ok(Loaded { segments, index, leases, revision, checkpoint: base, tail, records, numbers, leftovers })
}

pub(super) fn into_open_error(error: log::ReadError, directory: &Path) -> OpenError {
    match error {
        log::ReadError::Io { operation, path, source } => OpenError::Io { operation, path, source },
        log::ReadError::Damaged(damage) => OpenError::Damaged { directory: directory.to_owned(), damage },
    }
}

fn store_of(files: &dyn Files, directory: &Path, number: u64) -> Result<Option<u64>, OpenError> {
    let path = segment::path(directory, number);
    let file = files.open(&path, Access::Read).map_err(OpenError::io("open", &path))?;
    let mut bytes = [0; segment::SEGMENT_HEADER];
    let count = file.read_at(&mut bytes, 0).map_err(OpenError::io("read", &path))?;
    // A damaged header is reported, with its place, when the log is read.
    Ok(segment::Header::decode(&bytes[..count]).ok().map(|header| header.store))
}

impl Loaded {
    /// Makes the directory ready to be written to.
    pub(super) fn repair(&mut self) -> Result<(), OpenError> {
        let Segments { files, directory, .. } = &self.segments;
        if let Some(torn) = &self.tail.torn {
            tracing::warn!(
                segment = segment::name(torn.number),
                offset = torn.offset,
                problem = torn.problem,
                "cutting an unacknowledged write off the end of the log"
            );
        }
        for name in &self.leftovers {
            let path = directory.join(name);
            files.remove(&path).map_err(OpenError::io("remove", &path))?;
        }
        self.tail.repair(&self.segments, &self.numbers).map_err(|error| into_open_error(error, directory))
    }
}

/// State in the course of being rebuilt.
#[derive(Default)]
struct Replay {
    index: Index,
    leases: Leases,
    revision: Revision,
    base: Revision,
    records: u64,
}

impl Replay {
    fn load(&mut self, item: Item) {
        match item {
            Item::Entry(entry) => self.index.load(entry),
            Item::Lease { id, ttl_ms } => self.leases.grant(id, ttl_ms, 0),
        }
    }

    fn start_at(&mut self, revision: Revision) {
        (self.revision, self.base, self.index.compacted) = (revision, revision, revision);
    }

    fn replay(&mut self, revision: u64, steps: &[Step<'_>]) -> Result<(), &'static str> {
        self.records += 1;
        let revision = Revision(revision);
        let covered = revision <= self.base;
        if !covered && revision != self.revision && revision.0 != self.revision.0 + 1 {
            return Err("a revision is missing before this record");
        }
        for step in steps {
            match *step {
                Step::Put { key, value, lease } if !covered => {
                    let (key, value) = pack(key, value);
                    let lease = (lease != 0).then_some(LeaseId(lease));
                    let previous = self.index.newest(&key).cloned();
                    self.index.apply(version(key, value, lease, revision, previous.as_deref()));
                }
                Step::Delete { key } if !covered => {
                    self.index.apply(deletion(Bytes::copy_from_slice(key), revision));
                }
                Step::Put { .. } | Step::Delete { .. } => {}
                Step::LeaseGranted { id, ttl_ms } => self.leases.grant(id, ttl_ms, 0),
                Step::LeaseEnded { id } => self.leases.remove(id),
                Step::Compacted { revision } => {
                    self.index.compacted = self.index.compacted.max(Revision(revision));
                    // At once, so that opening needs no more memory than running.
                    while self.index.can_prune(self.index.compacted) {
                        self.index.prune(self.index.compacted, PIECE);
                    }
                }
            }
        }
        self.revision = self.revision.max(revision);
        Ok(())
    }
}

/// Makes a new store in `directory` from a snapshot; returns the revision that it starts with.
///
/// # Errors
/// When the snapshot is damaged, or the directory holds a store already.
pub fn restore(files: &dyn Files, snapshot: &Path, directory: &Path) -> Result<Revision, OpenError> {
    files.make_directory(directory).map_err(OpenError::io("make the directory", directory))?;
    let _claim = claim(files, directory)?;
    let names = files.list(directory).map_err(OpenError::io("list", directory))?;
    if names.iter().any(|name| segment::number_of(name).is_some() || checkpoint::revision_of(name).is_some()) {
        return Err(OpenError::NotEmpty { directory: directory.to_owned() });
    }
    let name = snapshot.display().to_string();
    let from = files.open(snapshot, Access::Read).map_err(OpenError::io("open", snapshot))?;
    // A store of its own from now on: files of the old one do not fit into it.
    let own = |header| checkpoint::Header { store: rand::random(), log_from: 1, ..header };
    let temporary = directory.join("restored.tmp");
    let header = checkpoint::copy(files, (from.as_ref(), &name), &temporary, own).map_err(|error| match error {
        checkpoint::ReadError::Io(source) => {
            OpenError::Io { operation: "copy the snapshot", path: snapshot.to_owned(), source }
        }
        checkpoint::ReadError::Damaged(damage) => OpenError::Damaged { directory: directory.to_owned(), damage },
    })?;
    // The segment first: a checkpoint without the segment that it names would count as damage.
    let size = segment::SEGMENT_HEADER as u64;
    segment::create(files, directory, segment::Header { store: header.store, number: 1, size })
        .map_err(OpenError::io("make a segment in", directory))?;
    let path = directory.join(checkpoint::name(header.revision));
    files.rename(&temporary, &path).map_err(OpenError::io("name", &path))?;
    files.sync_directory(directory).map_err(OpenError::io("flush", directory))?;
    Ok(header.revision)
}

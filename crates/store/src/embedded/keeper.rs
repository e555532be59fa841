//! The keeper: one thread for everything that must not hold up a commit.
//!
//! It makes segments ahead of time, decides about automatic compaction, forgets compacted
//! versions, and writes checkpoints so that old segments can go.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::checkpoint::{Header, Writer, name};
use super::commit::Request;
use super::shared::{Checkpoint, Shared};
use crate::{Error, KeyRange, Revision};

/// Changes forgotten, or keys copied, under one lock.
const PIECE: usize = 512;
/// How finely the age of revisions is known, as a part of the age that is kept.
const MARKS: u32 = 16;
/// After a failed checkpoint the next attempt waits this long, so that a full disk is not hammered.
const RETRY: Duration = Duration::from_secs(10);

impl Shared {
    /// Whether the history is longer than it should be. Cheap: asked after every group.
    pub(super) fn wants_compaction(&self, revision: Revision) -> bool {
        let limits = &self.auto_compaction;
        if limits.age.is_none() && limits.bytes.is_none() && limits.revisions.is_none() {
            return false;
        }
        let index = self.index.read();
        // A tenth more than asked for, so that the log does not fill with notes on compaction.
        limits.revisions.is_some_and(|keep| revision.0 - index.compacted.0.min(revision.0) > keep + keep / 10)
            || limits.bytes.is_some_and(|keep| index.history_bytes() > keep + keep / 10)
            || (limits.age.is_some() && self.keeper_wants_mark(revision))
    }

    /// The newest revision that the limits say must go.
    fn compaction_target(&self, marks: &VecDeque<(u64, Revision)>) -> Option<Revision> {
        let limits = &self.auto_compaction;
        let index = self.index.read();
        let visible = self.visible();
        let by_count = limits.revisions.map(|keep| Revision(visible.0.saturating_sub(keep)));
        let by_bytes = limits.bytes.and_then(|keep| index.revision_to_shrink_to(keep));
        let by_age = limits.age.and_then(|age| {
            let oldest = self.now_ms().saturating_sub(millis(age));
            marks.iter().take_while(|(at, _)| *at <= oldest).last().map(|&(_, revision)| revision)
        });
        let target = by_count.max(by_bytes).max(by_age)?.min(visible);
        (target > index.compacted).then_some(target)
    }

    /// Keeps house until the store closes.
    pub(super) fn keep(&self) {
        // When which revision was the newest; empty once nothing remains to be forgotten.
        let mut marks: VecDeque<(u64, Revision)> = VecDeque::new();
        let mut retry_at_ms = 0;
        // Asked for again with every commit; failing once says enough.
        let mut failed_spare = 0;
        loop {
            let wait = self.auto_compaction.age.filter(|_| !marks.is_empty()).map(|age| age / MARKS);
            let signal = self.keeper.wait(wait.map(|wait| wait.max(Duration::from_millis(1))));
            if signal.closing {
                return;
            }
            // The committer will try again when it needs it, and stop writing if it cannot either.
            if let Some(number) = signal.spare.filter(|number| *number != failed_spare)
                && let Err(error) = self.segments.prepare(number)
            {
                failed_spare = number;
                tracing::warn!(%error, "making the next log segment ahead of time failed");
            }
            self.mark(&mut marks);
            if let Some(revision) = self.compaction_target(&marks) {
                while marks.pop_front_if(|(_, marked)| *marked <= revision).is_some() {}
                if self.queue.push(Request::Compact { revision, reply: None }).is_err() {
                    return;
                }
            }
            self.forget();
            if self.now_ms() >= retry_at_ms && self.wants_checkpoint() {
                retry_at_ms = 0;
                if let Err(error) = self.write_checkpoint() {
                    if self.keeper.signal.lock().closing {
                        return;
                    }
                    tracing::error!(%error, "writing a checkpoint failed; the log keeps growing until it succeeds");
                    retry_at_ms = self.now_ms() + millis(RETRY);
                }
            }
        }
    }

    fn mark(&self, marks: &mut VecDeque<(u64, Revision)>) {
        let Some(age) = self.auto_compaction.age else { return };
        let (now, visible) = (self.now_ms(), self.visible());
        let finest = millis(age) / u64::from(MARKS);
        let fresh = marks.back().is_none_or(|(at, revision)| *revision < visible && now >= at + finest);
        if fresh && visible > self.index.read().compacted {
            marks.push_back((now, visible));
        }
        self.marked.store(marks.back().map_or(0, |(_, revision)| revision.0), std::sync::atomic::Ordering::Relaxed);
    }

    /// With an age limit the first change after a pause starts the keeper's timer.
    fn keeper_wants_mark(&self, revision: Revision) -> bool {
        let marked = self.marked.load(std::sync::atomic::Ordering::Relaxed);
        marked <= self.index.read_recursive().compacted.0 && marked < revision.0
    }

    /// Forgets what compaction and readers allow, in pieces so that nobody waits for long.
    fn forget(&self) {
        loop {
            let mut index = self.index.write();
            let bound = self.prune_bound(index.compacted);
            let garbage = index.prune(bound, PIECE);
            let more = index.can_prune(bound);
            drop(index);
            drop(garbage);
            if !more {
                return;
            }
        }
    }

    /// Once this much of the log is only history that was compacted away.
    fn wants_checkpoint(&self) -> bool {
        let compacted = self.index.read().compacted.0;
        let sealed = self.segments.sealed.lock();
        let obsolete = sealed.iter().take_while(|sealed| sealed.last_revision <= compacted);
        let bytes: u64 = obsolete.map(|sealed| sealed.bytes).sum();
        // Never less than the last checkpoint's size: so checkpoints at most double what is written,
        // however large the store is.
        bytes > 0 && bytes >= self.checkpoint_every_bytes.max(self.checkpoint.lock().bytes)
    }

    /// Writes what was live at the compacted revision, then removes the segments before it.
    ///
    /// History that can still be asked for stays in the log, so nothing of it is lost by a restart.
    fn write_checkpoint(&self) -> io::Result<()> {
        let segments = &self.segments;
        let pin = {
            let index = self.index.read();
            self.pin_known(index.compacted)
        };
        let compacted = pin.revision();
        let obsolete: Vec<_> = {
            let sealed = segments.sealed.lock();
            sealed.iter().take_while(|sealed| sealed.last_revision <= compacted.0).cloned().collect()
        };
        let Some(last) = obsolete.last() else { return Ok(()) };
        let header = Header { store: segments.store, revision: compacted, log_from: last.number + 1 };
        let path = segments.directory.join(name(compacted));
        let temporary = path.with_extension("tmp");
        let closing = || self.keeper.signal.lock().closing;
        let bytes = self.write_state(&temporary, header, closing)?;
        segments.files.rename(&temporary, &path)?;
        segments.files.sync_directory(&segments.directory)?;
        drop(pin);
        let before = std::mem::replace(&mut *self.checkpoint.lock(), Checkpoint { revision: compacted, bytes });
        // From here on a failure leaves files behind that the next start removes.
        segments.sealed.lock().retain(|sealed| sealed.number > last.number);
        if before.bytes > 0 && before.revision != compacted {
            segments.files.remove(&segments.directory.join(name(before.revision)))?;
        }
        for sealed in obsolete {
            segments.files.remove(&super::segment::path(&segments.directory, sealed.number))?;
        }
        tracing::debug!(revision = %compacted, bytes, "wrote a checkpoint");
        Ok(())
    }

    /// Writes all keys as of a pinned revision, and the leases; commits go on meanwhile.
    fn write_state(&self, path: &Path, header: Header, stop: impl Fn() -> bool) -> io::Result<u64> {
        let mut writer = Writer::create(self.segments.files.as_ref(), path, header)?;
        let leases = self.leases.lock().all();
        let mut range = KeyRange::prefix(Bytes::new());
        let mut entries = Vec::new();
        loop {
            let next = self.index.read().scan(&range, header.revision, usize::MAX, PIECE, &mut entries);
            for entry in entries.drain(..) {
                writer.push(&entry)?;
            }
            // What is half written is removed by the next start.
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match next {
                Some(next) => range.start = next,
                None => return writer.finish(&leases),
            }
        }
    }

    /// Writes everything that is live now to `path`, which must not exist yet.
    pub(super) fn snapshot(&self, path: &Path) -> Result<Revision, Error> {
        let pin = self.pin(None)?;
        let header = Header { store: self.segments.store, revision: pin.revision(), log_from: 1 };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = Path::new(&temporary);
        let files = &self.segments.files;
        self.write_state(temporary, header, || false)
            .and_then(|_| files.rename(temporary, path))
            .and_then(|()| files.sync_directory(directory))
            .map_err(|source| Error::Backend {
                operation: format!("write a snapshot to {}", path.display()),
                source: std::sync::Arc::new(source),
            })?;
        Ok(header.revision)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

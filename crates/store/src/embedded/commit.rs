//! The committer: one thread that orders, writes and publishes all changes.
//!
//! It takes whatever is queued, applies it to the index where readers do not see it yet, writes it
//! as one frame, flushes once, and only then makes the new revision visible and answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use super::index::{Index, deletion};
use super::log::Log;
use super::record::{Group, Step};
use super::shared::Shared;
use crate::{Entry, Error, KeyRange, LeaseId, Operation, OperationResult, Revision, Txn, TxnResponse};

/// A group is closed once it holds this much.
const GROUP_BYTES: usize = 4 << 20;
/// Requests that may wait; further callers wait before they queue.
const QUEUE_LENGTH: usize = 8192;

/// What the committer is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    Txn {
        txn: Txn,
        reply: oneshot::Sender<Result<TxnResponse, Error>>,
    },
    Grant {
        ttl_ms: u64,
        reply: oneshot::Sender<Result<LeaseId, Error>>,
    },
    Revoke {
        id: LeaseId,
        reply: oneshot::Sender<Result<Revision, Error>>,
    },
    /// From a caller, or from the keeper, who needs no answer.
    Compact {
        revision: Revision,
        reply: Option<oneshot::Sender<Result<(), Error>>>,
    },
    /// Ends the leases that are due by now.
    Tick {
        reply: oneshot::Sender<()>,
    },
}

/// Requests on their way to the committer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
    slots: Semaphore,
}

#[derive(Debug, Default)]
struct QueueState {
    requests: VecDeque<Request>,
    closing: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), slots: Semaphore::new(QUEUE_LENGTH) }
    }
}

impl Queue {
    /// Queues what `request` makes of a reply channel and waits for the reply.
    pub(super) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Error> {
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.push(request(reply))?;
        answer.await.map_err(|_| Error::Closed)
    }

    pub(super) fn push(&self, request: Request) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(Error::Closed);
        }
        state.requests.push_back(request);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.slots.close();
        self.wake.notify_one();
    }

    /// All that is queued; waits at most `limit` for something. `None`: closed and empty.
    fn take(&self, limit: Option<Duration>, requests: &mut VecDeque<Request>) -> Option<()> {
        let mut state = self.state.lock();
        if state.requests.is_empty() && !state.closing {
            match limit {
                Some(limit) => _ = self.wake.wait_for(&mut state, limit),
                None => self.wake.wait(&mut state),
            }
        }
        if state.requests.is_empty() && state.closing {
            return None;
        }
        std::mem::swap(&mut state.requests, requests);
        Some(())
    }
}

/// An answer that waits for its group to be durable.
enum Answer {
    Txn(oneshot::Sender<Result<TxnResponse, Error>>, TxnResponse),
    Grant(oneshot::Sender<Result<LeaseId, Error>>, LeaseId),
    Revoke(oneshot::Sender<Result<Revision, Error>>, Revision),
    Compact(Option<oneshot::Sender<Result<(), Error>>>),
    Tick(oneshot::Sender<()>),
}

impl Answer {
    // A caller that went away does not want its answer; the write stands all the same.
    fn give(self) {
        match self {
            Self::Txn(reply, response) => _ = reply.send(Ok(response)),
            Self::Grant(reply, id) => _ = reply.send(Ok(id)),
            Self::Revoke(reply, revision) => _ = reply.send(Ok(revision)),
            Self::Compact(reply) => _ = reply.map(|reply| reply.send(Ok(()))),
            Self::Tick(reply) => _ = reply.send(()),
        }
    }

    fn refuse(self, error: &Error) {
        match self {
            Self::Txn(reply, _) => _ = reply.send(Err(error.clone())),
            Self::Grant(reply, _) => _ = reply.send(Err(error.clone())),
            Self::Revoke(reply, _) => _ = reply.send(Err(error.clone())),
            Self::Compact(reply) => _ = reply.map(|reply| reply.send(Err(error.clone()))),
            Self::Tick(reply) => _ = reply.send(()),
        }
    }
}

pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    /// The newest revision, including those that are not durable yet.
    revision: Revision,
    group: Group,
    answers: Vec<Answer>,
    granted: Vec<u64>,
    ended: Vec<u64>,
    compact: Option<Revision>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, log: Log) -> Self {
        let revision = shared.visible();
        shared.active_bytes.store(log.active_bytes(), Ordering::Relaxed);
        Self {
            shared,
            log,
            revision,
            group: Group::new(),
            answers: Vec::new(),
            granted: Vec::new(),
            ended: Vec::new(),
            compact: None,
        }
    }

    /// Serves requests until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut requests = VecDeque::new();
        loop {
            let wait = self.until_next_lease();
            if self.shared.queue.take(wait, &mut requests).is_none() {
                return;
            }
            self.end_due_leases();
            loop {
                while self.group.len() < GROUP_BYTES
                    && let Some(request) = requests.pop_front()
                {
                    self.apply(request);
                }
                self.commit();
                if requests.is_empty() {
                    break;
                }
            }
        }
    }

    /// `None` while no lease can end: then only a request wakes this thread.
    fn until_next_lease(&self) -> Option<Duration> {
        if self.shared.read_only().is_some() {
            return None;
        }
        let due = self.shared.leases.lock().next_due_ms()?;
        // One more, so that the clock has really reached the deadline.
        Some(Duration::from_millis(due.saturating_sub(self.shared.now_ms()) + 1))
    }

    fn end_due_leases(&mut self) {
        if self.shared.read_only().is_some() {
            return;
        }
        let due = self.shared.leases.lock().take_due(self.shared.now_ms());
        for id in due {
            self.end_lease(id);
        }
    }

    fn apply(&mut self, request: Request) {
        if let Some(reason) = self.shared.read_only() {
            return self.apply_read_only(request, reason);
        }
        match request {
            Request::Txn { txn, reply } => match self.txn(txn) {
                Ok(response) => self.answers.push(Answer::Txn(reply, response)),
                Err(error) => _ = reply.send(Err(error)),
            },
            Request::Grant { ttl_ms, reply } => {
                let mut leases = self.shared.leases.lock();
                // Positive in every dialect's integer type.
                let fresh = || rand::random_range(1..i64::MAX.cast_unsigned());
                let mut id = fresh();
                while leases.contains(id) {
                    id = fresh();
                }
                leases.grant(id, ttl_ms, self.shared.now_ms());
                drop(leases);
                self.granted.push(id);
                self.log_step(&Step::LeaseGranted { id, ttl_ms });
                self.answers.push(Answer::Grant(reply, LeaseId(id)));
            }
            Request::Revoke { id, reply } => match self.end_lease(id.0) {
                Some(revision) => self.answers.push(Answer::Revoke(reply, revision)),
                None => _ = reply.send(Err(Error::LeaseNotFound(id))),
            },
            Request::Compact { revision, reply } => {
                let compacted = self.compact.unwrap_or_else(|| self.shared.index.read().compacted);
                if revision > self.revision {
                    let error = Error::FutureRevision { requested: revision, current: self.revision };
                    _ = reply.map(|reply| reply.send(Err(error)));
                    return;
                }
                if revision > compacted {
                    self.compact = Some(revision);
                    self.log_step(&Step::Compacted { revision: revision.0 });
                }
                self.answers.push(Answer::Compact(reply));
            }
            Request::Tick { reply } => self.answers.push(Answer::Tick(reply)),
        }
    }

    /// Writes are refused, but a transaction that only reads still gets its answer.
    fn apply_read_only(&mut self, request: Request, reason: Arc<str>) {
        let error = Error::ReadOnly { reason };
        match request {
            Request::Txn { txn, reply } => {
                let index = self.shared.index.read();
                let succeeded = txn.compare.iter().all(|compare| index.holds(compare));
                let steps = if succeeded { txn.success } else { txn.failure };
                let read = |step| match step {
                    Operation::Range { range } => Ok(OperationResult::Range { entries: index.newest_in(&range) }),
                    _ => Err(error.clone()),
                };
                let results = steps.into_iter().map(read).collect::<Result<_, _>>();
                let revision = self.revision;
                _ = reply.send(results.map(|results| TxnResponse { succeeded, revision, results }));
            }
            Request::Grant { reply, .. } => _ = reply.send(Err(error)),
            Request::Revoke { reply, .. } => _ = reply.send(Err(error)),
            Request::Compact { reply, .. } => _ = reply.map(|reply| reply.send(Err(error))),
            Request::Tick { reply } => _ = reply.send(()),
        }
    }

    fn log_step(&mut self, step: &Step<'_>) {
        self.group.begin();
        self.group.push(step);
        self.group.finish(self.revision.0);
    }

    fn txn(&mut self, txn: Txn) -> Result<TxnResponse, Error> {
        let shared = Arc::clone(&self.shared);
        let mut index = shared.index.write();
        let succeeded = txn.compare.iter().all(|compare| index.holds(compare));
        let steps = if succeeded { txn.success } else { txn.failure };
        for step in &steps {
            if let Operation::Put { lease: Some(id), .. } = step
                && shared.leases.lock().get(*id).is_none()
            {
                return Err(Error::LeaseNotFound(*id));
            }
        }
        self.group.begin();
        let next = Revision(self.revision.0 + 1);
        let mut changed = false;
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            results.push(match step {
                Operation::Put { key, value, lease } => {
                    changed = true;
                    OperationResult::Put { previous: self.put(&mut index, next, key, value, lease) }
                }
                Operation::Delete { range } => {
                    let previous = self.delete(&mut index, next, &range);
                    changed |= !previous.is_empty();
                    OperationResult::Delete { previous }
                }
                Operation::Range { range } => OperationResult::Range { entries: index.newest_in(&range) },
            });
        }
        if changed {
            self.revision = next;
        }
        self.group.finish(self.revision.0);
        Ok(TxnResponse { succeeded, revision: self.revision, results })
    }

    fn put(
        &mut self,
        index: &mut Index,
        revision: Revision,
        key: Bytes,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Option<Arc<Entry>> {
        let previous = index.newest(&key).cloned();
        self.group.push(&Step::Put { key: &key, value: &value, lease: lease.map_or(0, |id| id.0) });
        self.track(&key, previous.as_ref().and_then(|entry| entry.lease), lease);
        index.apply(version(key, value, lease, revision, previous.as_deref()));
        previous
    }

    fn delete(&mut self, index: &mut Index, revision: Revision, range: &KeyRange) -> Vec<Arc<Entry>> {
        let previous = index.newest_in(range);
        for entry in &previous {
            self.group.push(&Step::Delete { key: &entry.key });
            self.track(&entry.key, entry.lease, None);
            index.apply(deletion(entry.key.clone(), revision));
        }
        previous
    }

    fn track(&self, key: &[u8], before: Option<LeaseId>, after: Option<LeaseId>) {
        if before != after {
            self.shared.leases.lock().track(key, before, after);
        }
    }

    /// Deletes a lease's keys and the lease, in one record. `None`: no such lease.
    fn end_lease(&mut self, id: u64) -> Option<Revision> {
        let shared = Arc::clone(&self.shared);
        let mut index = shared.index.write();
        let keys = shared.leases.lock().start_end(id)?;
        self.ended.push(id);
        self.group.begin();
        let next = Revision(self.revision.0 + 1);
        let mut changed = false;
        for key in keys {
            changed |= !self.delete(&mut index, next, &KeyRange::key(key)).is_empty();
        }
        if changed {
            self.revision = next;
        }
        self.group.push(&Step::LeaseEnded { id });
        self.group.finish(self.revision.0);
        Some(self.revision)
    }

    /// Makes the group durable, then visible, then answers.
    fn commit(&mut self) {
        if !self.group.is_empty()
            && let Err(error) = self.log.append(&mut self.group, self.revision.0)
        {
            self.fail(&error);
        } else {
            self.publish();
        }
        self.group.clear();
        self.granted.clear();
        self.ended.clear();
    }

    fn publish(&mut self) {
        let shared = &self.shared;
        let advanced = self.revision > shared.visible();
        shared.set_visible(self.revision);
        if !self.ended.is_empty() {
            let mut leases = shared.leases.lock();
            self.ended.iter().for_each(|&id| leases.remove(id));
        }
        let mut work = false;
        if let Some(revision) = self.compact.take() {
            shared.index.write().compacted = revision;
            work = true;
        }
        self.answers.drain(..).for_each(Answer::give);
        if !advanced && !work {
            return;
        }
        shared.watches.published(self.revision);
        shared.active_bytes.store(self.log.active_bytes(), Ordering::Relaxed);
        let spare = self.log.wants_spare().filter(|_| shared.segments.spare.try_lock().is_some_and(|it| it.is_none()));
        work |= shared.wants_compaction(self.revision);
        if work || spare.is_some() {
            shared.keeper.notify(|signal| {
                signal.work |= work;
                signal.spare = spare.or(signal.spare);
            });
        }
    }

    /// Stops all writing: takes back what was not acknowledged and says why.
    fn fail(&mut self, cause: &std::io::Error) {
        let shared = &self.shared;
        let directory = shared.segments.directory.display();
        let error = shared.refuse_writes(&format!(
            "writing the log in {directory} failed ({cause}); the writes in flight are not visible, but may appear \
             after a restart. Check the disk and its free space, then restart this server"
        ));
        tracing::error!(directory = %directory, error = %cause, "the store refuses writes from now on");
        let mut index = shared.index.write();
        let mut leases = shared.leases.lock();
        self.revision = shared.visible();
        index.roll_back(self.revision);
        self.granted.iter().for_each(|&id| leases.remove(id));
        self.ended.iter().for_each(|&id| leases.cancel_end(id));
        leases.rebuild(&index.newest_in(&KeyRange::prefix(Bytes::new())));
        drop((leases, index));
        self.compact = None;
        let durable = self.revision;
        self.answers.drain(..).for_each(|answer| match answer {
            // Neither wrote anything nor read what is now taken back.
            Answer::Txn(_, ref response) if response.revision <= durable => answer.give(),
            _ => answer.refuse(&error),
        });
    }
}

impl Drop for Committer {
    /// Also when this thread panics: nobody must wait for an answer that will not come.
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.queue.state.lock().requests.clear();
    }
}

/// The version that a put makes.
pub(super) fn version(
    key: Bytes,
    value: Bytes,
    lease: Option<LeaseId>,
    revision: Revision,
    previous: Option<&Entry>,
) -> Arc<Entry> {
    Arc::new(Entry {
        key,
        value,
        create_revision: previous.map_or(revision, |entry| entry.create_revision),
        mod_revision: revision,
        version: previous.map_or(1, |entry| entry.version + 1),
        lease,
    })
}

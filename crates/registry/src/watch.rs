//! Changes as server-sent events (HTML Living Standard, section 9.2).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use portolan_catalog::{Instance, Snapshot};
use serde_json::json;
use tokio::sync::watch;

use crate::filter::Filter;
use crate::view;

/// What happened to an instance between two snapshots.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Added(Arc<Instance>),
    Modified(Arc<Instance>),
    Deleted(Arc<Instance>),
}

/// The changes from one snapshot to the next that a client wants to see; the cost follows the
/// number of changed services.
pub(crate) fn changes(older: &Snapshot, newer: &Snapshot, filter: &Filter) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in newer.changed_instances(older) {
        let list = |snapshot: &Snapshot| -> Vec<Arc<Instance>> {
            let list = snapshot.instances_of(&key.namespace, &key.name);
            list.into_iter().flat_map(|list| list.iter()).filter(|instance| filter.wants(instance)).cloned().collect()
        };
        let (before, after) = (list(older), list(newer));
        let find = |list: &[Arc<Instance>], wanted: &Instance| {
            list.iter().find(|instance| instance.id == wanted.id && instance.address == wanted.address).cloned()
        };
        for instance in &before {
            if find(&after, instance).is_none() {
                changes.push(Change::Deleted(instance.clone()));
            }
        }
        for instance in &after {
            match find(&before, instance) {
                None => changes.push(Change::Added(instance.clone())),
                Some(same) if same == *instance => {}
                Some(_) => changes.push(Change::Modified(instance.clone())),
            }
        }
    }
    changes
}

fn event(change: &Change, index: u64) -> Bytes {
    let (kind, instance) = match change {
        Change::Added(instance) => ("ADDED", instance),
        Change::Modified(instance) => ("MODIFIED", instance),
        Change::Deleted(instance) => ("DELETED", instance),
    };
    let data = json!({"type": kind, "index": index, "instance": view::instance(instance)});
    Bytes::from(format!("id: {index}\ndata: {data}\n\n"))
}

/// The events of one watcher: first everything that is there, then each change.
///
/// A watcher that reads slowly skips intermediate snapshots, never changes: each step compares the
/// newest snapshot with the last one it has seen.
pub(crate) fn events(
    snapshots: watch::Receiver<Arc<Snapshot>>,
    filter: Filter,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    struct Watcher {
        snapshots: watch::Receiver<Arc<Snapshot>>,
        filter: Filter,
        seen: Option<Arc<Snapshot>>,
        pending: VecDeque<Bytes>,
    }
    let watcher = Watcher { snapshots, filter, seen: None, pending: VecDeque::new() };
    futures::stream::unfold(watcher, |mut watcher| async move {
        loop {
            if let Some(next) = watcher.pending.pop_front() {
                return Some((Ok(next), watcher));
            }
            if watcher.seen.is_some() {
                watcher.snapshots.changed().await.ok()?;
            }
            let newest = watcher.snapshots.borrow_and_update().clone();
            let changes = match &watcher.seen {
                None => watcher.filter.select(&newest).into_iter().map(Change::Added).collect(),
                Some(seen) => changes(seen, &newest, &watcher.filter),
            };
            watcher.pending.extend(changes.iter().map(|change| event(change, newest.index())));
            watcher.seen = Some(newest);
        }
    })
}

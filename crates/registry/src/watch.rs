//! Changes as server-sent events (HTML Living Standard, section 9.2).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
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

impl Change {
    fn parts(&self) -> (&'static str, &Arc<Instance>) {
        match self {
            Self::Added(instance) => ("ADDED", instance),
            Self::Modified(instance) => ("MODIFIED", instance),
            Self::Deleted(instance) => ("DELETED", instance),
        }
    }
}

/// As many events of one snapshot are kept; what changes more at once is encoded for each watcher.
const MOST_EVENTS: usize = 1024;

/// The events of the newest snapshot that somebody was told of, encoded once for all who watch.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Encoded>);

#[derive(Debug, Default)]
struct Encoded {
    index: u64,
    /// By kind and address in memory, which is the instance's as long as it is kept here.
    events: HashMap<(&'static str, usize), (Arc<Instance>, Bytes)>,
}

impl Events {
    fn of(&self, change: &Change, index: u64) -> Bytes {
        let (kind, instance) = change.parts();
        let mut encoded = self.0.lock();
        if encoded.index < index {
            *encoded = Encoded { index, events: HashMap::new() };
        }
        let place = (kind, Arc::as_ptr(instance) as usize);
        match encoded.events.get(&place) {
            Some((_, bytes)) if encoded.index == index => bytes.clone(),
            _ if encoded.index > index || encoded.events.len() >= MOST_EVENTS => event(change, index),
            _ => {
                // Those who were woken with this one wait for the bytes rather than make them too.
                let bytes = event(change, index);
                encoded.events.insert(place, (instance.clone(), bytes.clone()));
                bytes
            }
        }
    }
}

fn event(change: &Change, index: u64) -> Bytes {
    let (kind, instance) = change.parts();
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
    encoded: Arc<Events>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    struct Watcher {
        snapshots: watch::Receiver<Arc<Snapshot>>,
        filter: Filter,
        encoded: Arc<Events>,
        seen: Option<Arc<Snapshot>>,
        pending: VecDeque<Bytes>,
    }
    let watcher = Watcher { snapshots, filter, encoded, seen: None, pending: VecDeque::new() };
    futures::stream::unfold(watcher, |mut watcher| async move {
        loop {
            if let Some(next) = watcher.pending.pop_front() {
                return Some((Ok(next), watcher));
            }
            if watcher.seen.is_some() {
                watcher.snapshots.changed().await.ok()?;
            }
            let newest = watcher.snapshots.borrow_and_update().clone();
            let index = newest.index();
            match &watcher.seen {
                // What is there already is told to each when it comes.
                None => {
                    let there = watcher.filter.select(&newest).into_iter().map(Change::Added);
                    watcher.pending.extend(there.map(|change| event(&change, index)));
                }
                Some(seen) => {
                    let changes = changes(seen, &newest, &watcher.filter);
                    watcher.pending.extend(changes.iter().map(|change| watcher.encoded.of(change, index)));
                }
            }
            watcher.seen = Some(newest);
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use portolan_api::typed::{Object as _, ServiceInstance};
    use portolan_catalog::{Catalog, Input};

    use super::*;

    fn put(catalog: &mut Catalog, service: &str, port: u16) -> Arc<Snapshot> {
        let object = json!({
            "metadata": {"namespace": "default", "name": service},
            "spec": {"service": service, "address": "192.0.2.1", "ports": [{"port": port}]},
        });
        let object = ServiceInstance::decode(object.to_string().as_bytes()).expect("an instance");
        catalog.put(Input::Registration(Arc::new(object)));
        catalog.snapshot()
    }

    #[tokio::test]
    async fn a_change_is_encoded_once_for_all_who_watch() {
        let (mut catalog, encoded) = (Catalog::new(), Arc::new(Events::default()));
        let (sender, snapshots) = watch::channel(put(&mut catalog, "web", 1));
        let watcher = || Box::pin(events(snapshots.clone(), Filter::default(), encoded.clone()));
        let mut watchers = [watcher(), watcher(), watcher()];
        for port in 2..5 {
            for watcher in &mut watchers[..2] {
                let _seen = watcher.next().await;
            }
            sender.send_replace(put(&mut catalog, "web", port));
            let [first, second, _] = &mut watchers;
            let (first, second) = (first.next().await, second.next().await);
            let (Some(Ok(first)), Some(Ok(second))) = (first, second) else { panic!("streams do not end") };
            let text = String::from_utf8(first.to_vec()).expect("text");
            assert!(text.contains("MODIFIED") && text.contains(&format!("\"port\":{port}")), "{text}");
            assert_eq!(first.as_ptr(), second.as_ptr());
            // So that the next round begins with something to read.
            sender.send_replace(put(&mut catalog, "other", port));
        }
        // One that comes late, or reads slowly, is told all the same.
        let there = watchers[2].next().await.expect("no end").expect("no failure");
        assert!(String::from_utf8(there.to_vec()).expect("text").contains("ADDED"));
    }
}

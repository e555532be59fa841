//! Changes as server-sent events (HTML Living Standard, section 9.2).

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use portolan_catalog::{Instance, Snapshot};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

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

/// Sent when nothing else was for so long, so that neither side, nor what is between them, takes the other for gone.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
pub(crate) const COMMENT: &[u8] = b": still here\n\n";

/// As many events of one snapshot are kept; what changes more at once is encoded for each watcher.
const MOST_EVENTS: usize = 1024;
/// For so long one that left can come back and be told only what it missed.
const REMEMBERED: Duration = Duration::from_secs(60);
/// As many that left are remembered.
const MOST_REMEMBERED: usize = 256;

/// The events of the newest snapshot that somebody was told of, encoded once for all who watch; and how far those
/// had come who left a moment ago.
#[derive(Debug)]
pub(crate) struct Events {
    encoded: Mutex<Encoded>,
    left: Mutex<VecDeque<Left>>,
    /// Tells the ids of this process from those of others: a snapshot's index is its own.
    process: u64,
}

#[derive(Debug, Default)]
struct Encoded {
    index: u64,
    /// By kind, address in memory (which is the instance's as long as it is kept here), and whether it bears an id.
    events: HashMap<(&'static str, usize, bool), (Arc<Instance>, Bytes)>,
}

/// One that left, or several that asked for the same and had come equally far.
#[derive(Debug)]
struct Left {
    id: u64,
    query: String,
    /// What they had seen; whatever changed between the id and this, they did not want to see.
    seen: Arc<Snapshot>,
    at: Instant,
}

impl Default for Events {
    fn default() -> Self {
        Self { encoded: Mutex::default(), left: Mutex::default(), process: RandomState::new().hash_one(0) }
    }
}

impl Events {
    fn of(&self, change: &Change, index: u64, is_last: bool) -> Bytes {
        let (kind, instance) = change.parts();
        let mut encoded = self.encoded.lock();
        if encoded.index < index {
            *encoded = Encoded { index, events: HashMap::new() };
        }
        let place = (kind, Arc::as_ptr(instance) as usize, is_last);
        match encoded.events.get(&place) {
            Some((_, bytes)) if encoded.index == index => bytes.clone(),
            _ if encoded.index > index || encoded.events.len() >= MOST_EVENTS => self.event(change, index, is_last),
            _ => {
                // Those who were woken with this one wait for the bytes rather than make them too.
                let bytes = self.event(change, index, is_last);
                encoded.events.insert(place, (instance.clone(), bytes.clone()));
                bytes
            }
        }
    }

    /// Only the last event of a snapshot bears an id: who comes back with it has seen all of the snapshot.
    fn event(&self, change: &Change, index: u64, is_last: bool) -> Bytes {
        let (kind, instance) = change.parts();
        let data = json!({"type": kind, "index": index, "instance": view::instance(instance)});
        let id = if is_last { self.id(index) } else { String::new() };
        Bytes::from(format!("{id}data: {data}\n\n"))
    }

    fn id(&self, index: u64) -> String {
        format!("id: {index}-{:016x}\n", self.process)
    }

    /// What the client that comes back with this id had seen.
    fn seen_by(&self, id: &str, query: &str) -> Option<Arc<Snapshot>> {
        let (index, process) = id.split_once('-')?;
        let index: u64 = index.parse().ok().filter(|_| u64::from_str_radix(process, 16) == Ok(self.process))?;
        let mut left = self.left.lock();
        forget_old(&mut left);
        left.iter().find(|left| left.id == index && left.query == query).map(|left| left.seen.clone())
    }

    fn remember(&self, id: u64, query: &str, seen: Arc<Snapshot>) {
        let mut left = self.left.lock();
        left.retain(|left| !(left.id == id && left.query == query));
        left.push_back(Left { id, query: query.to_owned(), seen, at: Instant::now() });
        forget_old(&mut left);
    }

    /// The events of one watcher: everything that is there or, for one that comes back with the id of the last event
    /// it read, what it missed; then `SYNCED`; then each change. If what it missed cannot be told any more, `RESET`
    /// comes before everything that is there.
    ///
    /// A watcher that reads slowly skips intermediate snapshots, never changes: each step compares the
    /// newest snapshot with the last one it has seen.
    pub(crate) fn watch(
        self: Arc<Self>,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        filter: Filter,
        query: &str,
        last: Option<&str>,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let seen = last.and_then(|last| self.seen_by(last, query));
        let newest = snapshots.borrow_and_update().clone();
        let index = newest.index();
        let mut pending = VecDeque::new();
        match (&seen, last) {
            (Some(seen), _) => {
                pending.extend(changes(seen, &newest, &filter).iter().map(|change| self.event(change, index, false)));
            }
            (None, last) => {
                if last.is_some() {
                    let reason =
                        "what happened since the last event cannot be told any more: forget all, the list follows";
                    let reset = json!({"type": "RESET", "index": index, "reason": reason});
                    pending.push_back(Bytes::from(format!("data: {reset}\n\n")));
                }
                let there = filter.select(&newest).into_iter().map(Change::Added);
                pending.extend(there.map(|change| self.event(&change, index, false)));
            }
        }
        let synced = json!({"type": "SYNCED", "index": index});
        pending.push_back(Bytes::from(format!("{}data: {synced}\n\n", self.id(index))));
        let watcher =
            Watcher { events: self, snapshots, filter, query: query.to_owned(), seen: newest, told: None, pending };
        futures::stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await?;
            Some((Ok(event), watcher))
        })
    }
}

fn forget_old(left: &mut VecDeque<Left>) {
    while left.front().is_some_and(|oldest| oldest.at.elapsed() > REMEMBERED) || left.len() > MOST_REMEMBERED {
        left.pop_front();
    }
}

/// One who watches.
struct Watcher {
    events: Arc<Events>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    filter: Filter,
    query: String,
    seen: Arc<Snapshot>,
    /// The last id that was sent, and a snapshot that is to this watcher as that of the id.
    told: Option<(u64, Arc<Snapshot>)>,
    pending: VecDeque<Bytes>,
}

impl Watcher {
    /// The next thing to send; `None` once nothing can change any more.
    async fn next(&mut self) -> Option<Bytes> {
        let until = Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(next) = self.pending.pop_front() {
                if self.pending.is_empty() {
                    self.told = Some((self.seen.index(), self.seen.clone()));
                }
                return Some(next);
            }
            match tokio::time::timeout_at(until, self.snapshots.changed()).await {
                Err(_) => return Some(Bytes::from_static(COMMENT)),
                Ok(changed) => changed.ok()?,
            }
            let newest = self.snapshots.borrow_and_update().clone();
            let changes = changes(&self.seen, &newest, &self.filter);
            let last = changes.len().saturating_sub(1);
            let index = newest.index();
            self.pending.extend(
                changes.iter().enumerate().map(|(number, change)| self.events.of(change, index, number == last)),
            );
            if let (true, Some((_, seen))) = (changes.is_empty(), &mut self.told) {
                *seen = newest.clone();
            }
            self.seen = newest;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some((id, seen)) = self.told.take() {
            self.events.remember(id, &self.query, seen);
        }
    }
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
        let watcher = || Box::pin(encoded.clone().watch(snapshots.clone(), Filter::default(), "", None));
        let mut watchers = [watcher(), watcher(), watcher()];
        for watcher in &mut watchers[..2] {
            assert_eq!(read(watcher, 2).await, ["ADDED web:1", "SYNCED"]);
        }
        for port in 2..5 {
            sender.send_replace(put(&mut catalog, "web", port));
            let [first, second, _] = &mut watchers;
            let (first, second) = (first.next().await, second.next().await);
            let (Some(Ok(first)), Some(Ok(second))) = (first, second) else { panic!("streams do not end") };
            let text = String::from_utf8(first.to_vec()).expect("text");
            assert!(text.contains("MODIFIED") && text.contains(&format!("\"port\":{port}")), "{text}");
            assert_eq!(first.as_ptr(), second.as_ptr());
        }
        // One that comes late, or reads slowly, is told all the same.
        assert_eq!(read(&mut watchers[2], 3).await, ["ADDED web:1", "SYNCED", "MODIFIED web:4"]);
    }

    /// What the next events say, in short.
    async fn read(stream: &mut (impl Stream<Item = Result<Bytes, Infallible>> + Unpin), count: usize) -> Vec<String> {
        let mut said = Vec::new();
        while said.len() < count {
            let Some(Ok(bytes)) = stream.next().await else { panic!("streams do not end") };
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) else {
                said.push(text.trim().to_owned());
                continue;
            };
            let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
            let kind = event["type"].as_str().expect("a type");
            let instance = &event["instance"];
            said.push(match instance["service"].as_str() {
                Some(service) => format!("{kind} {service}:{}", instance["port"]),
                None => kind.to_owned(),
            });
        }
        said
    }

    /// The id of the last event that bears one.
    async fn read_id(stream: &mut (impl Stream<Item = Result<Bytes, Infallible>> + Unpin)) -> String {
        loop {
            let Some(Ok(bytes)) = stream.next().await else { panic!("streams do not end") };
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            if let Some(id) = text.lines().find_map(|line| line.strip_prefix("id: ")) {
                return id.to_owned();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_is_told_what_it_missed_or_to_forget_all() {
        let (mut catalog, encoded) = (Catalog::new(), Arc::new(Events::default()));
        put(&mut catalog, "db", 1);
        let (sender, snapshots) = watch::channel(put(&mut catalog, "web", 1));
        let watch = |query: &str, last: Option<&str>| {
            Box::pin(encoded.clone().watch(snapshots.clone(), Filter::default(), query, last))
        };
        let mut first = watch("", None);
        let id = read_id(&mut first).await;
        drop(first);
        catalog.remove(portolan_catalog::Kind::Registration, &portolan_catalog::Key::new("default", "db"));
        sender.send_replace(catalog.snapshot());
        sender.send_replace(put(&mut catalog, "web", 2));
        // What was deleted meanwhile is told as such.
        let mut again = watch("", Some(&id));
        let mut missed = read(&mut again, 3).await;
        missed[..2].sort();
        assert_eq!(missed, ["DELETED db:1", "MODIFIED web:2", "SYNCED"]);
        // Of another question, another process or another time nothing can be told.
        let other = Arc::new(Events::default());
        let mut strange = [
            watch("zone=a", Some(&id)),
            watch("", Some("7")),
            Box::pin(other.watch(snapshots.clone(), Filter::default(), "", Some(&id))),
        ];
        for stream in &mut strange[..2] {
            assert_eq!(read(stream, 3).await, ["RESET", "ADDED web:2", "SYNCED"]);
        }
        assert_eq!(read(&mut strange[2], 3).await, ["RESET", "ADDED web:2", "SYNCED"]);
        tokio::time::sleep(REMEMBERED * 2).await;
        assert_eq!(read(&mut watch("", Some(&id)), 3).await, ["RESET", "ADDED web:2", "SYNCED"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_missed_a_part_of_a_change_is_told_all_of_it() {
        let (mut catalog, encoded) = (Catalog::new(), Arc::new(Events::default()));
        let (sender, snapshots) = watch::channel(put(&mut catalog, "web", 1));
        let watch =
            |last: Option<&str>| Box::pin(encoded.clone().watch(snapshots.clone(), Filter::default(), "", last));
        let mut stream = watch(None);
        let id = read_id(&mut stream).await;
        put(&mut catalog, "a", 1);
        put(&mut catalog, "b", 1);
        sender.send_replace(catalog.snapshot());
        assert_eq!(read(&mut stream, 1).await.len(), 1);
        drop(stream);
        let mut missed = read(&mut watch(Some(&id)), 3).await;
        missed.sort();
        assert_eq!(missed, ["ADDED a:1", "ADDED b:1", "SYNCED"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_is_there() {
        let (mut catalog, encoded) = (Catalog::new(), Arc::new(Events::default()));
        let (_sender, snapshots) = watch::channel(put(&mut catalog, "web", 1));
        let mut stream = Box::pin(encoded.watch(snapshots, Filter::default(), "", None));
        read(&mut stream, 2).await;
        let before = Instant::now();
        assert_eq!(read(&mut stream, 1).await, [": still here"]);
        assert_eq!(before.elapsed(), KEEP_ALIVE);
    }
}

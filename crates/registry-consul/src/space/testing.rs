//! A store in memory without threads, so that tests can stop the clock; and a state around it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use portolan_api::typed::ServiceInstance;
use portolan_base::{Clock, Shutdown, SystemClock, Timestamp};
use portolan_catalog::Catalog;
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use portolan_registrar::access::Caller;
use portolan_registrar::http::Request;
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use portolan_store::{
    Compare, Entry, Error, Event, EventKind, KeyRange, LeaseId, LeaseStatus, Operation, OperationResult, RangeRequest,
    RangeResponse, Revision, Status, Store, Txn, TxnResponse, Watch, WatchItem, WatchRequest,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Space;
use crate::acl::{Acl, AclConfig};
use crate::state::{Identity, State};

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Bytes, Arc<Entry>>,
    revision: u64,
    watches: Vec<(KeyRange, mpsc::Sender<WatchItem>)>,
    lost: usize,
}

/// A store in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(Mutex<Inner>);

impl MemoryStore {
    /// Lets somebody else be faster with so many of the next transactions that depend on something.
    pub(crate) fn lose(&self, transactions: usize) {
        self.0.lock().lost = transactions;
    }
}

impl Inner {
    fn range(&self, range: &KeyRange) -> Vec<Arc<Entry>> {
        let from = self.entries.range(range.start.clone()..);
        from.take_while(|(key, _)| range.contains(key)).map(|(_, entry)| entry.clone()).collect()
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision { key, equals } => {
                self.entries.get(key).map_or(Revision(0), |entry| entry.mod_revision) == *equals
            }
            Compare::Exists { key } => self.entries.contains_key(key),
            Compare::Value { key, equals } => self.entries.get(key).is_some_and(|entry| entry.value == *equals),
        }
    }

    fn apply(&mut self, operation: &Operation, at: Revision, events: &mut Vec<Arc<Event>>) -> OperationResult {
        let mut happened = |kind, entry: Entry, previous| {
            let entry = Arc::new(entry);
            events.push(Arc::new(Event { kind, entry: entry.clone(), previous, encoded: Default::default() }));
            entry
        };
        match operation {
            Operation::Put { key, value, lease } => {
                let previous = self.entries.get(key).cloned();
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    create_revision: previous.as_ref().map_or(at, |entry| entry.create_revision),
                    mod_revision: at,
                    version: previous.as_ref().map_or(0, |entry| entry.version) + 1,
                    lease: *lease,
                };
                let entry = happened(EventKind::Put, entry, previous.clone());
                self.entries.insert(key.clone(), entry);
                OperationResult::Put { previous }
            }
            Operation::Delete { range } => {
                let previous = self.range(range);
                for entry in &previous {
                    let gone = Entry { value: Bytes::new(), mod_revision: at, ..(**entry).clone() };
                    happened(EventKind::Delete, gone, Some(entry.clone()));
                    self.entries.remove(&entry.key);
                }
                OperationResult::Delete { previous }
            }
            Operation::Range { range } => OperationResult::Range { entries: self.range(range) },
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let inner = self.0.lock();
        let revision = Revision(inner.revision);
        // History is not kept: a reader of an older state is told so.
        if let Some(requested) = request.revision.filter(|requested| *requested != revision) {
            return Err(Error::Compacted { requested, compacted: revision });
        }
        Ok(RangeResponse { entries: inner.range(&request.range), revision, remaining: 0 })
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, Error> {
        let mut inner = self.0.lock();
        let is_lost = inner.lost > 0 && !txn.compare.is_empty();
        inner.lost -= usize::from(is_lost);
        let succeeded = !is_lost && txn.compare.iter().all(|compare| inner.holds(compare));
        let (at, mut events) = (Revision(inner.revision + 1), Vec::new());
        let operations = if succeeded { &txn.success } else { &txn.failure };
        let results = operations.iter().map(|operation| inner.apply(operation, at, &mut events)).collect();
        if !events.is_empty() {
            inner.revision = at.0;
            for (range, sender) in &inner.watches {
                let wanted: Vec<_> = events.iter().filter(|event| range.contains(&event.entry.key)).cloned().collect();
                if !wanted.is_empty() {
                    // A watcher that is gone does not count.
                    let _ = sender.try_send(WatchItem::Events(wanted));
                }
            }
        }
        Ok(TxnResponse { succeeded, revision: Revision(inner.revision), results })
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        let (sender, receiver) = mpsc::channel(request.buffer);
        let mut inner = self.0.lock();
        inner.watches.push((request.range, sender));
        Ok(Watch::new(receiver, Revision(inner.revision)))
    }

    async fn grant_lease(&self, _: Duration) -> Result<LeaseId, Error> {
        Err(Error::Closed)
    }

    async fn renew_lease(&self, id: LeaseId) -> Result<Duration, Error> {
        Err(Error::LeaseNotFound(id))
    }

    async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error> {
        Err(Error::LeaseNotFound(id))
    }

    async fn lease(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        Err(Error::LeaseNotFound(id))
    }

    async fn compact(&self, _: Revision) -> Result<(), Error> {
        Ok(())
    }

    async fn snapshot(&self, _: &Path) -> Result<Revision, Error> {
        Err(Error::Closed)
    }

    async fn status(&self) -> Status {
        Status { revision: Revision(self.0.lock().revision), ..Status::default() }
    }
}

/// A clock that goes with tokio's.
#[derive(Debug)]
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.0.elapsed()
    }
}

/// A state over an empty catalog, with its followers running.
pub(crate) async fn state(acl: AclConfig) -> Arc<State> {
    state_over(Arc::default(), acl).await
}

/// The same over a store that the test knows.
pub(crate) async fn state_over(store: Arc<MemoryStore>, acl: AclConfig) -> Arc<State> {
    let api = FakeServer::new(Arc::new(SystemClock));
    let informers = Informers::new(api.client());
    let instances = informers.informer::<ServiceInstance>();
    let registrar = Arc::new(Registrar::new(api.client(), instances));
    let (sender, snapshots) = tokio::sync::watch::channel(Catalog::default().snapshot());
    let identity = Identity {
        node: "agent".into(),
        datacenter: "dc1".into(),
        version: "1.22.0".into(),
        addresses: vec![(Ipv4Addr::LOCALHOST, 8500).into()],
    };
    let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
    let kept = (Space::new(store, clock.clone()), Acl::new(acl, "dc1".into()));
    let shutdown = Shutdown::default();
    let (changes, limiter) = (Changes::new(snapshots), Arc::new(Limiter::new(Limits::OFF)));
    let state = State::new(registrar, changes, api.client(), kept, clock, identity, limiter, shutdown);
    state.acl.prepare(&state.space).await.expect("memory does not fail");
    let state = Arc::new(state);
    let following = state.clone();
    tokio::spawn(async move {
        // The sender must live as long as the catalog is read.
        let _sender = sender;
        tokio::join!(following.space.run(following.shutdown.clone()), following.sessions.run(&following));
    });
    settle().await;
    state
}

/// Lets everything run that can.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text))
    }

    pub(crate) fn index(&self) -> u64 {
        let header = self.headers.get("x-consul-index").and_then(|value| value.to_str().ok());
        header.and_then(|text| text.parse().ok()).expect("an index")
    }
}

/// Asks as a client does.
pub(crate) async fn ask(state: &Arc<State>, method: &str, target: &str, token: &str, body: impl Into<Bytes>) -> Answer {
    use http_body_util::BodyExt as _;
    use portolan_registrar::http::Handler as _;
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        headers.insert("x-consul-token", token.parse().expect("a token is a header"));
    }
    let request = Request {
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        uri: target.parse().expect("a target"),
        headers,
        body: body.into(),
        peer: Ipv4Addr::LOCALHOST.into(),
        caller: Caller::Trusted,
    };
    let response = crate::route::Consul::new(state.clone()).answer(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("bodies here do not fail").to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8_lossy(&body).into_owned() }
}

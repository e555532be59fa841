//! The store against a simple model: every revision as a whole map.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{AutoCompaction, Embedded, Options, SimulatedFiles};
use crate::{
    Compare, Error, EventKind, KeyRange, Operation, OperationResult, RangeRequest, Revision, Store, Txn, Watch,
    WatchItem, WatchRequest,
};

#[derive(Debug, Clone)]
enum Step {
    Txn {
        compare: Vec<(u8, u8)>,
        success: Vec<Change>,
        failure: Vec<Change>,
    },
    /// Where the revision stands between the compacted and the newest one, or beyond.
    Range {
        range: (u8, u8),
        back: u64,
        limit: usize,
    },
    Compact {
        back: u64,
    },
    Watch {
        range: (u8, u8),
        back: u64,
    },
    Reopen,
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8, u8),
    Delete(u8, u8),
    Range(u8, u8),
}

/// Keys of different lengths that are prefixes of each other.
fn key(number: u8) -> Bytes {
    Bytes::from(format!("{:b}", u32::from(number) + 1))
}

fn range((from, to): (u8, u8)) -> KeyRange {
    match to % 3 {
        0 => KeyRange::key(key(from)),
        1 => KeyRange::prefix(key(from)),
        _ => KeyRange::interval(key(from).min(key(to)), key(from).max(key(to))),
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..20u8, any::<u8>()).prop_map(|(key, value)| Change::Put(key, value)),
        2 => (0..20u8, any::<u8>()).prop_map(|(from, to)| Change::Delete(from, to)),
        1 => (0..20u8, any::<u8>()).prop_map(|(from, to)| Change::Range(from, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pair = || (0..20u8, any::<u8>());
    prop_oneof![
        10 => (vec((0..20u8, 0..4u8), 0..2), vec(change(), 0..4), vec(change(), 0..2))
            .prop_map(|(compare, success, failure)| Step::Txn { compare, success, failure }),
        5 => (pair(), 0..12u64, 0..6usize).prop_map(|(range, back, limit)| Step::Range { range, back, limit }),
        1 => (0..12u64).prop_map(|back| Step::Compact { back }),
        2 => (pair(), 0..12u64).prop_map(|(range, back)| Step::Watch { range, back }),
        1 => Just(Step::Reopen),
    ]
}

/// Value, create revision, mod revision, version.
type Version = (Bytes, u64, u64, u64);
type State = BTreeMap<Bytes, Version>;

struct Model {
    /// The state after every revision; the last is the newest.
    states: Vec<State>,
    /// Key, whether it was put, revision.
    events: Vec<(Bytes, EventKind, u64)>,
    compacted: u64,
}

struct Run {
    files: SimulatedFiles,
    store: Embedded,
    model: Model,
    watches: Vec<(Watch, KeyRange, usize)>,
}

impl Run {
    fn open(files: &SimulatedFiles) -> Embedded {
        let auto_compaction = AutoCompaction::default();
        let (segment_bytes, checkpoint_every_bytes) = (2048, 2048);
        let files = Arc::new(files.clone());
        let options =
            Options { files, segment_bytes, checkpoint_every_bytes, auto_compaction, ..Options::new("/store") };
        Embedded::open(options).expect("nothing goes wrong here")
    }

    fn newest(&self) -> u64 {
        self.model.states.len() as u64 - 1
    }

    async fn txn(&mut self, compare: &[(u8, u8)], success: &[Change], failure: &[Change]) {
        let state = self.model.states.last().expect("there is always a state").clone();
        let mut holds = true;
        let mut conditions = Vec::new();
        for &(number, kind) in compare {
            let (key, now) = (key(number), state.get(&key(number)));
            let (condition, result) = match kind {
                0 => (Compare::Exists { key }, now.is_some()),
                1 => (Compare::ModRevision { key, equals: Revision(0) }, now.is_none()),
                2 => {
                    let equals = now.map_or(7, |version| version.2);
                    (Compare::ModRevision { key, equals: Revision(equals) }, now.is_some())
                }
                _ => (Compare::Value { key, equals: Bytes::from_static(b"1") }, now.is_some_and(|it| it.0 == "1")),
            };
            holds &= result;
            conditions.push(condition);
        }
        let operations = |changes: &[Change]| changes.iter().map(operation).collect();
        let txn = Txn { compare: conditions, success: operations(success), failure: operations(failure) };
        let response = self.store.txn(txn).await.expect("nothing goes wrong here");
        assert_eq!(response.succeeded, holds);
        let expected = self.model.apply(if holds { success } else { failure });
        assert_eq!(response.revision.0, self.newest());
        assert_eq!(response.results.iter().map(describe).collect::<Vec<_>>(), expected);
    }

    async fn range(&self, wanted: KeyRange, back: u64, limit: usize) {
        // 0 is the newest without naming it, 1 the future, then back into the past.
        let revision = (back > 0).then(|| (self.newest() + 2).saturating_sub(back));
        let request = RangeRequest { range: wanted.clone(), revision: revision.map(Revision), limit };
        let revision = revision.unwrap_or(self.newest());
        match self.store.range(request).await {
            Err(Error::FutureRevision { .. }) => assert!(revision > self.newest()),
            Err(Error::Compacted { .. }) => assert!(revision < self.model.compacted),
            Err(error) => panic!("{error}"),
            Ok(response) => {
                assert!((self.model.compacted..=self.newest()).contains(&revision));
                let state = &self.model.states[usize::try_from(revision).expect("a small number")];
                let all: Vec<_> = state.iter().filter(|(key, _)| wanted.contains(key)).collect();
                let shown = if limit == 0 { all.len() } else { limit.min(all.len()) };
                let seen = response.entries.iter().map(|it| {
                    (it.key.clone(), (it.value.clone(), it.create_revision.0, it.mod_revision.0, it.version))
                });
                let expected = all[..shown].iter().map(|&(key, version)| (key.clone(), version.clone()));
                assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "at {revision}");
                assert_eq!((response.remaining, response.revision.0), (all.len() - shown, revision));
            }
        }
    }

    async fn watch(&mut self, wanted: KeyRange, back: u64) {
        let after = (back > 0).then(|| (self.newest() + 2).saturating_sub(back));
        let request = WatchRequest { range: wanted.clone(), after: after.map(Revision), progress: None, buffer: 1000 };
        let after = after.unwrap_or(self.newest());
        match self.store.watch(request).await {
            Err(Error::FutureRevision { .. }) => assert!(after > self.newest()),
            Err(Error::Compacted { .. }) => assert!(after < self.model.compacted),
            Err(error) => panic!("{error}"),
            Ok(watch) => {
                assert_eq!(watch.started_after().0, after);
                let from = self.model.events.partition_point(|event| event.2 <= after);
                self.watches.push((watch, wanted, from));
            }
        }
    }

    /// Closes the store and checks that every watch has seen exactly its events.
    async fn reopen(self) -> Self {
        let Self { files, store, model, watches } = self;
        store.close();
        for (mut watch, wanted, from) in watches {
            let mut seen = Vec::new();
            loop {
                match watch.next().await {
                    Some(WatchItem::Events(events)) => {
                        let events = events.iter().map(|it| (it.entry.key.clone(), it.kind, it.entry.mod_revision.0));
                        seen.extend(events);
                    }
                    Some(WatchItem::Closed) => break,
                    other => panic!("{other:?}"),
                }
            }
            let expected = model.events[from..].iter().filter(|event| wanted.contains(&event.0));
            assert_eq!(seen, expected.cloned().collect::<Vec<_>>(), "{wanted:?}");
        }
        files.reboot();
        let store = Self::open(&files);
        Self { files, store, model, watches: Vec::new() }
    }
}

fn operation(change: &Change) -> Operation {
    match *change {
        Change::Put(number, value) => {
            Operation::Put { key: key(number), value: Bytes::from((value % 3).to_string()), lease: None }
        }
        Change::Delete(from, to) => Operation::Delete { range: range((from, to)) },
        Change::Range(from, to) => Operation::Range { range: range((from, to)) },
    }
}

fn describe(result: &OperationResult) -> Vec<(Bytes, u64)> {
    let show = |entry: &Arc<crate::Entry>| (entry.key.clone(), entry.mod_revision.0);
    match result {
        OperationResult::Put { previous } => previous.iter().map(show).collect(),
        OperationResult::Delete { previous } => previous.iter().map(show).collect(),
        OperationResult::Range { entries } => entries.iter().map(show).collect(),
    }
}

impl Model {
    fn apply(&mut self, changes: &[Change]) -> Vec<Vec<(Bytes, u64)>> {
        let mut state = self.states.last().expect("there is always a state").clone();
        let next = self.states.len() as u64;
        let before = self.events.len();
        let mut results = Vec::new();
        for change in changes {
            results.push(match *change {
                Change::Put(number, value) => {
                    let previous = state.get(&key(number)).cloned();
                    let (created, version) = previous.as_ref().map_or((next, 1), |it| (it.1, it.3 + 1));
                    state.insert(key(number), (Bytes::from((value % 3).to_string()), created, next, version));
                    self.events.push((key(number), EventKind::Put, next));
                    previous.map(|it| (key(number), it.2)).into_iter().collect()
                }
                Change::Delete(from, to) | Change::Range(from, to) => {
                    let wanted = range((from, to));
                    let hit = state.iter().filter(|(key, _)| wanted.contains(key)).map(|(key, it)| (key.clone(), it.2));
                    let hit: Vec<_> = hit.collect();
                    if matches!(change, Change::Delete(..)) {
                        for (key, _) in &hit {
                            state.remove(key);
                            self.events.push((key.clone(), EventKind::Delete, next));
                        }
                    }
                    hit
                }
            });
        }
        if self.events.len() > before {
            self.states.push(state);
        }
        results
    }
}

async fn run(steps: Vec<Step>) {
    let files = SimulatedFiles::new(0);
    let store = Run::open(&files);
    let model = Model { states: vec![State::new()], events: Vec::new(), compacted: 0 };
    let mut run = Run { files, store, model, watches: Vec::new() };
    for step in steps {
        match step {
            Step::Txn { compare, success, failure } => run.txn(&compare, &success, &failure).await,
            Step::Range { range: wanted, back, limit } => run.range(range(wanted), back, limit).await,
            Step::Watch { range: wanted, back } => run.watch(range(wanted), back).await,
            Step::Reopen => run = run.reopen().await,
            Step::Compact { back } => {
                let revision = run.newest().saturating_sub(back);
                run.store.compact(Revision(revision)).await.expect("the revision exists");
                run.model.compacted = run.model.compacted.max(revision);
            }
        }
    }
    run.reopen().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
        runtime.block_on(run(steps));
    }
}

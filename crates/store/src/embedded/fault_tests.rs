//! Crashes, failing flushes, full disks and damage, against a model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::record::FRAME_ALIGNMENT;
use super::segment::{SEGMENT_HEADER, path};
use super::{AutoCompaction, Embedded, Fault, OpenError, Options, SimulatedFiles, check};
use crate::{Error, KeyRange, Operation, OperationResult, RangeRequest, Revision, Store, Txn};

const DIRECTORY: &str = "/store";

fn options(files: &SimulatedFiles) -> Options {
    Options {
        segment_bytes: 16 << 10,
        checkpoint_every_bytes: 32 << 10,
        auto_compaction: AutoCompaction { revisions: Some(40), age: None, bytes: None },
        files: Arc::new(files.clone()),
        ..Options::new(DIRECTORY)
    }
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The next random write, and the model after it. Always changes something.
fn write(random: &mut StdRng, model: &Model) -> (Txn, Model) {
    let mut after = model.clone();
    let key = |random: &mut StdRng| format!("key-{:02}", random.random_range(0..30)).into_bytes();
    let mut success = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let (key, size) = (key(random), random.random_range(0..700));
        let mut value = vec![0; size];
        random.fill(&mut value[..]);
        after.insert(key.clone(), value.clone());
        success.push(Operation::Put { key: key.into(), value: value.into(), lease: None });
    }
    if random.random_bool(0.3) {
        let key = key(random);
        after.remove(&key);
        success.push(Operation::Delete { range: KeyRange::key(key) });
    }
    (Txn { compare: Vec::new(), success, failure: Vec::new() }, after)
}

async fn content(store: &Embedded) -> (Revision, Model) {
    let range = KeyRange::prefix(Bytes::new());
    let request = RangeRequest { range: range.clone(), revision: None, limit: 0 };
    let response = store.range(request).await.expect("the newest revision can always be read");
    // A transaction that only reads must see the same, also when writes are refused.
    let read = Txn { success: vec![Operation::Range { range }], ..Txn::default() };
    let read = store.txn(read).await.expect("reading needs no disk");
    let [OperationResult::Range { entries }] = &read.results[..] else { panic!("{read:?}") };
    assert_eq!((entries, read.revision), (&response.entries, response.revision));
    (response.revision, response.entries.iter().map(|entry| (entry.key.to_vec(), entry.value.to_vec())).collect())
}

fn fault(random: &mut StdRng) -> Option<Fault> {
    Some(match random.random_range(0..6) {
        0 => Fault::Flush { after: random.random_range(0..200) },
        1 => Fault::Full { after_bytes: random.random_range(0..100_000) },
        2 => return None,
        _ => Fault::Crash { after: random.random_range(0..200) },
    })
}

/// One disk, several lives: whatever goes wrong, acknowledged writes stay and others stay unseen.
async fn lives(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let files = SimulatedFiles::new(seed);
    let (mut revision, mut model) = (Revision(0), Model::new());
    for life in 0..6 {
        let label = format!("seed {seed}, life {life}");
        files.set_fault(fault(&mut random));
        let mut in_flight = None;
        match Embedded::open(options(&files)) {
            Ok(store) => {
                assert_eq!(content(&store).await, (revision, model.clone()), "{label}: after opening");
                for _ in 0..random.random_range(0..150) {
                    let (txn, after) = write(&mut random, &model);
                    match store.txn(txn).await {
                        Ok(response) => {
                            assert_eq!(response.revision.0, revision.0 + 1, "{label}");
                            (revision, model) = (response.revision, after);
                        }
                        Err(Error::ReadOnly { .. }) => {
                            assert_eq!(content(&store).await, (revision, model.clone()), "{label}: read only");
                            let (txn, _) = write(&mut random, &model);
                            assert!(matches!(store.txn(txn).await, Err(Error::ReadOnly { .. })), "{label}");
                            assert!(store.status().await.read_only.is_some(), "{label}");
                            in_flight = Some(after);
                            break;
                        }
                        Err(error) => panic!("{label}: {error}"),
                    }
                }
                if random.random_bool(0.3) {
                    store.close();
                }
            }
            // Opening writes too, so it can fail; it must not call its own disk damaged.
            Err(error) => assert!(matches!(error, OpenError::Io { .. }), "{label}: {error}"),
        }
        files.reboot();
        let report = check(Arc::new(files.clone()), Path::new(DIRECTORY)).expect("the disk can be read");
        assert_eq!(report.damage, None, "{label}");
        // What was in flight may have become durable or not; nothing else is allowed.
        if let Some(after) = in_flight
            && report.revision == revision.0 + 1
        {
            (revision, model) = (Revision(report.revision), after);
        }
        assert_eq!(report.revision, revision.0, "{label}: acknowledged writes after the reboot");
    }
    let store = Embedded::open(options(&files)).expect("the last life has no faults");
    assert_eq!(content(&store).await, (revision, model), "seed {seed}: at the end");
}

#[tokio::test]
async fn acknowledged_writes_survive_every_fault() {
    let rounds = std::env::var("PORTOLAN_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(150);
    let first = rand::random::<u32>();
    eprintln!("seeds {first} and following, {rounds} rounds");
    for seed in 0..rounds {
        lives(u64::from(first) + seed).await;
    }
}

/// A closed store with some segments, and where the frames of its last segment begin.
async fn written() -> (SimulatedFiles, Revision) {
    let files = SimulatedFiles::new(1);
    let options = || Options { auto_compaction: AutoCompaction::default(), ..options(&files) };
    let store = Embedded::open(options()).expect("the disk is empty");
    let mut random = StdRng::seed_from_u64(1);
    let mut model = Model::new();
    for _ in 0..60 {
        let (txn, after) = write(&mut random, &model);
        store.txn(txn).await.expect("nothing goes wrong");
        model = after;
    }
    let revision = store.status().await.revision;
    store.close();
    files.reboot();
    (files, revision)
}

fn last_segment_with_content(files: &SimulatedFiles) -> (u64, Vec<u8>) {
    let mut last = None;
    for number in 1.. {
        match files.content(&path(Path::new(DIRECTORY), number)) {
            Ok(bytes) if bytes[SEGMENT_HEADER..].iter().any(|&byte| byte != 0) => last = Some((number, bytes)),
            _ => break,
        }
    }
    last.expect("the store was written to")
}

#[tokio::test]
async fn damage_in_the_middle_refuses_to_start_and_says_where() {
    let (files, _) = written().await;
    let (last, _) = last_segment_with_content(&files);
    assert!(last >= 3, "the test needs several segments");
    for (number, offset) in [(1, SEGMENT_HEADER + 40), (2, 8000), (last, SEGMENT_HEADER + 2), (1, 10)] {
        let file = path(Path::new(DIRECTORY), number);
        let before = files.content(&file).expect("the segment is there")[offset];
        files.corrupt(&file, offset, &[before ^ 0x40]).expect("the segment is there");
        let error = Embedded::open(options(&files)).expect_err("damage must not be ignored");
        let OpenError::Damaged { damage, .. } = &error else { panic!("{error}") };
        assert_eq!(damage.file, super::segment::name(number), "{error}");
        assert!(damage.offset <= offset as u64 && error.to_string().contains("portolan restore"), "{error}");
        let report = check(Arc::new(files.clone()), Path::new(DIRECTORY)).expect("the disk can be read");
        assert_eq!(report.damage.as_ref(), Some(damage));
        files.corrupt(&file, offset, &[before]).expect("the segment is there");
    }
    Embedded::open(options(&files)).expect("the damage was undone");
}

#[tokio::test]
async fn a_torn_end_is_cut_at_every_place() {
    let (files, revision) = written().await;
    let (number, bytes) = last_segment_with_content(&files);
    let file = path(Path::new(DIRECTORY), number);
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("there is content") + 1;
    let last_frame = (SEGMENT_HEADER..end)
        .step_by(FRAME_ALIGNMENT)
        .rfind(|&offset| bytes[offset..].starts_with(b"PFRM"))
        .expect("there is a frame");
    let mut random = StdRng::seed_from_u64(2);
    for from in (last_frame..end).step_by(37) {
        let rest = end - from;
        let mut garbage = vec![0; rest];
        if random.random_bool(0.5) {
            random.fill(&mut garbage[..]);
        }
        files.corrupt(&file, from, &garbage).expect("the segment is there");
        let torn = files.content(&file).expect("the segment is there")[last_frame..end] != bytes[last_frame..end];
        let store = Embedded::open(options(&files)).expect("a torn end is no damage");
        let expected = Revision(revision.0 - u64::from(torn));
        assert_eq!(store.status().await.revision, expected, "cut at {from}");
        store.close();
        files.corrupt(&file, last_frame, &bytes[last_frame..end]).expect("the segment is there");
    }
}

#[tokio::test]
async fn a_missing_segment_refuses_to_start() {
    let (files, _) = written().await;
    super::Files::remove(&files, &path(Path::new(DIRECTORY), 2)).expect("the segment is there");
    let error = Embedded::open(options(&files)).expect_err("a gap must not be ignored");
    assert!(error.to_string().contains(&super::segment::name(2)), "{error}");
}

//! The embedded store through its port.

#![expect(clippy::unwrap_used, reason = "a test; what fails is shown by its backtrace")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_base::{ManualClock, Timestamp};
use portolan_store::embedded::{Embedded, OpenError, Options};
use portolan_store::{
    Compare, Error, EventKind, KeyRange, Operation, OperationResult, RangeRequest, Revision, Store, Txn, TxnResponse,
    Watch, WatchItem, WatchRequest,
};

fn options(directory: &tempfile::TempDir) -> Options {
    Options { segment_bytes: 64 << 10, ..Options::new(directory.path()) }
}

fn open(directory: &tempfile::TempDir) -> Embedded {
    Embedded::open(options(directory)).unwrap()
}

fn put_op(key: &str, value: &str) -> Operation {
    Operation::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease: None,
    }
}

fn unconditional(operation: Operation) -> Txn {
    Txn { compare: Vec::new(), success: vec![operation], failure: Vec::new() }
}

async fn put(store: &Embedded, key: &str, value: &str) -> Revision {
    store.txn(unconditional(put_op(key, value))).await.unwrap().revision
}

async fn delete(store: &Embedded, key: &str) -> TxnResponse {
    let range = KeyRange::key(key.as_bytes().to_vec());
    store.txn(unconditional(Operation::Delete { range })).await.unwrap()
}

/// Entries as `key=value@revision`, then what remains.
async fn read(store: &Embedded, prefix: &str, revision: Option<u64>, limit: usize) -> Result<String, Error> {
    let range = KeyRange::prefix(prefix.as_bytes().to_vec());
    let response = store.range(RangeRequest { range, revision: revision.map(Revision), limit }).await?;
    let entries = response.entries.iter().map(|entry| {
        let (key, value) = (String::from_utf8_lossy(&entry.key), String::from_utf8_lossy(&entry.value));
        format!("{key}={value}@{}", entry.mod_revision)
    });
    let mut text = entries.collect::<Vec<_>>().join(" ");
    if response.remaining > 0 {
        text.push_str(&format!(" +{}", response.remaining));
    }
    Ok(text)
}

async fn watch(store: &Embedded, prefix: &str, after: Option<u64>) -> Result<Watch, Error> {
    let range = KeyRange::prefix(prefix.as_bytes().to_vec());
    store.watch(WatchRequest { range, after: after.map(Revision), progress: None, buffer: 16 }).await
}

/// The next `count` events as `+key@revision` or `-key@revision`.
async fn events(watch: &mut Watch, count: usize) -> String {
    let mut seen = Vec::new();
    while seen.len() < count {
        match watch.next().await {
            Some(WatchItem::Events(events)) => seen.extend(events.iter().map(|event| {
                let sign = if event.kind == EventKind::Put { '+' } else { '-' };
                format!("{sign}{}@{}", String::from_utf8_lossy(&event.entry.key), event.entry.mod_revision)
            })),
            other => panic!("expected events after {seen:?}, got {other:?}"),
        }
    }
    seen.join(" ")
}

#[tokio::test]
async fn reads_see_the_past_and_the_present() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a", "1").await;
    put(&store, "b", "2").await;
    put(&store, "a", "3").await;
    delete(&store, "b").await;
    for (revision, expected) in [(0, ""), (1, "a=1@1"), (2, "a=1@1 b=2@2"), (3, "a=3@3 b=2@2"), (4, "a=3@3")] {
        assert_eq!(read(&store, "", Some(revision), 0).await.unwrap(), expected, "at {revision}");
    }
    assert_eq!(read(&store, "", None, 0).await.unwrap(), "a=3@3");
    assert!(matches!(read(&store, "", Some(5), 0).await, Err(Error::FutureRevision { .. })));
}

#[tokio::test]
async fn pages_say_how_much_remains() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for number in 0..700 {
        put(&store, &format!("k{number:04}"), "v").await;
    }
    let range = KeyRange::prefix("k");
    let first = store.range(RangeRequest { range, revision: None, limit: 300 }).await.unwrap();
    assert_eq!((first.entries.len(), first.remaining), (300, 400));
    delete(&store, "k0500").await;
    let range = KeyRange::interval("k0300", "l");
    let second = store.range(RangeRequest { range: range.clone(), revision: Some(first.revision), limit: 300 });
    assert_eq!(second.await.unwrap().remaining, 100);
    let newest = store.range(RangeRequest { range, revision: None, limit: 300 }).await.unwrap();
    assert_eq!((newest.entries.len(), newest.remaining), (300, 99));
}

#[tokio::test]
async fn conditions_choose_the_branch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a", "1").await;
    let key = Bytes::from_static(b"a");
    let cases = [
        (Compare::ModRevision { key: key.clone(), equals: Revision(1) }, true),
        (Compare::ModRevision { key: key.clone(), equals: Revision(0) }, false),
        (Compare::ModRevision { key: Bytes::from_static(b"none"), equals: Revision(0) }, true),
        (Compare::Exists { key: key.clone() }, true),
        (Compare::Exists { key: Bytes::from_static(b"none") }, false),
        (Compare::Value { key: key.clone(), equals: Bytes::from_static(b"1") }, true),
        (Compare::Value { key, equals: Bytes::from_static(b"2") }, false),
    ];
    for (compare, holds) in cases {
        let range = KeyRange::prefix("");
        let txn =
            Txn { compare: vec![compare.clone()], success: vec![Operation::Range { range }], failure: Vec::new() };
        let response = store.txn(txn).await.unwrap();
        assert_eq!((response.succeeded, response.revision), (holds, Revision(1)), "{compare:?}");
    }
}

#[tokio::test]
async fn a_transaction_reads_its_own_writes_and_counts_versions() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a", "1").await;
    let steps = vec![put_op("a", "2"), put_op("b", "3"), Operation::Range { range: KeyRange::prefix("") }];
    let response = store.txn(Txn { compare: Vec::new(), success: steps, failure: Vec::new() }).await.unwrap();
    let OperationResult::Range { entries } = &response.results[2] else { panic!("{response:?}") };
    let seen: Vec<_> =
        entries.iter().map(|entry| (entry.version, entry.create_revision.0, entry.mod_revision.0)).collect();
    assert_eq!(seen, [(2, 1, 2), (1, 2, 2)]);
    let OperationResult::Put { previous: Some(previous) } = &response.results[0] else { panic!("{response:?}") };
    assert_eq!(&previous.value[..], b"1");
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for number in 0..300 {
        put(&store, &format!("k{:02}", number % 20), &format!("{number}").repeat(500)).await;
    }
    delete(&store, "k07").await;
    let before = (read(&store, "", None, 0).await.unwrap(), read(&store, "", Some(150), 0).await.unwrap());
    drop(store);
    let store = open(&directory);
    assert_eq!((read(&store, "", None, 0).await.unwrap(), read(&store, "", Some(150), 0).await.unwrap()), before);
    assert_eq!(put(&store, "new", "1").await, Revision(302));
}

#[tokio::test]
async fn a_watch_delivers_history_and_then_live_changes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a/1", "x").await;
    put(&store, "b/1", "x").await;
    put(&store, "a/2", "x").await;
    let mut all = watch(&store, "a/", Some(0)).await.unwrap();
    let mut live = watch(&store, "a/", None).await.unwrap();
    assert_eq!(live.started_after(), Revision(3));
    delete(&store, "a/1").await;
    put(&store, "b/2", "x").await;
    put(&store, "a/3", "x").await;
    assert_eq!(events(&mut all, 4).await, "+a/1@1 +a/2@3 -a/1@4 +a/3@6");
    assert_eq!(events(&mut live, 2).await, "-a/1@4 +a/3@6");
    drop(store);
    assert!(matches!(all.next().await, Some(WatchItem::Closed)));
    assert!(all.next().await.is_none());
}

#[tokio::test]
async fn a_slow_watcher_is_told_that_it_lags() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut slow = watch(&store, "", None).await.unwrap();
    let mut quick = watch(&store, "", None).await.unwrap();
    let mut quick_seen = 0;
    for _ in 0..60 {
        put(&store, "a", "x").await;
        let Some(WatchItem::Events(events)) = quick.next().await else { panic!() };
        quick_seen += events.len();
    }
    assert_eq!(quick_seen, 60);
    let mut last = None;
    while let Some(item) = slow.next().await {
        last = Some(item);
    }
    assert!(matches!(last, Some(WatchItem::Lagged)), "{last:?}");
}

#[tokio::test]
async fn progress_is_told_while_nothing_happens() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "other", "x").await;
    let request =
        WatchRequest { range: KeyRange::prefix("a"), after: None, progress: Some(Duration::from_millis(1)), buffer: 4 };
    let mut watch = store.watch(request).await.unwrap();
    assert!(matches!(watch.next().await, Some(WatchItem::Progress(Revision(1)))));
    put(&store, "other", "y").await;
    while !matches!(watch.next().await, Some(WatchItem::Progress(Revision(2)))) {}
}

#[tokio::test]
async fn compaction_forgets_the_past_but_not_the_present() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a", "1").await;
    put(&store, "b", "1").await;
    put(&store, "a", "2").await;
    delete(&store, "b").await;
    put(&store, "a", "3").await;
    store.compact(Revision(3)).await.unwrap();
    assert!(matches!(store.compact(Revision(9)).await, Err(Error::FutureRevision { .. })));
    for reopened in [false, true] {
        let store = if reopened { None } else { Some(&store) };
        let own;
        let store = match store {
            Some(store) => store,
            None => {
                own = {
                    let copy = tempfile::tempdir().unwrap();
                    for entry in std::fs::read_dir(directory.path()).unwrap() {
                        let entry = entry.unwrap();
                        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
                    }
                    (open(&copy), copy)
                };
                &own.0
            }
        };
        assert!(matches!(read(store, "", Some(2), 0).await, Err(Error::Compacted { compacted: Revision(3), .. })));
        assert_eq!(read(store, "", Some(3), 0).await.unwrap(), "a=2@3 b=1@2");
        assert_eq!(read(store, "", None, 0).await.unwrap(), "a=3@5");
        assert!(matches!(watch(store, "", Some(2)).await, Err(Error::Compacted { .. })));
        let mut rest = watch(store, "", Some(3)).await.unwrap();
        assert_eq!(events(&mut rest, 2).await, "-b@4 +a@5");
    }
}

#[tokio::test]
async fn a_lease_ends_with_its_keys_unless_it_is_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let with_clock = || Options { clock: clock.clone(), ..options(&directory) };
    let store = Embedded::open(with_clock()).unwrap();
    let lease = store.grant_lease(Duration::from_secs(10)).await.unwrap();
    let leased = |key: &'static str| {
        unconditional(Operation::Put {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::new(),
            lease: Some(lease),
        })
    };
    store.txn(leased("a")).await.unwrap();
    store.txn(leased("b")).await.unwrap();
    put(&store, "b", "no longer leased").await;
    store.txn(leased("c")).await.unwrap();
    clock.advance(Duration::from_secs(9));
    store.renew_lease(lease).await.unwrap();
    clock.advance(Duration::from_secs(9));
    store.tick().await.unwrap();
    assert_eq!(store.lease(lease).await.unwrap().keys, ["a", "c"]);
    // A restart gives the lease its whole time again.
    drop(store);
    let store = Embedded::open(with_clock()).unwrap();
    clock.advance(Duration::from_secs(9));
    store.tick().await.unwrap();
    assert_eq!(store.lease(lease).await.unwrap().remaining, Duration::from_secs(1));
    let mut watch = watch(&store, "", None).await.unwrap();
    clock.advance(Duration::from_secs(1));
    store.tick().await.unwrap();
    assert_eq!(events(&mut watch, 2).await, "-a@5 -c@5");
    assert!(matches!(store.lease(lease).await, Err(Error::LeaseNotFound(_))));
    assert!(matches!(store.renew_lease(lease).await, Err(Error::LeaseNotFound(_))));
    assert!(matches!(store.txn(leased("d")).await, Err(Error::LeaseNotFound(_))));
    drop(store);
    let store = Embedded::open(with_clock()).unwrap();
    assert!(matches!(store.lease(lease).await, Err(Error::LeaseNotFound(_))));
    assert_eq!(read(&store, "", None, 0).await.unwrap(), "b=no longer leased@3");
}

#[tokio::test]
async fn a_real_clock_ends_leases_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let lease = store.grant_lease(Duration::from_millis(5)).await.unwrap();
    let mut watch = watch(&store, "", None).await.unwrap();
    let operation = Operation::Put { key: Bytes::from_static(b"a"), value: Bytes::new(), lease: Some(lease) };
    match store.txn(unconditional(operation)).await {
        Ok(_) => assert_eq!(events(&mut watch, 2).await, "+a@1 -a@2"),
        // On a slow machine the lease may be over before the put.
        Err(error) => assert!(matches!(error, Error::LeaseNotFound(_)), "{error}"),
    }
}

#[tokio::test]
async fn a_snapshot_becomes_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let lease = store.grant_lease(Duration::from_secs(60)).await.unwrap();
    for number in 0..50 {
        put(&store, &format!("k{}", number % 10), "v").await;
    }
    let snapshot = directory.path().join("backup");
    assert_eq!(store.snapshot(&snapshot).await.unwrap(), Revision(50));
    put(&store, "later", "v").await;
    let target = tempfile::tempdir().unwrap();
    let files = portolan_store::embedded::SystemFiles;
    portolan_store::embedded::restore(&files, &snapshot, target.path()).unwrap();
    let again = portolan_store::embedded::restore(&files, &snapshot, target.path());
    assert!(matches!(again, Err(OpenError::NotEmpty { .. })));
    let restored = open(&target);
    assert_eq!(read(&restored, "", None, 0).await.unwrap(), read(&store, "k", None, 0).await.unwrap());
    assert!(restored.lease(lease).await.is_ok());
    assert_eq!(put(&restored, "new", "v").await, Revision(51));
    drop(restored);
    assert_eq!(open(&target).status().await.keys, 11);
}

#[tokio::test]
async fn checkpoints_bound_the_log_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let small = || {
        let mut options = options(&directory);
        options.checkpoint_every_bytes = 128 << 10;
        options.auto_compaction.revisions = Some(50);
        options
    };
    let store = Embedded::open(small()).unwrap();
    let value = "x".repeat(4000);
    for number in 0..1000 {
        put(&store, &format!("k{:02}", number % 30), &value).await;
    }
    let before = read(&store, "", None, 0).await.unwrap();
    drop(store);
    let store = Embedded::open(small()).unwrap();
    assert_eq!(read(&store, "", None, 0).await.unwrap(), before);
    let status = store.status().await;
    assert!(status.compacted >= Revision(900), "{status:?}");
    assert!(status.disk_bytes < 1 << 20, "{status:?}");
    let mut rest = watch(&store, "", Some(status.compacted.0)).await.unwrap();
    events(&mut rest, usize::try_from(1000 - status.compacted.0).unwrap()).await;
    drop(store);
    let report = portolan_store::embedded::check(Arc::new(portolan_store::embedded::SystemFiles), directory.path());
    let report = report.unwrap();
    assert_eq!((report.revision, report.keys, report.damage.is_none()), (1000, 30, true), "{report:?}");
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let error = Embedded::open(options(&directory)).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(store);
    open(&directory);
}

#[tokio::test]
async fn too_large_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let key = "k".repeat(5000);
    assert!(matches!(store.txn(unconditional(put_op(&key, ""))).await, Err(Error::TooLarge { what: "a key", .. })));
    let value = "v".repeat(9 << 20);
    assert!(matches!(store.txn(unconditional(put_op("a", &value))).await, Err(Error::TooLarge { .. })));
    let value = "v".repeat(7 << 20);
    put(&store, "larger than a segment", &value).await;
    drop(store);
    assert_eq!(open(&directory).status().await.keys, 1);
}

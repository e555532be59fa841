//! `kill -9` at random moments: every acknowledged write must be there afterwards.
//!
//! The parent starts this test binary again as the writer. The writer reports each acknowledged
//! write over its standard output; whatever the parent has read must be in the store.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_store::embedded::{Embedded, Options};
use portolan_store::{KeyRange, Operation, RangeRequest, Store, Txn};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const DIRECTORY: &str = "PORTOLAN_KILL_DIRECTORY";
const ROUNDS: &str = "PORTOLAN_KILL_ROUNDS";
const WRITERS: u32 = 8;

fn open(directory: &Path) -> Embedded {
    let mut options = Options::new(directory);
    options.segment_bytes = 256 << 10;
    options.checkpoint_every_bytes = 512 << 10;
    options.auto_compaction.revisions = Some(500);
    Embedded::open(options).expect("a killed store opens again")
}

/// Writes counters, each to a key of its own writer, until it is killed.
#[test]
fn writer() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Arc::new(open(Path::new(&directory)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(Arc::clone(&store), writer));
        }
        writers.join_all().await;
    });
}

async fn write(store: Arc<Embedded>, writer: u32) {
    let started = store.status().await.revision.0;
    for count in 1_u64.. {
        let number = (started << 20) + count;
        let key = Bytes::from(format!("{writer}/{}", count % 5));
        // Some larger than a page, so that writes tear.
        let mut value = number.to_string().into_bytes();
        value.resize(20 + usize::try_from(count % 7).expect("small") * 1500, b' ');
        let put = Operation::Put { key, value: value.into(), lease: None };
        let txn = Txn { compare: Vec::new(), success: vec![put], failure: Vec::new() };
        let revision = store.txn(txn).await.expect("the disk works").revision;
        let line = format!("ack {writer} {} {number} {revision}\n", count % 5);
        // One write call per line, so that the parent never reads a mixture.
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// Key to the last number and revision that were acknowledged.
type Acknowledged = HashMap<String, (u64, u64)>;

/// Runs a writer for a while; adds what it reported.
fn round(directory: &Path, moment: Duration, acknowledged: &mut Acknowledged) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this binary exists"))
        .args(["writer", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary can be started again");
    let output = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
        lines.filter_map(|line| parse(&String::from_utf8_lossy(&line))).collect::<Vec<_>>()
    });
    // Not a wait for something to happen: the moment of death is what the test varies.
    std::thread::sleep(moment);
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    let lines = reader.join().expect("the reader does not panic");
    let count = lines.len();
    for (key, number, revision) in lines {
        let last = acknowledged.entry(key).or_default();
        *last = (*last).max((number, revision));
    }
    count
}

fn parse(line: &str) -> Option<(String, u64, u64)> {
    // The test harness prints its own text, perhaps on the same line before the first report.
    let mut words = line[line.find("ack ")?..].split(' ').skip(1);
    let (writer, slot) = (words.next()?, words.next()?);
    Some((format!("{writer}/{slot}"), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[test]
fn acknowledged_writes_survive_kill() {
    let rounds: u32 = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}, {rounds} rounds");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let mut acknowledged = Acknowledged::new();
    let mut writes = 0;
    for number in 0..rounds {
        // From "still opening" to "some segments later".
        let moment = Duration::from_micros(random.random_range(0..100_000));
        writes += round(directory.path(), moment, &mut acknowledged);
        let store = open(directory.path());
        let request = RangeRequest { range: KeyRange::prefix(Bytes::new()), revision: None, limit: 0 };
        let response = runtime.block_on(store.range(request)).expect("the newest revision can be read");
        let found: HashMap<_, _> = response.entries.iter().map(|entry| (&entry.key[..], entry)).collect();
        for (key, (last, revision)) in &acknowledged {
            let entry = found.get(key.as_bytes()).unwrap_or_else(|| panic!("round {number}: {key} is gone"));
            let text = String::from_utf8_lossy(&entry.value);
            let kept: u64 = text.trim().parse().expect("a number was written");
            assert!(kept >= *last && entry.mod_revision.0 >= *revision, "round {number}: {key} {kept} < {last}");
        }
    }
    eprintln!("{writes} acknowledged writes, all kept");
    assert!(writes > 0, "the writers never got to write");
}

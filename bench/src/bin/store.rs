//! The embedded store: durable writes, their CPU time, and whether either grows with the data.
//!
//! The bound in the same run is a bare loop that writes as many bytes per flush as a full group
//! has. Run it on the disk that matters: `store --directory /var/lib/portolan-bench`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use portolan_bench::process::cpu_of;
use portolan_bench::report::{Measured, line, quantile, ratio};
use portolan_store::embedded::{Embedded, Options};
use portolan_store::{KeyRange, Operation, RangeRequest, Store, Txn};

/// Durable writes per second and CPU time per write of the embedded store.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the store's files go; a folder in it is made and removed.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// Updates per series.
    #[arg(long, default_value_t = 100_000)]
    puts: usize,
    /// Writers at the same time.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Bytes per value.
    #[arg(long, default_value_t = 2500)]
    value_bytes: usize,
    /// Live keys, one series each.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    keys: Vec<usize>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut costs = Vec::new();
    for &keys in &arguments.keys {
        let folder = tempfile::tempdir_in(&arguments.directory).context("make a folder for the store")?;
        line(
            &format!("bound: {} x {} bytes per flush", arguments.writers, arguments.value_bytes),
            &bound(&arguments, folder.path())?,
        );
        let before = resident()?;
        let store = Arc::new(Embedded::open(Options::new(folder.path().join("store")))?);
        runtime.block_on(write(&arguments, &store, keys, keys, |number, _| number))?;
        let per_key = resident()?.saturating_sub(before) / keys as u64;
        println!("{:44} {:9} MiB, {per_key} bytes per key", format!("{keys} keys: resident"), resident()? >> 20);
        let measured = runtime.block_on(write(&arguments, &store, keys, arguments.puts, |_, random| random))?;
        line(&format!("{keys} keys: update"), &measured.0);
        println!("{:44} p50 {:?} p99 {:?}", format!("{keys} keys: update latency"), measured.1, measured.2);
        let page = runtime.block_on(read(&store))?;
        println!("{:44} {page:?}", format!("{keys} keys: page of 500 with the rest counted"));
        costs.push(measured.0.cpu_per_operation());
        let reopen = Instant::now();
        drop(store);
        let store = Embedded::open(Options::new(folder.path().join("store")))?;
        println!("{:44} {:?}", format!("{keys} keys: close and open"), reopen.elapsed());
        drop(store);
    }
    for (pair, keys) in costs.windows(2).zip(arguments.keys.windows(2)) {
        ratio(&format!("CPU per update, {} keys over {}", keys[1], keys[0]), pair[1], pair[0], "<= 1.3");
    }
    Ok(())
}

fn resident() -> anyhow::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident: u64 = pages.split(' ').nth(1).context("no figure")?.parse()?;
    Ok(resident * 4096)
}

fn cpu() -> anyhow::Result<Duration> {
    cpu_of(std::process::id())
}

/// Writes and flushes whole groups, one after the other, into a file of zeros.
fn bound(arguments: &Arguments, folder: &Path) -> anyhow::Result<Measured> {
    let group = vec![7; arguments.writers * arguments.value_bytes];
    let groups = (arguments.puts / arguments.writers).clamp(1, 1000);
    let file = File::create(folder.join("bound"))?;
    // Prepared like a log segment: zeros that are durable before the loop begins.
    let places = 64;
    file.write_all_at(&vec![0; group.len() * places], 0)?;
    file.sync_all()?;
    let (wall, before) = (Instant::now(), cpu()?);
    for number in 0..groups {
        file.write_all_at(&group, ((number % places) * group.len()) as u64)?;
        file.sync_data()?;
    }
    let measured =
        Measured { operations: groups * arguments.writers, wall: wall.elapsed(), cpu: cpu()?.saturating_sub(before) };
    std::fs::remove_file(folder.join("bound"))?;
    Ok(measured)
}

/// `puts` writes, each by the next free writer; with the median and the 99th percentile.
async fn write(
    arguments: &Arguments,
    store: &Arc<Embedded>,
    keys: usize,
    puts: usize,
    choose: impl Fn(usize, usize) -> usize + Copy + Send + 'static,
) -> anyhow::Result<(Measured, Duration, Duration)> {
    let (wall, before) = (Instant::now(), cpu()?);
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..arguments.writers {
        let (store, next, size) = (Arc::clone(store), Arc::clone(&next), arguments.value_bytes);
        writers.spawn(async move {
            let mut latencies = Vec::new();
            let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(writer as u64 + 1);
            let value = Bytes::from(vec![b'v'; size]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= puts {
                    return Ok::<_, portolan_store::Error>(latencies);
                }
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let chosen = choose(number, (random >> 16) as usize % keys);
                let key = Bytes::from(format!("/registry/pods/ns-{:03}/web-{chosen:08}-7f9c", chosen % 100));
                let started = Instant::now();
                let put = Operation::Put { key, value: value.clone(), lease: None };
                store.txn(Txn { compare: Vec::new(), success: vec![put], failure: Vec::new() }).await?;
                latencies.push(started.elapsed());
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(writer) = writers.join_next().await {
        latencies.extend(writer??);
    }
    let measured = Measured { operations: puts, wall: wall.elapsed(), cpu: cpu()?.saturating_sub(before) };
    Ok((measured, quantile(&mut latencies, 0.5), quantile(&mut latencies, 0.99)))
}

/// The time that a page from the middle takes, on average.
async fn read(store: &Embedded) -> anyhow::Result<Duration> {
    let started = Instant::now();
    for _ in 0..100 {
        let range = KeyRange::interval("/registry/pods/ns-030/", "/registry/pods0");
        store.range(RangeRequest { range, revision: None, limit: 500 }).await?;
    }
    Ok(started.elapsed() / 100)
}

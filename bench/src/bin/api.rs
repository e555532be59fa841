//! The API path: durable pod creation over HTTPS against etcd's put of the same bytes, cost by the
//! number of objects, LIST against a copy of the same bytes, one write to many watchers, the verbs in
//! JSON and protobuf, memory and start-up.
//!
//! `cargo run --release -p portolan-bench --bin api -- --pods 100000`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use http::Request;
use http_body_util::BodyExt;
use portolan_bench::cluster::{ControlPlane, pod, send};
use portolan_bench::etcd::Etcd;
use portolan_bench::fan_out;
use portolan_bench::report::{Measured, figure, line, pairs, quantile, ratio, slope};
use portolan_bench::series::{in_json, series};
use portolan_bench::verbs;
use portolan_client::Transport;

/// What an event has beyond the object as it was sent: its frame, identity and managers, TLS and HTTP/2.
const EVENT_OVERHEAD: usize = 400;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Measures the API path.
#[derive(Debug, Parser)]
struct Options {
    /// Pods there are in the end.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
    /// Clients at the same time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Pairs of series, ours and etcd's.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Operations per series.
    #[arg(long, default_value_t = 4_000)]
    series: usize,
    /// Watchers of one object.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Writes that the watchers see.
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Operations per verb and form; 0 leaves the verbs out. A clock tick is a microsecond of each of ten thousand.
    #[arg(long, default_value_t = 10_000)]
    verbs: usize,
    /// How long to watch an idle control plane.
    #[arg(long, default_value_t = 10)]
    idle_seconds: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let plane = ControlPlane::start(folder.path()).await?;
    figure("start to API ready", plane.startup.as_secs_f64() * 1e3, "ms", "target <= 300");
    idle(&plane, options.idle_seconds).await?;
    watch(&plane, options.watchers, options.changes).await?;
    if options.verbs > 0 {
        verbs::measure(&plane, options.clients, options.verbs).await?;
    }
    let created = compare(&plane, folder.path(), &options).await?;
    grow(&plane, &options, created).await?;
    list(&plane, &options).await
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn idle(plane: &ControlPlane, seconds: u64) -> anyhow::Result<()> {
    // Starting is over when nothing is left to read.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (cpu, wall) = (plane.server.cpu()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (plane.server.cpu()? - cpu).as_secs_f64() / wall.elapsed().as_secs_f64();
    figure("idle CPU", share * 100.0, "% of a core", "target < 0.5");
    figure("resident, idle", megabytes(plane.server.resident()?), "MB", "target <= 40");
    Ok(())
}

fn creation(index: usize) -> Request<Bytes> {
    in_json("POST", PODS, pod(index))
}

/// Creations and etcd's puts in turn. Returns how many pods there are then.
async fn compare(plane: &ControlPlane, folder: &Path, options: &Options) -> anyhow::Result<usize> {
    let peer = Etcd::start(folder).await?;
    let mut ratios = Vec::new();
    // The first pair warms both up.
    for pair in 0..=options.pairs {
        let range = pair * options.series..(pair + 1) * options.series;
        let (ours, size) = series(plane, range.clone(), options.clients, creation).await?;
        let theirs = put(&peer, range, size, options.clients).await?;
        line(&format!("create pod, {size} bytes"), &ours);
        line("etcd put of the same bytes", &theirs);
        if pair > 0 {
            ratios.push(ours.cpu_per_operation() / theirs.cpu_per_operation());
        }
    }
    pairs("create pod / etcd put, CPU", &mut ratios, "<= 1.5");
    Ok((options.pairs + 1) * options.series)
}

/// The same bytes, put into the peer.
async fn put(peer: &Etcd, range: std::ops::Range<usize>, size: usize, clients: usize) -> anyhow::Result<Measured> {
    let connections = try_join_all((0..clients).map(|_| etcd_client::Client::connect([&peer.url], None))).await?;
    let next = Arc::new(AtomicUsize::new(range.start));
    let value = vec![b'x'; size];
    let (cpu, wall) = (peer.server.cpu()?, Instant::now());
    let workers = connections.into_iter().map(|mut client| {
        let (value, next, end) = (value.clone(), next.clone(), range.end);
        tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    return anyhow::Ok(());
                }
                client.put(format!("/registry/pods/default/web-{index:06}"), value.clone(), None).await?;
            }
        })
    });
    for result in try_join_all(workers).await? {
        result?;
    }
    Ok(Measured { operations: range.len(), wall: wall.elapsed(), cpu: peer.server.cpu()? - cpu })
}

/// Cost per operation at each power of ten of pods.
async fn grow(plane: &ControlPlane, options: &Options, created: usize) -> anyhow::Result<()> {
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    // The pods so far go, so that every decade is measured in the same way.
    let transport = plane.connect()?;
    let mut present = created;
    let decades = [1_000, 10_000, 100_000].into_iter().filter(|decade| *decade <= options.pods);
    for decade in decades {
        let window = (decade / 2).min(options.series);
        if present > decade - window {
            send(&transport, "DELETE", &format!("{PODS}?gracePeriodSeconds=0"), Bytes::new()).await?;
            present = 0;
        }
        if present < decade - window {
            series(plane, present..decade - window, options.clients, creation).await?;
        }
        let (create, _) = series(plane, decade - window..decade, options.clients, creation).await?;
        present = decade;
        let get = |index: usize| in_json("GET", &format!("{PODS}/web-{:06}", index % 1_000), Bytes::new());
        let (get, _) = series(plane, 0..2 * options.series, options.clients, get).await?;
        let page = |_| in_json("GET", &format!("{PODS}?limit=500"), Bytes::new());
        let (page, _) = series(plane, 0..500, 8, page).await?;
        for ((what, measured), costs) in
            [("create", create), ("get", get), ("page of 500", page)].iter().zip(&mut costs)
        {
            line(&format!("{what}, {decade} pods"), measured);
            costs.push(measured.cpu_per_operation());
        }
        figure(
            &format!("resident, {decade} pods"),
            megabytes(plane.server.resident()?),
            "MB",
            "target <= 450 with 100,000",
        );
    }
    for (what, costs) in ["create", "get", "page of 500"].iter().zip(&costs) {
        slope(&format!("{what}, ten times the pods"), costs);
    }
    Ok(())
}

async fn list(plane: &ControlPlane, options: &Options) -> anyhow::Result<()> {
    let transport = plane.connect()?;
    let before = plane.server.resident()?;
    for _ in 0..3 {
        let (cpu, wall) = (plane.server.cpu()?, Instant::now());
        let response = transport.send(Request::get("/api/v1/pods").body(Bytes::new())?).await?;
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.map_err(|error| anyhow::anyhow!("{error}"))?.data_ref().map_or(0, Bytes::len);
        }
        let (cpu, wall) = ((plane.server.cpu()? - cpu).as_secs_f64(), wall.elapsed().as_secs_f64());
        let source = vec![1_u8; bytes];
        let copy = Instant::now();
        std::hint::black_box(source.clone());
        let copy = copy.elapsed().as_secs_f64();
        let target = format!("target <= 500 for 100,000; {:.1} MB, {wall:.2} s wall", bytes as f64 / 1e6);
        figure(&format!("list {} pods", options.pods), cpu * 1e3, "ms CPU", &target);
        figure("list / copy of the same bytes", cpu / copy, "x", &format!("one copy in memory: {:.0} ms", copy * 1e3));
    }
    let growth = plane.server.resident()?.saturating_sub(before);
    figure("growth by three lists", megabytes(growth), "MB", "target <= 16");
    Ok(())
}

async fn watch(plane: &ControlPlane, watchers: usize, changes: usize) -> anyhow::Result<()> {
    let writer = plane.connect()?;
    let map = |value: usize| {
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched", "namespace": "default"},
            "data": {"value": value.to_string(), "filling": "x".repeat(900)},
        });
        Bytes::from(map.to_string())
    };
    let path = "/api/v1/namespaces/default/configmaps";
    send(&writer, "POST", path, map(0)).await?;
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..watchers {
        // A connection each, as that many agents would have.
        let transport = plane.connect()?;
        let uri = format!("{path}?watch=true&fieldSelector=metadata.name%3Dwatched");
        let mut body = transport.send(Request::get(uri).body(Bytes::new())?).await?.into_body();
        let seen = seen.clone();
        tasks.spawn(async move {
            let _connection = transport;
            while let Some(Ok(frame)) = body.frame().await {
                let events = frame.data_ref().map_or(0, |data| data.iter().filter(|&&byte| byte == b'\n').count());
                for _ in 0..events {
                    let _ = seen.send(Instant::now());
                }
            }
        });
    }
    for _ in 0..watchers {
        arrivals.recv().await.context("every watcher begins with the object as it is")?;
    }
    let (cpu, wall) = (plane.server.cpu()?, Instant::now());
    let mut last_arrivals = Vec::new();
    for change in 1..=changes {
        let written = Instant::now();
        send(&writer, "PUT", &format!("{path}/watched"), map(change)).await?;
        let mut last = written;
        for _ in 0..watchers {
            last = last.max(arrivals.recv().await.context("a watcher ended")?);
        }
        last_arrivals.push(last - written);
    }
    let measured = Measured { operations: watchers * changes, wall: wall.elapsed(), cpu: plane.server.cpu()? - cpu };
    line(&format!("delivery to {watchers} TLS watchers"), &measured);
    let p50 = quantile(&mut last_arrivals, 0.5).as_secs_f64() * 1e3;
    let p99 = quantile(&mut last_arrivals, 0.99).as_secs_f64() * 1e3;
    figure("write to last watcher, p50", p50, "ms", "with 1,000 clients on the same cores");
    figure("write to last watcher, p99", p99, "ms", "target <= 20");
    tasks.shutdown().await;
    let size = map(0).len() + EVENT_OVERHEAD;
    let bound = tokio::task::spawn_blocking(move || fan_out::bound(watchers, size, changes)).await??;
    figure("one write into as many sockets", bound.as_secs_f64() * 1e6, "us CPU", "the bound of a delivery");
    ratio("delivery / one write", measured.cpu_per_operation(), bound.as_secs_f64() * 1e6, "-");
    Ok(())
}

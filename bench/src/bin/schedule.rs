//! What it costs to place a pod, by the number of pods there are: creation, decision, binding and
//! all controllers, end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use portolan_bench::cluster::{ControlPlane, send};
use portolan_bench::nodes::Nodes;
use portolan_bench::report::{Measured, figure, line, slope};
use serde_json::{Value, json};

/// How long the server is watched at rest: every lease is renewed once.
const REST: Duration = Duration::from_secs(10);

/// Measures the placing of pods.
#[derive(Debug, Parser)]
struct Options {
    /// Nodes without an agent, whose leases are renewed nevertheless.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// Pods there are at the end of each series.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    pods: Vec<usize>,
    /// Pods per series.
    #[arg(long, default_value_t = 1_000)]
    series: usize,
    /// Clients at the same time.
    #[arg(long, default_value_t = 32)]
    clients: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let plane = ControlPlane::start(folder.path()).await?;
    let transport = plane.connect()?;
    let nodes = Nodes::start(&plane, options.nodes).await?;
    let (mut present, mut costs) = (0, Vec::new());
    for &pods in &options.pods {
        if present < pods - options.series {
            place(&plane, present..pods - options.series, options.clients).await?;
        }
        let mut measured = place(&plane, pods - options.series..pods, options.clients).await?;
        present = pods;
        let share = at_rest(&plane).await?;
        figure(
            &format!("at rest, {pods} pods, {} nodes", options.nodes),
            share * 100.0,
            "% of a core",
            "renewals of leases",
        );
        // A slow machine has more renewals per pod: they are not what a pod costs.
        measured.cpu = measured.cpu.saturating_sub(measured.wall.mul_f64(share));
        line(&format!("create and place a pod, {pods} pods"), &measured);
        figure(&format!("resident, {pods} placed pods"), plane.server.resident()? as f64 / 1e6, "MB", "");
        costs.push(measured.cpu_per_operation());
    }
    nodes.stop().await?;
    slope("create and place, ten times the pods", &costs);
    let unplaced = send(&transport, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3D&limit=1", Bytes::new()).await?;
    let unplaced: Value = serde_json::from_slice(&unplaced)?;
    ensure!(unplaced["items"] == json!([]), "some pods were not placed");
    Ok(())
}

async fn place(plane: &ControlPlane, range: std::ops::Range<usize>, clients: usize) -> anyhow::Result<Measured> {
    let next = Arc::new(AtomicUsize::new(range.start));
    let (mut cpu, wall) = (plane.server.cpu()?, Instant::now());
    let before = cpu;
    let workers = (0..clients).map(|_| {
        let (next, end, transport) = (next.clone(), range.end, plane.connect());
        tokio::spawn(async move {
            let transport = transport?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    return anyhow::Ok(());
                }
                send(&transport, "POST", "/api/v1/namespaces/default/pods", pod(index)).await?;
            }
        })
    });
    for result in try_join_all(workers).await? {
        result?;
    }
    // Placed are all when the server has nothing left to do.
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = plane.server.cpu()?;
        if now.saturating_sub(cpu) < Duration::from_millis(20) {
            return Ok(Measured { operations: range.len(), wall: wall.elapsed(), cpu: now - before });
        }
        cpu = now;
    }
}

/// The share of a core that the server takes while nothing is asked of it but the renewals of leases.
async fn at_rest(plane: &ControlPlane) -> anyhow::Result<f64> {
    let (cpu, wall) = (plane.server.cpu()?, Instant::now());
    tokio::time::sleep(REST).await;
    Ok((plane.server.cpu()? - cpu).as_secs_f64() / wall.elapsed().as_secs_f64())
}

/// A pod that any node takes.
fn pod(index: usize) -> Bytes {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p{index:06}"), "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "web", "image": "registry.local/shop/web:1.27.3",
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            }],
        },
    });
    Bytes::from(pod.to_string())
}

//! The API path: durable pod creation over HTTPS against etcd's put of the same bytes, LIST
//! against a copy of the same bytes, one write to many watchers, memory and start-up.
//!
//! `cargo run --release -p portolan-bench --bin api -- --pods 20000`

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use http::Request;
use http_body_util::BodyExt;
use portolan_bench::process::{Server, free_port, portolan};
use portolan_bench::report::{Measured, line, quantile, ratio};
use portolan_client::{HttpsTransport, Transport};

/// Measures the API path.
#[derive(Debug, Parser)]
struct Options {
    /// Pods to create.
    #[arg(long, default_value_t = 20_000)]
    pods: usize,
    /// Clients that create at the same time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Watchers of one object.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Writes that the watchers see.
    #[arg(long, default_value_t = 50)]
    changes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let (server, kubeconfig) = start(folder.path()).await?;
    println!(
        "{:44} {:9.0} ms              target <= 300 ms",
        "start to API ready",
        started.elapsed().as_secs_f64() * 1e3
    );
    println!("{:44} {:9.1} MB              target <= 40 MB", "resident, idle", server.resident()? as f64 / 1e6);

    let mut size = 0;
    let decade = (options.pods / 10).max(1);
    let first = create(&server, &kubeconfig, 0..decade, options.clients, &mut size).await?;
    line(&format!("create pod, first {decade}"), &first);
    let rest = create(&server, &kubeconfig, decade..options.pods, options.clients, &mut size).await?;
    line(&format!("create pod, up to {}", options.pods), &rest);
    println!(
        "{:44} {:9.2} x          target <= 1.3 per decade",
        "slope",
        rest.cpu_per_operation() / first.cpu_per_operation()
    );
    println!("{:44} {:9.1} MB", format!("resident with {} pods", options.pods), server.resident()? as f64 / 1e6);

    let peer = etcd(folder.path(), size, options.pods.min(20_000), options.clients).await?;
    line(&format!("etcd put of {size} bytes"), &peer);
    ratio("create pod / etcd put", rest.cpu_per_operation(), peer.cpu_per_operation(), "<= 1.5");

    list(&server, &kubeconfig, options.pods).await?;
    watch(&server, &kubeconfig, options.watchers, options.changes).await
}

/// Starts a control plane without containers and waits until it answers.
async fn start(folder: &Path) -> anyhow::Result<(Server, std::path::PathBuf)> {
    let data = folder.join("data");
    let mut command = Command::new(portolan()?);
    command.args(["server", "--no-agent", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    command.arg("--run-dir").arg(folder.join("run"));
    let server = Server::start(&mut command, &folder.join("server.log"))?;
    let kubeconfig = data.join("admin.kubeconfig");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if data.join("place.json").exists()
            && let Ok(transport) = HttpsTransport::from_kubeconfig(&kubeconfig)
            && transport.send(Request::get("/readyz").body(Bytes::new())?).await.is_ok()
        {
            return Ok((server, kubeconfig));
        }
        ensure!(
            Instant::now() < deadline,
            "the server did not come up: {}",
            std::fs::read_to_string(folder.join("server.log"))?
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn pod(index: usize) -> Bytes {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{index:06}"), "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "6c9f7d5b4", "tier": format!("t{}", index % 10)},
            "annotations": {"bench.portolan.dev/note": "a pod of ordinary size, as a ReplicaSet would make it"},
        },
        "spec": {"containers": [{
            "name": "web", "image": "registry.local/shop/web:1.27.3",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [{"name": "MODE", "value": "production"}, {"name": "REGION", "value": "north"}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        }], "nodeSelector": {"bench": "nowhere"}},
    });
    Bytes::from(pod.to_string())
}

async fn create(
    server: &Server,
    kubeconfig: &Path,
    range: std::ops::Range<usize>,
    clients: usize,
    size: &mut usize,
) -> anyhow::Result<Measured> {
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(range.start));
    let operations = range.len();
    let end = range.end;
    let transports: Vec<HttpsTransport> =
        (0..clients).map(|_| HttpsTransport::from_kubeconfig(kubeconfig)).collect::<Result<_, _>>()?;
    // Handshakes are not part of the operation.
    try_join_all(transports.iter().map(|transport| send(transport, "GET", "/version", Bytes::new()))).await?;
    let (cpu, wall) = (server.cpu()?, Instant::now());
    let workers = transports.into_iter().map(|transport| {
        let next = next.clone();
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if index >= end {
                    return anyhow::Ok(last);
                }
                last = send(&transport, "POST", "/api/v1/namespaces/default/pods", pod(index)).await?.len();
            }
        })
    });
    for last in try_join_all(workers).await? {
        *size = (*size).max(last?);
    }
    Ok(Measured { operations, wall: wall.elapsed(), cpu: server.cpu()? - cpu })
}

async fn send(transport: &HttpsTransport, method: &str, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json").body(body)?;
    let response = transport.send(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    ensure!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(bytes)
}

/// The peer: Debian's etcd, fsync on, gRPC, one member.
async fn etcd(folder: &Path, size: usize, operations: usize, clients: usize) -> anyhow::Result<Measured> {
    let (client_port, peer_port) = (free_port()?, free_port()?);
    let url = format!("http://127.0.0.1:{client_port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new("etcd");
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer_url]);
    command.args(["--initial-advertise-peer-urls", &peer_url, "--initial-cluster", &format!("default={peer_url}")]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    let server = Server::start(&mut command, &folder.join("etcd.log")).context("apt-get install etcd-server")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while etcd_client::Client::connect([&url], None).await?.status().await.is_err() {
        ensure!(Instant::now() < deadline, "etcd did not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let connections = try_join_all((0..clients).map(|_| etcd_client::Client::connect([&url], None))).await?;
    let value = vec![b'x'; size];
    let (cpu, wall) = (server.cpu()?, Instant::now());
    let workers = connections.into_iter().enumerate().map(|(number, mut client)| {
        let value = value.clone();
        let share = operations / clients;
        tokio::spawn(async move {
            for index in 0..share {
                client.put(format!("/registry/pods/default/web-{number}-{index}"), value.clone(), None).await?;
            }
            anyhow::Ok(())
        })
    });
    for result in try_join_all(workers).await? {
        result?;
    }
    Ok(Measured { operations: operations / clients * clients, wall: wall.elapsed(), cpu: server.cpu()? - cpu })
}

async fn list(server: &Server, kubeconfig: &Path, pods: usize) -> anyhow::Result<()> {
    let transport = HttpsTransport::from_kubeconfig(kubeconfig)?;
    let before = server.resident()?;
    let (cpu, wall) = (server.cpu()?, Instant::now());
    let response = transport.send(Request::get("/api/v1/pods").body(Bytes::new())?).await?;
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.map_err(|error| anyhow::anyhow!("{error}"))?.data_ref().map_or(0, Bytes::len);
    }
    let measured = Measured { operations: 1, wall: wall.elapsed(), cpu: server.cpu()? - cpu };
    let source = vec![1_u8; bytes];
    let copy = Instant::now();
    std::hint::black_box(source.clone());
    let copy = copy.elapsed();
    println!(
        "{:44} {:9.0} ms CPU     {:6.1} MB   target <= 500 ms for 100,000",
        format!("list {pods} pods"),
        measured.cpu.as_secs_f64() * 1e3,
        bytes as f64 / 1e6
    );
    println!(
        "{:44} {:9.1} x          (bound: one copy in memory, {:.0} ms)",
        "list / copy of the same bytes",
        measured.cpu.as_secs_f64() / copy.as_secs_f64(),
        copy.as_secs_f64() * 1e3
    );
    println!(
        "{:44} {:9.1} MB              target <= 16 MB",
        "growth by the list",
        server.resident()?.saturating_sub(before) as f64 / 1e6
    );
    Ok(())
}

async fn watch(server: &Server, kubeconfig: &Path, watchers: usize, changes: usize) -> anyhow::Result<()> {
    let writer = HttpsTransport::from_kubeconfig(kubeconfig)?;
    let map = |value: usize| {
        Bytes::from(serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched", "namespace": "default"},
            "data": {"value": value.to_string(), "filling": "x".repeat(900)}}).to_string())
    };
    let path = "/api/v1/namespaces/default/configmaps";
    send(&writer, "POST", path, map(0)).await?;
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..watchers {
        // A connection each, as that many agents would have.
        let transport = HttpsTransport::from_kubeconfig(kubeconfig)?;
        let uri = format!("{path}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dwatched");
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
    let (cpu, wall) = (server.cpu()?, Instant::now());
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
    let measured = Measured { operations: watchers * changes, wall: wall.elapsed(), cpu: server.cpu()? - cpu };
    line(&format!("delivery to {watchers} TLS watchers"), &measured);
    println!("{:44} {:>9}               target <= 10 us CPU", "", "");
    let p50 = quantile(&mut last_arrivals, 0.5).as_secs_f64() * 1e3;
    let p99 = quantile(&mut last_arrivals, 0.99).as_secs_f64() * 1e3;
    println!("{:44} {p50:9.1} ms p50 {p99:6.1} ms p99   target p99 <= 20 ms", "write to last watcher");
    tasks.shutdown().await;
    Ok(())
}

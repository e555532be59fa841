//! The registry as its clients have it, over keep-alive HTTP: registering, renewing and looking up, by the number of
//! instances there are, ten of each service; beside etcd doing what a registry on it does: a key with a lease, a
//! keep-alive of the lease, a range of ten keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use portolan_bench::cluster::{ControlPlane, send};
use portolan_bench::etcd::Etcd;
use portolan_bench::report::{Measured, figure, line, ratio, slope};
use portolan_client::{Endpoint, HttpsTransport};
use serde_json::{Value, json};

/// Measures the registry over HTTP.
#[derive(Debug, Parser)]
struct Options {
    /// Instances there are in each series.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    instances: Vec<usize>,
    /// Operations per series.
    #[arg(long, default_value_t = 20_000)]
    operations: usize,
    /// Clients at the same time, each with a connection.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Leave the peer out.
    #[arg(long)]
    no_peer: bool,
    /// Where the servers keep their files; a folder of a disk, not of memory, for figures.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        println!("a debug build: these are not figures");
    }
    let folder = tempfile::Builder::new().prefix("portolan-bench-").tempdir_in(&options.folder)?;
    let flags = ["--consul-listen", "off", "--eureka-listen", "off", "--registry-limits", "off"];
    let plane = ControlPlane::start_with(folder.path(), &flags).await?;
    let url = registry_url(folder.path()).await?;
    let idle = plane.server.resident()?;

    let (mut costs, mut present) = ([Vec::new(), Vec::new(), Vec::new()], 0);
    for &instances in &options.instances {
        let window = (instances / 2).min(options.operations);
        series(&plane, &url, present..instances - window, options.clients, register).await?;
        let registered = series(&plane, &url, instances - window..instances, options.clients, register).await?;
        present = instances;
        let renewed = series(&plane, &url, 0..options.operations, options.clients, |number| renew(number % instances));
        let renewed = renewed.await?;
        let services = instances / 10;
        let found = series(&plane, &url, 0..options.operations, options.clients, |number| look_up(number % services));
        let found = found.await?;
        for ((what, measured), costs) in
            [("register", registered), ("renew", renewed), ("look up ten", found)].iter().zip(&mut costs)
        {
            line(&format!("{what}, {instances} instances"), measured);
            costs.push(measured.cpu_per_operation());
        }
        let memory = plane.server.resident()?.saturating_sub(idle) as f64 / instances as f64;
        figure(&format!("resident per instance, {instances}"), memory, "bytes", "object, catalog, lease and log");
    }
    for (what, costs) in ["register", "renew", "look up"].iter().zip(&costs) {
        slope(&format!("{what}, ten times the instances"), costs);
    }
    if !options.no_peer {
        let theirs = peer(&Etcd::start(folder.path()).await?, &options).await?;
        for ((what, ours), theirs) in ["register", "renew", "look up"].iter().zip(&costs).zip(theirs) {
            let ours = ours.last().copied().context("a series")?;
            ratio(&format!("{what} / etcd's, CPU"), ours, theirs, "less is better");
        }
    }
    Ok(())
}

/// The server writes where it is once it serves.
async fn registry_url(folder: &std::path::Path) -> anyhow::Result<String> {
    let (path, started) = (folder.join("data/place.json"), Instant::now());
    loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            let place: Value = serde_json::from_str(&text)?;
            let url = place["registryUrl"].as_str().context("a URL")?;
            return Ok(url.trim_end_matches("/registry").to_owned());
        }
        ensure!(started.elapsed() < Duration::from_secs(30), "the registry did not come up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Request = (&'static str, String, Bytes);

fn register(number: usize) -> Request {
    let instance = json!({
        "service": format!("service-{:05}", number / 10), "id": format!("web-{number:06}"), "address": "192.0.2.1",
        "port": 8080, "tags": ["v1", "green"], "metadata": {"zone": "a"}, "version": "1", "ttlSeconds": 3600,
    });
    ("POST", "/registry/instances".into(), instance.to_string().into())
}

fn renew(number: usize) -> Request {
    ("PUT", format!("/registry/instances/default/web-{number:06}/renew"), Bytes::new())
}

fn look_up(service: usize) -> Request {
    ("GET", format!("/registry/instances?namespace=default&service=service-{service:05}"), Bytes::new())
}

async fn series(
    plane: &ControlPlane,
    url: &str,
    range: std::ops::Range<usize>,
    clients: usize,
    request: impl Fn(usize) -> Request + Send + Sync,
) -> anyhow::Result<Measured> {
    let (next, operations) = (AtomicUsize::new(range.start), range.len());
    let endpoint = Endpoint { server: url.to_owned(), ..Endpoint::default() };
    let connections = (0..clients).map(|_| HttpsTransport::new(&endpoint)).collect::<Result<Vec<_>, _>>()?;
    let (cpu, wall) = (plane.server.cpu()?, Instant::now());
    try_join_all(connections.iter().map(|connection| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= range.end {
                return anyhow::Ok(());
            }
            let (method, path, body) = request(number);
            send(connection, method, &path, body).await?;
        }
    }))
    .await?;
    Ok(Measured { operations, wall: wall.elapsed(), cpu: plane.server.cpu()? - cpu })
}

/// What the same three cost etcd, at the largest number of instances.
async fn peer(etcd: &Etcd, options: &Options) -> anyhow::Result<[f64; 3]> {
    let instances = options.instances.last().copied().context("a number of instances")?;
    let connect = || etcd_client::Client::connect([&etcd.url], None);
    let connections = try_join_all((0..options.clients).map(|_| connect())).await?;
    let value = Arc::new(register(0).2);
    let leases = Arc::new((0..instances).map(|_| std::sync::atomic::AtomicI64::new(0)).collect::<Vec<_>>());
    let key = |number: usize| format!("/services/service-{:05}/web-{number:06}", number / 10);
    let window = (instances / 2).min(options.operations);
    let mut costs = [0.0; 3];
    let steps = [("register", 0..instances - window), ("register", instances - window..instances)];
    let steps = steps.into_iter().chain([("renew", 0..options.operations), ("look up ten", 0..options.operations)]);
    for (index, (what, range)) in steps.enumerate() {
        let (next, operations) = (AtomicUsize::new(range.start), range.len());
        let (cpu, wall) = (etcd.server.cpu()?, Instant::now());
        try_join_all(connections.iter().map(|client| {
            let (mut client, leases, value, next) = (client.clone(), leases.clone(), value.clone(), &next);
            async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= range.end {
                        return anyhow::Ok(());
                    }
                    match what {
                        "register" => {
                            let lease = client.lease_grant(3600, None).await?.id();
                            leases[number].store(lease, Ordering::Relaxed);
                            let options = etcd_client::PutOptions::new().with_lease(lease);
                            client.put(key(number), value.to_vec(), Some(options)).await?;
                        }
                        "renew" => {
                            let lease = leases[number % instances].load(Ordering::Relaxed);
                            let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
                            keeper.keep_alive().await?;
                            answers.message().await?;
                        }
                        _ => {
                            let prefix = format!("/services/service-{:05}/", number % (instances / 10));
                            let options = etcd_client::GetOptions::new().with_prefix();
                            client.get(prefix, Some(options)).await?;
                        }
                    }
                }
            }
        }))
        .await?;
        let measured = Measured { operations, wall: wall.elapsed(), cpu: etcd.server.cpu()? - cpu };
        if index > 0 {
            line(&format!("etcd: {what}, {instances} instances"), &measured);
            costs[index - 1] = measured.cpu_per_operation();
        }
    }
    Ok(costs)
}

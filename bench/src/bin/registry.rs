//! What the registry's own parts cost, without HTTP and without the store: a changed instance on its way
//! into a snapshot, look-ups, renewals, waking those who wait, memory per instance; by the number of
//! instances there are, ten of each service.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use portolan_api::typed::{Object, ServiceInstance};
use portolan_base::Shutdown;
use portolan_bench::process::cpu_of;
use portolan_bench::report::{Measured, figure, line, quantile, slope};
use portolan_catalog::{Catalog, Input, Key, Snapshot};
use portolan_client::testing::FakeServer;
use portolan_client::{Informers, Key as ObjectKey};
use portolan_registrar::{Changes, Registrar};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Measures the registry's parts.
#[derive(Debug, Parser)]
struct Options {
    /// Instances there are in each series.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    instances: Vec<usize>,
    /// Operations per series.
    #[arg(long, default_value_t = 100_000)]
    operations: usize,
    /// Those who wait for the change of one service.
    #[arg(long, default_value_t = 10_000)]
    waiters: usize,
    /// Changes that they wait for.
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Leases that are renewed.
    #[arg(long, default_value_t = 10_000)]
    leases: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        println!("a debug build: these are not figures");
    }
    let (mut updates, mut lookups) = (Vec::new(), Vec::new());
    for &instances in &options.instances {
        let before = resident()?;
        let mut catalog = filled(instances);
        let snapshot = catalog.snapshot();
        let memory = resident()?.saturating_sub(before) as f64 / instances as f64;
        figure(&format!("resident per instance, {instances}"), memory, "bytes", "typed object and view");
        let measured = look_up(&snapshot, instances / 10, options.operations)?;
        line(&format!("look up a service of ten, {instances}"), &measured);
        lookups.push(measured.cpu_per_operation());
        let measured = change(&mut catalog, instances, options.operations / 10)?;
        line(&format!("change an instance, take a snapshot, {instances}"), &measured);
        updates.push(measured.cpu_per_operation());
    }
    slope("look up, ten times the instances", &lookups);
    slope("change, ten times the instances", &updates);
    renew(options.leases, options.operations).await?;
    wake(&options).await
}

fn instance(number: usize, version: usize) -> Arc<ServiceInstance> {
    let object = json!({
        "metadata": {
            "namespace": "default", "name": format!("web-{number:06}"), "uid": format!("uid-{number}"),
            "resourceVersion": (version + 1).to_string(), "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "service": format!("service-{:05}", number / 10), "instanceId": format!("web-{number:06}"),
            "address": "192.0.2.1", "ports": [{"port": 8080, "protocol": "TCP"}], "tags": ["v1", "green"],
            "version": version.to_string(), "weights": {"passing": 1, "warning": 1},
            "lease": {"kind": "ttl", "ttlSeconds": 30}, "origin": "http",
        },
        "status": {"health": "passing", "since": "2026-01-01T00:00:00Z"},
    });
    Arc::new(ServiceInstance::decode(object.to_string().as_bytes()).expect("it fits its kind"))
}

fn filled(instances: usize) -> Catalog {
    let mut catalog = Catalog::new();
    for number in 0..instances {
        catalog.put(Input::Registration(instance(number, 0)));
    }
    catalog
}

fn cpu() -> anyhow::Result<Duration> {
    cpu_of(std::process::id())
}

fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().next().context("no figure")?.parse::<u64>()? * 1024)
}

/// Runs `work` so many times.
fn measure(operations: usize, mut work: impl FnMut(usize)) -> anyhow::Result<Measured> {
    let (before, wall) = (cpu()?, Instant::now());
    (0..operations).for_each(&mut work);
    Ok(Measured { operations, wall: wall.elapsed(), cpu: cpu()? - before })
}

fn look_up(snapshot: &Snapshot, services: usize, operations: usize) -> anyhow::Result<Measured> {
    let names: Vec<String> = (0..services).map(|number| format!("service-{number:05}")).collect();
    measure(operations, |number| {
        let name = &names[number.wrapping_mul(7919) % names.len()];
        let found = snapshot.instances_of("default", name).into_iter().flat_map(|all| all.iter());
        black_box((
            found.filter(|it| it.health.status.as_str() == "passing").count(),
            snapshot.service_index("default", name),
        ));
    })
}

fn change(catalog: &mut Catalog, instances: usize, operations: usize) -> anyhow::Result<Measured> {
    // Objects are decoded by the informer, whose cost is not this one.
    let changed: Vec<_> =
        (0..operations).map(|number| instance(number.wrapping_mul(7919) % instances, number + 1)).collect();
    measure(operations, |number| {
        catalog.put(Input::Registration(changed[number].clone()));
        black_box(catalog.snapshot().index());
    })
}

async fn renew(leases: usize, operations: usize) -> anyhow::Result<()> {
    let api = FakeServer::default();
    let (shutdown, mut tasks) = (Shutdown::default(), JoinSet::new());
    let informers = Informers::new(api.client());
    let registrar = Arc::new(Registrar::new(api.client(), informers.informer()));
    let (running, stopping) = (informers.clone(), shutdown.clone());
    tasks.spawn(async move { running.run(stopping).await });
    let (running, stopping) = (registrar.clone(), shutdown.clone());
    tasks.spawn(async move {
        stopping.run(running.run()).await;
    });
    for number in 0..leases {
        registrar.register(ServiceInstance::clone(&instance(number, 0))).await?;
    }
    let keys: Vec<ObjectKey> =
        (0..leases).map(|number| ObjectKey::new("default", format!("web-{number:06}"))).collect();
    let measured = measure(operations, |number| {
        black_box(registrar.renew(&keys[number.wrapping_mul(7919) % keys.len()]).is_ok());
    })?;
    line(&format!("renew one of {leases} leases"), &measured);
    shutdown.request();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// From the publication of a snapshot to the moment when each waiter of the changed service has read it.
async fn wake(options: &Options) -> anyhow::Result<()> {
    let mut catalog = filled(10_000);
    let (sender, receiver) = watch::channel(catalog.snapshot());
    let (changes, shutdown, mut tasks) = (Changes::new(receiver), Shutdown::default(), JoinSet::new());
    let (running, stopping) = (changes.clone(), shutdown.clone());
    tasks.spawn(async move { running.run(stopping).await });
    let (ready, mut ready_count) = tokio::sync::mpsc::unbounded_channel();
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..options.waiters {
        let (changes, shutdown, ready, seen) = (changes.clone(), shutdown.clone(), ready.clone(), seen.clone());
        tasks.spawn(async move {
            let key = Key::new("default", "service-00000");
            let waiter = changes.of(&key);
            let mut last = 0;
            loop {
                let notified = waiter.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                let index = changes.current().service_index(&key.namespace, &key.name);
                if index != last {
                    last = index;
                    let _ = seen.send(Instant::now());
                    continue;
                }
                let _ = ready.send(());
                if shutdown.run(notified).await.is_none() {
                    return;
                }
            }
        });
    }
    let mut latencies = Vec::new();
    let (mut spent, wall) = (Duration::ZERO, Instant::now());
    for version in 0..options.changes {
        for _ in 0..options.waiters {
            ready_count.recv().await.context("waiters live")?;
        }
        while arrivals.try_recv().is_ok() {}
        catalog.put(Input::Registration(instance(0, 1_000_000 + version)));
        let snapshot = catalog.snapshot();
        let (before, published) = (cpu()?, Instant::now());
        sender.send_replace(snapshot);
        for _ in 0..options.waiters {
            latencies.push(arrivals.recv().await.context("waiters live")? - published);
        }
        spent += cpu()? - before;
    }
    let operations = options.changes * options.waiters;
    line(
        &format!("wake one of {} waiters", options.waiters),
        &Measured { operations, wall: wall.elapsed(), cpu: spent },
    );
    for (name, at) in [("p50", 0.5), ("p99", 0.99), ("last", 1.0)] {
        let latency = quantile(&mut latencies, at).as_secs_f64() * 1e3;
        figure(&format!("change to waiter, {name}"), latency, "ms", "<= 10 ms p99 for 1,000");
    }
    shutdown.request();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

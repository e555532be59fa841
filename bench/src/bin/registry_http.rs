//! The registry as its clients have it, over keep-alive HTTP and in each dialect: registering, renewing, looking up and
//! waiting for a change, by the number of instances there are, ten of each service; beside a server that only reads and
//! writes as much, etcd and ZooKeeper doing what a registry on them does, and r-nacos where it is installed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use futures::future::try_join_all;
use portolan_bench::bare;
use portolan_bench::cluster::ControlPlane;
use portolan_bench::dialects::{Dialect, OF_A_SERVICE, Request};
use portolan_bench::etcd::Etcd;
use portolan_bench::http::Connection;
use portolan_bench::nacos::{self, Nacos};
use portolan_bench::process::{Server, free_port};
use portolan_bench::report::{Measured, figure, line, ratio, slope};
use portolan_bench::waiting::{WAIT, Waited, watch};
use portolan_bench::zookeeper::ZooKeeper;
use serde_json::Value;

/// What is measured of each dialect.
const STEPS: [&str; 3] = ["register", "renew", "look up ten"];

/// What was measured of this registry.
struct Ours {
    /// The costs of each dialect at the largest number of instances.
    costs: Vec<(Dialect, [f64; 3])>,
    /// Of those dialects that have waiting.
    waits: Vec<(Dialect, [f64; 3])>,
    /// How large the first dialect's answers are.
    sizes: [usize; 3],
}

/// Measures the registry over HTTP.
#[derive(Debug, Parser)]
struct Options {
    /// Instances there are in each series.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    instances: Vec<usize>,
    /// Dialects that are measured; all instances are registered through the first one, of the others a window more.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Dialect::Registry, Dialect::Consul, Dialect::Eureka])]
    dialects: Vec<Dialect>,
    /// Operations per series.
    #[arg(long, default_value_t = 20_000)]
    operations: usize,
    /// Clients at the same time, each with a connection.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Clients that wait for the change of one service, each with a connection.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Changes that they wait for.
    #[arg(long, default_value_t = 30)]
    changes: usize,
    /// Leave the peers out.
    #[arg(long)]
    no_peer: bool,
    /// Be the server that only reads and writes, on this port.
    #[arg(long, hide = true)]
    bare: Option<u16>,
    /// Wait for a key before ending, with the process id of the server, for a profiler.
    #[arg(long)]
    hold: bool,
    /// Where the servers keep their files; a folder of a disk, not of memory, for figures.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(port) = options.bare {
        return bare::serve(port).await;
    }
    if cfg!(debug_assertions) {
        println!("a debug build: these are not figures");
    }
    let folder = tempfile::Builder::new().prefix("portolan-bench-").tempdir_in(&options.folder)?;
    let Ours { costs: ours, waits, sizes } = ours(&options, folder.path()).await?;
    let (bare, wait) = bare(&options, folder.path(), sizes).await?;
    compare("the bare server", &ours, bare);
    for (dialect, ours) in waits {
        for ((what, ours), bare) in WAIT.iter().zip(ours).zip(wait) {
            ratio(&format!("{}: {what} / the bare server's", dialect.name()), ours, bare, "less is better");
        }
    }
    if options.no_peer {
        return Ok(());
    }
    let etcd = etcd(&Etcd::start(folder.path()).await?, &options).await?;
    compare("etcd", &ours, etcd);
    let zookeeper = zookeeper(&ZooKeeper::start(folder.path()).await?, &options).await?;
    compare("ZooKeeper", &ours, zookeeper);
    if Nacos::is_installed() {
        let nacos = nacos(&Nacos::start(folder.path()).await?, &options).await?;
        compare("r-nacos", &ours, nacos);
    } else {
        println!("r-nacos is not installed, so it is not compared: cargo install rnacos");
    }
    Ok(())
}

fn compare(peer: &str, ours: &[(Dialect, [f64; 3])], theirs: [f64; 3]) {
    for (dialect, costs) in ours {
        for ((what, ours), theirs) in STEPS.iter().zip(costs).zip(theirs) {
            ratio(&format!("{}: {what} / {peer}'s, CPU", dialect.name()), *ours, theirs, "less is better");
        }
    }
}

/// What the same exchanges cost a server that knows nothing; `sizes` are those of the answers' bodies.
async fn bare(options: &Options, folder: &Path, sizes: [usize; 3]) -> anyhow::Result<([f64; 3], [f64; 3])> {
    let port = free_port()?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let server = Server::start(command.args(["--bare", &port.to_string()]), &folder.join("bare.log"))?;
    let url = format!("http://127.0.0.1:{port}");
    let started = Instant::now();
    while Connection::open(&url).await.is_err() {
        ensure!(started.elapsed() < Duration::from_secs(10), "the bare server did not come up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut costs = [0.0; 3];
    for ((cost, what), size) in costs.iter_mut().zip(STEPS).zip(sizes) {
        let request = |_| ("GET", bare::path(size), String::new());
        let measured = series(&server, &url, 0..options.operations, options.clients, &request).await?;
        line(&format!("bare: {size} bytes, as {what}"), &measured);
        *cost = measured.cpu_per_operation();
    }
    let waiters = (options.watchers, options.changes);
    let wait = watch(&server, &url, Waited::Bare(sizes[2]), waiters).await?;
    Ok((costs, wait.context("the bare server has waiting")?))
}

/// Measures the registry.
async fn ours(options: &Options, folder: &Path) -> anyhow::Result<Ours> {
    let any = "127.0.0.1:0";
    let flags = ["--consul-listen", any, "--eureka-listen", any, "--registry-limits", "off"];
    let plane = ControlPlane::start_with(folder, &flags).await?;
    let place = place(folder).await?;
    let url = |dialect: Dialect| {
        let url = place["dialects"][dialect.name()].as_str();
        url.map(str::to_owned).with_context(|| format!("{} is not served", dialect.name()))
    };
    println!("server: pid {}", plane.server.pid());
    let idle = plane.server.resident()?;
    let mut costs = vec![[const { Vec::new() }; 3]; options.dialects.len()];
    let mut present = 0;
    let mut present_others = 0;
    for &instances in &options.instances {
        for (at, (dialect, costs)) in options.dialects.iter().zip(&mut costs).enumerate() {
            let url = url(*dialect)?;
            let ask = async |range, request: &(dyn Fn(usize) -> Request + Sync)| {
                series(&plane.server, &url, range, options.clients, request).await
            };
            // The first dialect fills the registry; the others add as much as is measured.
            let window = (instances / 2).min(options.operations);
            let range = if at == 0 {
                ask(present..instances - window, &|number| dialect.register(number, 0)).await?;
                instances - window..instances
            } else {
                let window = window.min(2000);
                present_others..present_others + window
            };
            let known = range.end;
            let registered = ask(range, &|number| dialect.register(number, 0)).await?;
            if at == 0 {
                let grown = plane.server.resident()?.saturating_sub(idle) as f64 / instances as f64;
                figure(&format!("resident per instance, {instances}"), grown, "bytes", "target <= 1000, all in all");
            }
            let renewed = ask(0..options.operations, &|number| dialect.renew(number % known)).await?;
            // Neighbours in the order of questions are neighbours nowhere else.
            let wanted = |number: usize| number.wrapping_mul(7919) % (known / OF_A_SERVICE) * OF_A_SERVICE;
            let found = ask(0..options.operations, &|number| dialect.look_up(wanted(number))).await?;
            for ((what, measured), costs) in STEPS.iter().zip([registered, renewed, found]).zip(costs) {
                line(&format!("{}: {what}, {instances} instances", dialect.name()), &measured);
                costs.push(measured.cpu_per_operation());
            }
        }
        present = instances;
        present_others += (instances / 2).min(options.operations).min(2000);
        let memory = plane.server.resident()?.saturating_sub(idle) as f64 / 1e6;
        figure(&format!("resident above idle, {instances} and others"), memory, "MB", "");
    }
    for (dialect, costs) in options.dialects.iter().zip(&costs) {
        for (what, costs) in STEPS.iter().zip(costs) {
            slope(&format!("{}: {what}, ten times the instances", dialect.name()), costs);
        }
    }
    let (mut waits, waiters) = (Vec::new(), (options.watchers, options.changes));
    for dialect in &options.dialects {
        if let Some(wait) = watch(&plane.server, &url(*dialect)?, Waited::Ours(*dialect), waiters).await? {
            waits.push((*dialect, wait));
        }
    }
    if options.hold {
        println!("press Enter");
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    }
    let first = options.dialects.first().copied().context("a dialect")?;
    let mut connection = Connection::open(&url(first)?).await?;
    let mut sizes = [0; 3];
    for (size, (method, path, body)) in sizes.iter_mut().zip([first.register(0, 0), first.renew(0), first.look_up(0)]) {
        *size = connection.succeed(method, &path, body.as_bytes()).await?.body.len();
    }
    let last = |costs: &[Vec<f64>; 3]| costs.each_ref().map(|costs| costs.last().copied().unwrap_or(f64::NAN));
    let costs = options.dialects.iter().copied().zip(costs.iter().map(last)).collect();
    Ok(Ours { costs, waits, sizes })
}

/// The server writes where it is once it serves.
async fn place(folder: &Path) -> anyhow::Result<Value> {
    let (path, started) = (folder.join("data/place.json"), Instant::now());
    loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            return Ok(serde_json::from_str(&text)?);
        }
        ensure!(started.elapsed() < Duration::from_secs(30), "the registry did not come up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks one request for each number of a range, of so many clients.
async fn series(
    server: &Server,
    url: &str,
    range: std::ops::Range<usize>,
    clients: usize,
    request: &(dyn Fn(usize) -> Request + Sync),
) -> anyhow::Result<Measured> {
    let (next, operations) = (AtomicUsize::new(range.start), range.len());
    let connections = try_join_all((0..clients).map(|_| Connection::open(url))).await?;
    let work = connections.into_iter().map(|mut connection| {
        let next = &next;
        async move {
            while let Some(number) = turn(next, range.end) {
                let (method, path, body) = request(number);
                connection.succeed(method, &path, body.as_bytes()).await?;
            }
            anyhow::Ok(())
        }
    });
    server.measure(operations, try_join_all(work)).await
}

/// What the same cost etcd, at the largest number of instances: a key with a lease of its own, a keep-alive of the lease,
/// a range of ten keys.
async fn etcd(etcd: &Etcd, options: &Options) -> anyhow::Result<[f64; 3]> {
    let instances = options.instances.last().copied().context("a number of instances")?;
    let connect = || etcd_client::Client::connect([&etcd.url], None);
    let clients = try_join_all((0..options.clients).map(|_| connect())).await?;
    let value = Dialect::Registry.register(0, 0).2;
    let leases: Vec<AtomicI64> = (0..instances).map(|_| AtomicI64::new(0)).collect();
    let key = |number: usize| format!("/services/service-{:05}/web-{number:06}", number / OF_A_SERVICE);
    let window = (instances / 2).min(options.operations);
    let idle = etcd.server.resident()?;
    let mut costs = [0.0; 3];
    for range in [0..instances - window, instances - window..instances] {
        let (next, end) = (&AtomicUsize::new(range.start), range.end);
        let work = clients.iter().map(|client| {
            let (mut client, leases, value) = (client.clone(), &leases, &value);
            async move {
                while let Some(number) = turn(next, end) {
                    let lease = client.lease_grant(3600, None).await?.id();
                    leases[number].store(lease, Ordering::Relaxed);
                    let options = etcd_client::PutOptions::new().with_lease(lease);
                    client.put(key(number), value.as_bytes().to_vec(), Some(options)).await?;
                }
                anyhow::Ok(())
            }
        });
        let measured = etcd.server.measure(range.len(), try_join_all(work)).await?;
        costs[0] = measured.cpu_per_operation();
        if end == instances {
            line(&format!("etcd: {}, {instances} instances", STEPS[0]), &measured);
        }
    }
    let grown = etcd.server.resident()?.saturating_sub(idle) as f64 / instances as f64;
    figure("etcd: resident per instance", grown, "bytes", "");

    // Streams of keep-alives stay open, as those of registered processes do.
    let (each, leases) = (20, &leases);
    let keepers = try_join_all(clients.iter().enumerate().map(|(at, client)| async move {
        let mut keepers = Vec::new();
        for number in at * each..(at + 1) * each {
            let lease = leases[number % instances].load(Ordering::Relaxed);
            keepers.push(client.clone().lease_keep_alive(lease).await?);
        }
        anyhow::Ok(keepers)
    }));
    let (mut keepers, next, end) = (keepers.await?, &AtomicUsize::new(0), options.operations);
    let work = keepers.iter_mut().map(|keepers| async move {
        while let Some(number) = turn(next, end) {
            let (keeper, answers) = &mut keepers[number % each];
            keeper.keep_alive().await?;
            answers.message().await?;
        }
        anyhow::Ok(())
    });
    let measured = etcd.server.measure(end, try_join_all(work)).await?;
    line(&format!("etcd: {}, {instances} instances", STEPS[1]), &measured);
    costs[1] = measured.cpu_per_operation();
    drop(keepers);

    let next = &AtomicUsize::new(0);
    let work = clients.iter().map(|client| {
        let mut client = client.clone();
        async move {
            while let Some(number) = turn(next, end) {
                let service = number.wrapping_mul(7919) % (instances / OF_A_SERVICE);
                let options = etcd_client::GetOptions::new().with_prefix();
                client.get(format!("/services/service-{service:05}/"), Some(options)).await?;
            }
            anyhow::Ok(())
        }
    });
    let measured = etcd.server.measure(end, try_join_all(work)).await?;
    line(&format!("etcd: {}, {instances} instances", STEPS[2]), &measured);
    costs[2] = measured.cpu_per_operation();
    Ok(costs)
}

/// What the same cost r-nacos over HTTP, at the largest number of instances: an ephemeral instance, its beat, the list of
/// the instances of a service.
async fn nacos(nacos: &Nacos, options: &Options) -> anyhow::Result<[f64; 3]> {
    let instances = options.instances.last().copied().context("a number of instances")?;
    let window = (instances / 2).min(options.operations);
    let idle = nacos.server.resident()?;
    let ask = async |range, request: &(dyn Fn(usize) -> Request + Sync)| {
        series(&nacos.server, &nacos.url, range, options.clients, request).await
    };
    ask(0..instances - window, &nacos::register).await?;
    let registered = ask(instances - window..instances, &nacos::register).await?;
    let grown = nacos.server.resident()?.saturating_sub(idle) as f64 / instances as f64;
    figure("r-nacos: resident per instance", grown, "bytes", "in memory only");
    let renewed = ask(0..options.operations, &|number| nacos::renew(number % instances)).await?;
    let wanted = |number: usize| number.wrapping_mul(7919) % (instances / OF_A_SERVICE) * OF_A_SERVICE;
    let found = ask(0..options.operations, &|number| nacos::look_up(wanted(number))).await?;
    let measured = [registered, renewed, found];
    for (what, measured) in STEPS.iter().zip(&measured) {
        line(&format!("r-nacos: {what}, {instances} instances"), measured);
    }
    Ok(measured.map(|measured| measured.cpu_per_operation()))
}

/// The next number of those below `end`.
fn turn(next: &AtomicUsize, end: usize) -> Option<usize> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    (number < end).then_some(number)
}

/// What the same cost ZooKeeper: a node that goes with its session, a ping of the session, the names of ten nodes and the
/// data of each.
async fn zookeeper(zookeeper: &ZooKeeper, options: &Options) -> anyhow::Result<[f64; 3]> {
    let instances = options.instances.last().copied().context("a number of instances")?;
    let mut sessions = try_join_all((0..options.clients).map(|_| zookeeper.connect())).await?;
    let value = Dialect::Registry.register(0, 0).2;
    let service = |number: usize| format!("/services/service-{:05}", number / OF_A_SERVICE);
    sessions[0].create("/services", b"").await?;
    let window = (instances / 2).min(options.operations);
    let steps = [
        ("service", 0..instances / OF_A_SERVICE),
        ("register", 0..instances - window),
        ("register", instances - window..instances),
        (STEPS[1], 0..options.operations),
        (STEPS[2], 0..options.operations),
    ];
    let mut costs = [0.0; 3];
    for (index, (what, range)) in steps.into_iter().enumerate() {
        let (next, operations) = (AtomicUsize::new(range.start), range.len());
        let work = sessions.iter_mut().map(|session| {
            let (next, value, end) = (&next, &value, range.end);
            async move {
                while let Some(number) = turn(next, end) {
                    match what {
                        "service" => session.create(&service(number * OF_A_SERVICE), b"").await?,
                        "register" => {
                            let path = format!("{}/web-{number:06}", service(number));
                            session.create_ephemeral(&path, value.as_bytes()).await?;
                        }
                        "renew" => session.ping().await?,
                        _ => {
                            let path = service(number.wrapping_mul(7919) % instances);
                            for name in session.children(&path).await? {
                                session.data(&format!("{path}/{name}")).await?;
                            }
                        }
                    }
                }
                anyhow::Ok(())
            }
        });
        let measured = zookeeper.server.measure(operations, try_join_all(work)).await?;
        if index > 1 {
            line(&format!("ZooKeeper: {what}, {instances} instances"), &measured);
            costs[index - 2] = measured.cpu_per_operation();
        }
    }
    Ok(costs)
}

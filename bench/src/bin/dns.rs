//! Look-ups of names of services over UDP, beside Knot, NSD and Unbound with the same names and answers: CPU of the
//! server's processes for each query, in rounds that take turns, by the number of instances there are, ten of each service.
//!
//! The server is a process of its own that has nothing but the name server and a catalog; dnsperf asks both.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use portolan_api::typed::{Object, ServiceInstance};
use portolan_base::Shutdown;
use portolan_bench::name_servers::{Maker, NameServer};
use portolan_bench::process::Server;
use portolan_bench::report::{Measured, line, pairs, slope};
use portolan_catalog::{Catalog, Input};
use portolan_dns::{Config, Forwarder, Listener, Sockets, Upstreams, Zone, serve};
use serde_json::json;
use tokio::sync::watch;

const DOMAIN: &str = "cluster.local";

/// Measures the name server.
#[derive(Debug, Parser)]
struct Options {
    /// Instances there are in each series.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    instances: Vec<usize>,
    /// Instances of each service: as many addresses are in an answer.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10])]
    addresses: Vec<usize>,
    /// Seconds of each series.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Pairs of series, ours and the peer's in turns.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// How many other services change per second meanwhile.
    #[arg(long, default_value_t = 0)]
    changes: u64,
    /// Peers, each measured after ours in every pair.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Maker::Knot, Maker::Nsd, Maker::Unbound])]
    peers: Vec<Maker>,
    /// Leave the peers out.
    #[arg(long)]
    no_peer: bool,
    /// Serve so many instances of so many each, and tell the port: what the bench starts.
    #[arg(long, hide = true, num_args = 3)]
    serve: Option<Vec<usize>>,
    /// Where files are kept.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some([instances, of_each, changes]) = options.serve.as_deref() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        return runtime.block_on(name_server(*instances, *of_each, *changes as u64));
    }
    if cfg!(debug_assertions) {
        println!("a debug build: these are not figures");
    }
    let folder = tempfile::Builder::new().prefix("portolan-bench-").tempdir_in(&options.folder)?;
    for &of_each in &options.addresses {
        let mut costs = Vec::new();
        for &instances in &options.instances {
            let questions = folder.path().join("questions");
            std::fs::write(&questions, questions_about(instances / of_each))?;
            let (server, port) = start_ours(instances, of_each, options.changes)?;
            let mut peers = Vec::new();
            for &maker in options.peers.iter().filter(|_| !options.no_peer) {
                peers.push((maker, start_peer(maker, folder.path(), instances, of_each)?, Vec::new()));
            }
            let mut least = f64::INFINITY;
            for _ in 0..options.pairs {
                let ours = ask(&server, port, &questions, options.seconds)?;
                line(&format!("{of_each} addresses, {instances} instances"), &ours);
                least = least.min(ours.cpu_per_operation());
                for (maker, peer, ratios) in &mut peers {
                    let theirs = ask(&peer.server, peer.port, &questions, options.seconds)?;
                    line(&format!("{}: {of_each} addresses, {instances} instances", maker.name()), &theirs);
                    ratios.push(ours.cpu_per_operation() / theirs.cpu_per_operation());
                }
            }
            costs.push(least);
            for (maker, _, ratios) in &mut peers {
                let target = if *maker == Maker::Knot { "0.7 to 1.3" } else { "less is better" };
                pairs(&format!("A look-up / {}'s, CPU", maker.name()), ratios, target);
            }
        }
        slope("A look-up, ten times the instances", &costs);
    }
    Ok(())
}

/// Names in an order in which neighbours are neighbours nowhere else.
fn questions_about(services: usize) -> String {
    let mut questions = String::new();
    for number in 0..services.min(10_000) {
        let service = number.wrapping_mul(7919) % services;
        let _ = writeln!(questions, "service-{service:06}.default.svc.{DOMAIN} A");
    }
    questions
}

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255)
}

/// Starts this program again as a name server.
fn start_ours(instances: usize, of_each: usize, changes: u64) -> anyhow::Result<(Server, u16)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve").args([instances.to_string(), of_each.to_string(), changes.to_string()]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    Ok((Server::of(child), line.trim().parse().with_context(|| format!("a port, not {line:?}"))?))
}

async fn name_server(instances: usize, of_each: usize, changes: u64) -> anyhow::Result<()> {
    let mut catalog = Catalog::new();
    for number in 0..instances {
        catalog.put(Input::Registration(instance(number, number / of_each, 1)?));
    }
    let (sender, snapshots) = watch::channel(catalog.snapshot());
    let zone = Zone::new(DOMAIN).context("a domain")?;
    let sockets = Sockets::bind("127.0.0.1:0".parse()?)?;
    println!("{}", sockets.address()?.port());
    let forwarder = Arc::new(Forwarder::new(Upstreams::Servers(Vec::new()), Vec::new()));
    let shutdown = Shutdown::default();
    let config = Config { zone, forwarder, recursion: Arc::new(|_| false) };
    let serving = serve(config, vec![Listener::new(sockets)?], snapshots, shutdown);
    let changing = async {
        for version in 2_usize.. {
            match changes.checked_sub(1) {
                Some(_) => tokio::time::sleep(Duration::from_secs(1) / u32::try_from(changes)?).await,
                None => std::future::pending().await,
            }
            let number = version.wrapping_mul(104_729) % instances;
            catalog.put(Input::Registration(instance(number, number / of_each, version)?));
            sender.send_replace(catalog.snapshot());
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = serving => Ok(()),
        ended = changing => ended,
    }
}

fn instance(number: usize, service: usize, version: usize) -> anyhow::Result<Arc<ServiceInstance>> {
    let object = json!({
        "metadata": {"namespace": "default", "name": format!("web-{number:06}"), "resourceVersion": version.to_string()},
        "spec": {
            "service": format!("service-{service:06}"), "address": address(number),
            "ports": [{"port": 8080, "protocol": "TCP"}], "version": version.to_string(),
        },
        "status": {"health": "passing"},
    });
    Ok(Arc::new(ServiceInstance::decode(object.to_string().as_bytes())?))
}

/// Asks for so many seconds and returns what that cost the server.
fn ask(server: &Server, port: u16, questions: &Path, seconds: u64) -> anyhow::Result<Measured> {
    // A part to warm up, which is not counted.
    run_dnsperf(port, questions, 1)?;
    let (cpu, wall) = (server.cpu_of_all()?, Instant::now());
    let operations = run_dnsperf(port, questions, seconds)?;
    Ok(Measured { operations, wall: wall.elapsed(), cpu: server.cpu_of_all()? - cpu })
}

fn run_dnsperf(port: u16, questions: &Path, seconds: u64) -> anyhow::Result<usize> {
    let mut command = Command::new("dnsperf");
    command.args(["-s", "127.0.0.1", "-p", &port.to_string(), "-l", &seconds.to_string(), "-c", "4", "-q", "64", "-d"]);
    let output = command.arg(questions).output().context("apt-get install dnsperf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let completed = text.lines().find_map(|line| line.trim().strip_prefix("Queries completed:"));
    let completed = completed.and_then(|rest| rest.split_whitespace().next()).context("a report of dnsperf")?;
    ensure!(text.contains("NOERROR"), "no name was found: {text}");
    Ok(completed.parse()?)
}

/// Starts a peer with the same names and addresses, and waits until it answers.
fn start_peer(maker: Maker, folder: &Path, instances: usize, of_each: usize) -> anyhow::Result<NameServer> {
    let name = |number: usize| format!("service-{:06}.default.svc", number / of_each);
    let peer = maker.start(folder, DOMAIN, (0..instances).map(|number| (name(number), address(number))))?;
    let started = Instant::now();
    while run_dnsperf(peer.port, &folder.join("questions"), 1).is_err() {
        ensure!(started.elapsed() < Duration::from_secs(60), "{} did not come up", maker.name());
    }
    Ok(peer)
}

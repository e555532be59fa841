//! One service changed among many: the time from the catalog to the kernel's rules, against nft
//! writing all the same rules anew.
//!
//! Needs root: it works in a network namespace of its own.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_bench::report::{figure, pairs, quantile, slope};
use portolan_catalog::{Catalog, Input};
use portolan_network::Config;
use portolan_network::apply::Rules;
use portolan_network::plan::{Batch, Planner, text};
use serde_json::json;

/// Measures changes of service rules.
#[derive(Debug, Parser)]
struct Options {
    /// Services, one series each.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000])]
    services: Vec<usize>,
    /// Changes per series.
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Full rewrites per series.
    #[arg(long, default_value_t = 5)]
    rewrites: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Sockets opened and programs started by this thread work in its namespace.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).context("make a network namespace; needs root")?;
    let mut costs = Vec::new();
    for &count in &options.services {
        costs.push(measure(count, &options)?);
    }
    slope("change one service, more services", &costs);
    Ok(())
}

/// Returns the median of the changes, in milliseconds.
fn measure(count: usize, options: &Options) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let config = Config::new("n1", folder.path());
    let mut planner = Planner::new(config.clone());
    let mut rules = Rules::open(config.clone())?;
    let mut catalog = Catalog::new();
    for index in 0..count {
        catalog.put(Input::Service(service(index)?));
        catalog.put(Input::EndpointSlice(endpoints(index, 0)?));
    }
    rules.apply(&planner.replace(&catalog.snapshot()))?;
    let (mut changes, mut planned, mut wholes, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rewrites {
        let mut here = Vec::new();
        for step in 0..options.changes.div_ceil(options.rewrites) {
            let index = (round * 7919 + step * 104_729) % count;
            let slice = endpoints(index, round * 100 + step)?;
            let started = Instant::now();
            catalog.put(Input::EndpointSlice(slice));
            let batch = planner.update(&catalog.snapshot());
            planned.push(started.elapsed());
            rules.apply(&batch)?;
            here.push(started.elapsed());
        }
        let whole = planner.replace(&catalog.snapshot());
        let started = Instant::now();
        nft(&text::of(&whole, &config))?;
        ratios.push(started.elapsed().as_secs_f64() / quantile(&mut here, 0.5).as_secs_f64());
        changes.append(&mut here);
        // Ours again: changes build on what this process made.
        let started = Instant::now();
        rules.apply(&whole)?;
        wholes.push(started.elapsed());
    }
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let median = milliseconds(quantile(&mut changes, 0.5));
    figure(&format!("change 1 of {count} services, p50"), median, "ms", "target <= 5, flat");
    figure("  fastest", milliseconds(quantile(&mut changes, 0.0)), "ms", "");
    figure("  p99", milliseconds(quantile(&mut changes, 0.99)), "ms", "");
    let planning = milliseconds(quantile(&mut planned, 0.5));
    figure("  of this in our own code", planning, "ms", "the rest is the kernel's part");
    figure("  all rules anew, p50", milliseconds(quantile(&mut wholes, 0.5)), "ms", "one transaction");
    pairs("  full rewrite by nft / change", &mut ratios, "-");
    rules.apply(&Batch::removal())?;
    Ok(median)
}

/// The peer: nft with the same rules as text.
fn nft(text: &str) -> anyhow::Result<()> {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().context("start nft")?;
    nft.stdin.take().context("its input is piped")?.write_all(text.as_bytes())?;
    anyhow::ensure!(nft.wait()?.success(), "nft refuses the rules");
    Ok(())
}

fn service(index: usize) -> anyhow::Result<Arc<Service>> {
    let object = json!({
        "metadata": {"namespace": "default", "name": format!("s{index}")},
        "spec": {
            "clusterIP": format!("10.43.{}.{}", 1 + index / 250, 1 + index % 250),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    });
    Ok(Arc::new(Service::decode(object.to_string().as_bytes())?))
}

/// Two endpoints, other ones in every round.
fn endpoints(index: usize, round: usize) -> anyhow::Result<Arc<EndpointSlice>> {
    let address = |number: usize| format!("10.42.{}.{}", number / 250 % 250, 2 + number % 250);
    let endpoint = |number| json!({"addresses": [address(number)], "conditions": {"ready": true}, "nodeName": "n1"});
    let object = json!({
        "metadata": {
            "namespace": "default", "name": format!("s{index}"),
            "labels": {"kubernetes.io/service-name": format!("s{index}")},
        },
        "addressType": "IPv4",
        "endpoints": [endpoint(2 * index + round), endpoint(2 * index + round + 1)],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    });
    Ok(Arc::new(EndpointSlice::decode(object.to_string().as_bytes())?))
}

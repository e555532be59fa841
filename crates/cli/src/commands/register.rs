//! `portolan register`: a service instance for as long as the command runs.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use super::registry_http::{Registry, instance_path};
use crate::Common;
use crate::output::print_line;

/// Arguments of `register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan register billing --address 192.0.2.7 --port 8080
  portolan register billing --port 8080 --tag v2 --metadata owner=finance --ttl 15")]
pub struct Arguments {
    /// The service that the instance belongs to.
    service: String,
    /// Name of the instance [default: SERVICE-PORT].
    #[arg(long)]
    id: Option<String>,
    /// Address of the instance.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port of the instance.
    #[arg(long)]
    port: u16,
    /// Tags.
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Metadata, `KEY=VALUE`.
    #[arg(long)]
    metadata: Vec<String>,
    /// Seconds after which the instance is gone if it is not renewed.
    #[arg(long, default_value_t = 30)]
    ttl: u64,
    /// Register, print the instance and return; the lease ends unless somebody renews it.
    #[arg(long)]
    once: bool,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let mut metadata = serde_json::Map::new();
    for pair in &arguments.metadata {
        let Some((key, value)) = pair.split_once('=') else { bail!("--metadata {pair:?}: write KEY=VALUE") };
        metadata.insert(key.to_owned(), Value::from(value));
    }
    let namespace = common.namespace.as_deref().unwrap_or("default");
    let id = arguments.id.unwrap_or_else(|| format!("{}-{}", arguments.service, arguments.port));
    let registry = Registry::connect(common, arguments.url)?;
    let instance = json!({
        "namespace": namespace, "service": arguments.service, "id": id, "address": arguments.address,
        "port": arguments.port, "tags": arguments.tags, "metadata": metadata, "ttlSeconds": arguments.ttl,
    });
    registry.json(Method::POST, "/instances", Some(&instance)).await.context("register")?;
    print_line(&format!("{namespace}/{id} registered as an instance of {}", arguments.service));
    if arguments.once {
        return Ok(());
    }
    let path = instance_path(namespace, &id);
    // Three renewals per lease: one may get lost without the instance going away.
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(arguments.ttl as f64 / 3.0));
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = registry.json(Method::PUT, &format!("{path}/renew"), None).await {
                    // The registry may have forgotten us while it was away: register again.
                    eprintln!("renew: {error:#}; registering again");
                    if let Err(error) = registry.json(Method::POST, "/instances", Some(&instance)).await {
                        eprintln!("register: {error:#}; trying again at the next renewal");
                    }
                }
            }
            _ = tokio::signal::ctrl_c() => break,
            _ = stop.recv() => break,
        }
    }
    registry.json(Method::DELETE, &path, None).await.context("deregister")?;
    print_line(&format!("{namespace}/{id} deregistered"));
    Ok(())
}

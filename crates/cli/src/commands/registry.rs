//! `portolan registry`

use http::Method;
use serde_json::Value;

pub(crate) mod health;
pub(crate) mod kv;
pub(crate) mod services;

use super::registry_http::Registry;
use crate::output::{self, Format, cell, table};
use crate::{Common, Scoped};

/// Looks into the registry.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List instances: pods behind services, and what registered itself.
    #[command(
        visible_alias = "instances",
        after_help = "\
Examples:
  portolan registry ls
  portolan registry ls --service cart -n shop -o json"
    )]
    Ls(Scoped<Arguments>),
    /// List services with the state of their instances.
    #[command(after_help = "\
Examples:
  portolan registry services
  portolan registry services -n shop -o json")]
    Services(Scoped<services::Arguments>),
    /// Say how each instance of a service does, and why.
    #[command(after_help = "\
Examples:
  portolan registry health cart
  portolan registry health cart -n shop -o json")]
    Health(Scoped<health::Arguments>),
    /// Register a service instance, and keep it registered until interrupted.
    Register(Scoped<super::register::Arguments>),
    /// End a registration.
    #[command(after_help = "\
Examples:
  portolan registry deregister billing-8080
  portolan registry deregister billing-8080 -n shop")]
    Deregister(Scoped<services::DeregisterArguments>),
    /// Follow the changes of the registry.
    Watch(Scoped<super::watch::Arguments>),
    /// Read and write keys, as Consul's clients do.
    #[command(subcommand)]
    Kv(kv::Command),
    /// Copy another registry into this one and follow it until interrupted; nothing is written there.
    #[command(subcommand)]
    Import(Import),
}

/// Which registry to import.
#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// A Consul agent or server.
    #[command(after_help = "\
Examples:
  portolan registry import consul --from http://10.0.0.5:8500
  portolan registry import consul --from http://10.0.0.5:8500 --keys shop/
  portolan registry import consul --from https://consul.example --ca ca.pem --once -n shop")]
    Consul(Scoped<ImportArguments>),
    /// A Eureka server.
    #[command(after_help = "\
Examples:
  portolan registry import eureka --from http://10.0.0.5:8761/eureka
  portolan registry import eureka --from http://user:password@10.0.0.5:8761/eureka --interval 30")]
    Eureka(Scoped<ImportArguments>),
}

/// Arguments of `registry import`.
#[derive(Debug, clap::Args)]
pub struct ImportArguments {
    /// URL of the registry, as its clients are configured with it.
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// Name of this import, in the labels of what it makes [default: host and port of the URL].
    #[arg(long)]
    pub name: Option<String>,
    /// Token for Consul.
    #[arg(long, env = "CONSUL_HTTP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Certificates that the registry's certificate must chain to, PEM; needed for https.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<std::path::PathBuf>,
    /// Seconds between questions to a Eureka server.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval: u64,
    /// Copy the keys of a Consul too, those that begin so.
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = "")]
    pub keys: Option<String>,
    /// Copy once and end.
    #[arg(long)]
    pub once: bool,
}

/// Arguments of `registry ls`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only instances of this service.
    #[arg(long)]
    service: Option<String>,
    /// Only instances in this state: passing, warning or critical.
    #[arg(long)]
    health: Option<String>,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

/// Runs a command of the registry but for an import, whose engine is not part of this crate.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ls(scoped) => list(&scoped.common, scoped.arguments).await,
        Command::Services(scoped) => services::run(&scoped.common, scoped.arguments).await,
        Command::Health(scoped) => health::run(&scoped.common, scoped.arguments).await,
        Command::Register(scoped) => super::register::run(&scoped.common, scoped.arguments).await,
        Command::Deregister(scoped) => services::deregister(&scoped.common, scoped.arguments).await,
        Command::Watch(scoped) => super::watch::run(&scoped.common, scoped.arguments).await,
        Command::Kv(command) => kv::run(command).await,
        Command::Import(_) => anyhow::bail!("this binary has no engine to import with; use `portolan`"),
    }
}

async fn list(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let filters = [("service", &arguments.service), ("health", &arguments.health), ("namespace", &common.namespace)];
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let instances = registry.json(Method::GET, &format!("/instances?{}", query.finish()), None).await?;
    if !output::listed("instance", &instances, arguments.output)? {
        print(&instances);
    }
    Ok(())
}

fn print(instances: &Value) {
    let fields = ["namespace", "service", "name", "address", "port", "health", "origin", "node"];
    let rows = instances.as_array().into_iter().flatten();
    table(fields, rows.map(|instance| fields.map(|field| cell(&instance[field])).to_vec()));
}

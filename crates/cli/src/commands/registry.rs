//! `portolan registry`

use http::Method;
use serde_json::Value;

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

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let filters = [("service", &arguments.service), ("health", &arguments.health), ("namespace", &common.namespace)];
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let instances = registry.json(Method::GET, &format!("/instances?{}", query.finish()), None).await?;
    match arguments.output {
        Some(Format::Json | Format::Yaml) => output::document(&instances, arguments.output.unwrap_or(Format::Json)),
        _ => {
            print(&instances);
            Ok(())
        }
    }
}

fn print(instances: &Value) {
    let fields = ["namespace", "service", "name", "address", "port", "health", "origin", "node"];
    let rows = instances.as_array().into_iter().flatten();
    table(fields, rows.map(|instance| fields.map(|field| cell(&instance[field])).to_vec()));
}

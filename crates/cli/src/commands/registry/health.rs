//! `portolan registry health`

use http::Method;

use crate::Common;
use crate::commands::registry_http::Registry;
use crate::output::{self, Format, cell, table};

/// Arguments of `registry health`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The service.
    service: String,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let namespace = common.namespace.as_deref().unwrap_or("default");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("namespace", namespace).append_pair("service", &arguments.service);
    let instances = registry.json(Method::GET, &format!("/instances?{}", query.finish()), None).await?;
    if output::listed("instance", &instances, arguments.output)? {
        return Ok(());
    }
    let fields = ["name", "address", "port", "health", "since", "reason"];
    let rows: Vec<Vec<String>> = instances
        .as_array()
        .into_iter()
        .flatten()
        .map(|instance| fields.map(|field| cell(&instance[field])).to_vec())
        .collect();
    anyhow::ensure!(!rows.is_empty(), "there is no instance of {} in namespace {namespace}", arguments.service);
    table(fields, rows);
    Ok(())
}

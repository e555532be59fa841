//! `portolan scale`

use bytes::Bytes;
use http::Method;
use serde_json::json;

use super::target;
use crate::Api;
use crate::output::print_line;

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan scale deployment my-deployment --replicas 5
  portolan scale deployment/cart -n shop --replicas 0")]
pub struct Arguments {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true)]
    what: Vec<String>,
    /// How many.
    #[arg(long)]
    replicas: u32,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    for target in target::parse(api, &arguments.what).await? {
        let patch = Bytes::from(json!({"spec": {"replicas": arguments.replicas}}).to_string());
        let path = format!("{}/scale", target.path(api));
        api.send(Method::PATCH, &path, "application/json", Some(("application/merge-patch+json", patch))).await?;
        print_line(&format!("{} scaled", target.display()));
    }
    Ok(())
}

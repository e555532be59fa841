//! `portolan delete`

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};

use super::{manifests, target};
use crate::Api;
use crate::output::print_line;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan delete deployment my-deployment
  portolan delete pod/cart-7d9c pod/cart-x2b1 -n shop
  portolan delete -f shop.yaml")]
pub struct Arguments {
    /// TYPE NAME..., or TYPE/NAME...
    what: Vec<String>,
    /// Objects of these files, folders, or `-` for standard input.
    #[arg(short = 'f', long = "filename", conflicts_with = "what")]
    files: Vec<PathBuf>,
    /// Do not complain about objects that are gone already.
    #[arg(long)]
    ignore_not_found: bool,
    /// Seconds that containers get to stop; 0 removes at once.
    #[arg(long)]
    grace_period: Option<u32>,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    if arguments.files.is_empty() {
        for target in target::parse(api, &arguments.what).await? {
            paths.push((target.path(api), target.display()));
        }
    } else {
        // The other way round than they were made: what is inside a namespace goes before it.
        for object in manifests::read(&arguments.files)?.iter().rev() {
            paths.push(object_path(api, object).await?);
        }
    }
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "gracePeriodSeconds": arguments.grace_period,
    });
    for (path, name) in paths {
        if arguments.ignore_not_found && api.find(&path).await?.is_none() {
            continue;
        }
        api.json(Method::DELETE, &path, Some(&options)).await?;
        print_line(&format!("{name} deleted"));
    }
    Ok(())
}

/// Path and display name of an object from a file.
pub(crate) async fn object_path(api: &Api, object: &Value) -> anyhow::Result<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = api.resource_of(&text(&object["apiVersion"]), &text(&object["kind"])).await?;
    let name = text(&object["metadata"]["name"]);
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(api.namespace());
    Ok((resource.path(namespace, Some(&name)), format!("{}/{name}", resource.display())))
}

//! `portolan apply`: server-side apply of files.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::Method;

use super::{delete, manifests, wait};
use crate::Api;
use crate::api::collect;
use crate::output::print_line;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan apply -f deployment.yaml
  portolan apply -f manifests/ --wait
  cat shop.yaml | portolan apply -f -")]
pub struct Arguments {
    /// Files, folders, or `-` for standard input.
    #[arg(short = 'f', long = "filename", required = true)]
    files: Vec<PathBuf>,
    /// Take over fields that somebody else set to another value.
    #[arg(long)]
    force_conflicts: bool,
    /// Wait until what was applied is available.
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    let objects = manifests::read(&arguments.files)?;
    for object in &objects {
        let (path, name) = delete::object_path(api, object).await?;
        let before = api.find(&path).await?;
        let url = format!("{path}?fieldManager=portolan&force={}&fieldValidation=Strict", arguments.force_conflicts);
        let body = Bytes::from(object.to_string());
        let response = api
            .send(Method::PATCH, &url, "application/json", Some(("application/apply-patch+yaml", body)))
            .await
            .with_context(|| format!("apply {name}"))?;
        let after: serde_json::Value = serde_json::from_slice(&collect(response).await?)?;
        let outcome = match before {
            None => "created",
            Some(before) if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"] => {
                "unchanged"
            }
            Some(_) => "configured",
        };
        print_line(&format!("{name} {outcome}"));
    }
    if arguments.wait {
        wait::until_available(api, &objects, Duration::from_secs(arguments.timeout)).await?;
    }
    Ok(())
}

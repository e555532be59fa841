//! Waiting until workloads are available, with progress.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, stream::FuturesUnordered};
use http::Method;
use http_body_util::BodyExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::delete::object_path;
use crate::Api;

/// Waits until every Deployment among `objects` has all its replicas available.
pub(crate) async fn until_available(api: &Api, objects: &[Value], timeout: Duration) -> anyhow::Result<()> {
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:32} [{bar:24}] {pos}/{len} available {msg}")
        .expect("the template is well-formed")
        .progress_chars("=> ");
    let mut waits = FuturesUnordered::new();
    for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
        let bar =
            bars.add(ProgressBar::new(object["spec"]["replicas"].as_u64().unwrap_or(1)).with_style(style.clone()));
        waits.push(one(api, object, bar));
    }
    let all = async {
        while let Some(result) = waits.next().await {
            result?;
        }
        Ok(())
    };
    match tokio::time::timeout(timeout, all).await {
        Ok(result) => result,
        Err(_) => {
            bail!("not everything is available after {timeout:?}; see `portolan get pods -A` and `portolan explain`")
        }
    }
}

/// Follows one Deployment by a watch.
async fn one(api: &Api, object: &Value, bar: ProgressBar) -> anyhow::Result<()> {
    let (path, name) = object_path(api, object).await?;
    let (collection, last) = path.rsplit_once('/').context("an object's path has a name")?;
    bar.set_prefix(name);
    let url = format!("{collection}?watch=true&fieldSelector=metadata.name%3D{last}");
    let mut body = api.send(Method::GET, &url, "application/json", None).await?.into_body();
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("watch {last}: {error}"))?;
        buffer.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let event: Value = serde_json::from_slice(&buffer[..end])?;
            buffer.drain(..=end);
            if progress(&event["object"], &bar) {
                bar.finish();
                return Ok(());
            }
        }
    }
    bail!("the server ended the watch of {last}")
}

/// Shows how far a Deployment is; whether it is there.
fn progress(deployment: &Value, bar: &ProgressBar) -> bool {
    let status = &deployment["status"];
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let available = status["availableReplicas"].as_u64().unwrap_or(0);
    let updated = status["updatedReplicas"].as_u64().unwrap_or(0);
    bar.set_length(wanted);
    bar.set_position(available.min(updated));
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && available >= wanted
        && updated >= wanted
        && status["replicas"].as_u64().unwrap_or(0) == wanted
}

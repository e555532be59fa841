//! `portolan watch`: the registry's changes as they happen.

use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use super::registry_http::Registry;
use crate::Common;
use crate::output::{cell, print_line};

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan watch
  portolan watch --service cart -n shop -o json")]
pub struct Arguments {
    /// Only changes of this service.
    #[arg(long)]
    service: Option<String>,
    /// One JSON document per line.
    #[arg(short, long, value_parser = ["json"])]
    output: Option<String>,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("service", &arguments.service), ("namespace", &common.namespace)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let mut body = registry.send(Method::GET, &format!("/watch?{}", query.finish()), None).await?.into_body();
    let mut buffer = String::new();
    while let Some(frame) = body.frame().await {
        buffer.push_str(&String::from_utf8_lossy(frame?.data_ref().map(|data| &data[..]).unwrap_or_default()));
        while let Some(end) = buffer.find('\n') {
            let line: String = buffer.drain(..=end).collect();
            if let Some(data) = line.strip_prefix("data:") {
                print(data.trim(), arguments.output.is_some());
            }
        }
    }
    Ok(())
}

/// Prints one server-sent event.
fn print(data: &str, raw: bool) {
    match serde_json::from_str::<Value>(data) {
        Ok(event) if !raw => {
            let instance = &event["instance"];
            let text: Vec<String> = ["namespace", "service", "name", "address", "health", "reason"]
                .map(|field| cell(&instance[field]))
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect();
            print_line(&format!("{:9} {}", cell(&event["type"]), text.join("  ")));
        }
        _ => print_line(data),
    }
}

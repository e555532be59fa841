//! `portolan describe`: an object as people read it, with its events.

use serde_json::Value;

use super::target;
use crate::Api;
use crate::output::{cell, print_line, table};

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan describe pod cart-7d9c -n shop
  portolan describe deployment/cart")]
pub struct Arguments {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    for target in target::parse(api, &arguments.what).await? {
        let mut object = api.get(&target.path(api), "application/json").await?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        print_line(serde_yaml_ng::to_string(&object)?.trim_end());
        print_line("events:");
        print_events(&events(api, &object).await?);
    }
    Ok(())
}

/// The events about an object, oldest first.
pub(crate) async fn events(api: &Api, object: &Value) -> anyhow::Result<Vec<Value>> {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let path = api.resource("events").await?.path(namespace, None);
    let mut list = api.get(&format!("{path}?fieldSelector=involvedObject.uid%3D{uid}"), "application/json").await?;
    let mut events: Vec<Value> = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    events.sort_by(|left, right| left["lastTimestamp"].as_str().cmp(&right["lastTimestamp"].as_str()));
    Ok(events)
}

/// Prints events as a table.
pub(crate) fn print_events(events: &[Value]) {
    if events.is_empty() {
        return print_line("  none");
    }
    let rows = events
        .iter()
        .map(|event| ["lastTimestamp", "type", "reason", "count", "message"].map(|field| cell(&event[field])).to_vec());
    table(["Last seen", "Type", "Reason", "Count", "Message"], rows);
}

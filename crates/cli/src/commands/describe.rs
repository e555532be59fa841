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
    let [uid, name] = ["uid", "name"].map(|field| object["metadata"][field].as_str().unwrap_or_default());
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let path = api.resource("events").await?.path(namespace, None);
    let mut events: Vec<Value> = Vec::new();
    // Agents tell of their nodes by name instead, as kubelet does.
    let agents = (object["kind"] == "Node").then_some(name);
    for uid in agents.into_iter().chain([uid]) {
        let about = format!("{path}?fieldSelector=involvedObject.uid%3D{uid}");
        let mut list = api.get(&about, "application/json").await?;
        events.append(list["items"].as_array_mut().unwrap_or(&mut Vec::new()));
    }
    events.sort_by(|left, right| last_seen(left).cmp(last_seen(right)));
    Ok(events)
}

/// When it was seen last, in either form of events.
fn last_seen(event: &Value) -> &str {
    let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    times.into_iter().find_map(Value::as_str).unwrap_or_default()
}

/// How often it was seen, in either form of events.
pub(crate) fn count(event: &Value) -> u64 {
    event["series"]["count"].as_u64().or(event["count"].as_u64()).unwrap_or(1)
}

/// Prints events as a table.
pub(crate) fn print_events(events: &[Value]) {
    if events.is_empty() {
        return print_line("  none");
    }
    let rows = events.iter().map(|event| {
        let [kind, reason, message] = ["type", "reason", "message"].map(|field| cell(&event[field]));
        vec![last_seen(event).to_owned(), kind, reason, count(event).to_string(), message]
    });
    table(["Last seen", "Type", "Reason", "Count", "Message"], rows);
}

//! What nodes and pods use: `metrics.k8s.io`, which is asked of the agents and never stored.
//!
//! The kinds are described like all others; only where their objects come from differs: from the statistics of
//! the agents whose nodes and pods are asked about, at the time of the question.
//!
//! Source of the forms and texts: `sigs.k8s.io/metrics-server`.

mod ask;
mod objects;

use std::collections::{BTreeSet, HashMap};

use http::Response;
use portolan_api::description::builtin;
use portolan_api::encoded;
use portolan_api::usage::{NodeUsage, PodUsage};
use portolan_store::Entry;
use serde_json::Value;

use crate::body::Body;
use crate::endpoint::Call;
use crate::request::{Info, Target};
use crate::status::Status;

/// The group of measurements.
pub(crate) const GROUP: &str = "metrics.k8s.io";

/// Whether a resource's objects are measurements.
pub(crate) fn is_measured(call: &Call<'_>) -> bool {
    call.resource.group == GROUP
}

/// Answers a question about one object, or about those that are selected.
pub(crate) async fn serve(call: &Call<'_>) -> Result<Response<Body>, Status> {
    // The resources have the names of those that are measured.
    let resource = builtin().resource("", "v1", &call.resource.name).ok_or_else(Status::no_such_path)?;
    let info = Info { group: String::new(), version: "v1".into(), ..call.info.clone() };
    // Pages are for what does not change meanwhile: an answer is complete.
    let query = call.query.only(&["labelSelector", "fieldSelector"]);
    let measured = Call { query: &query, ..call.on(resource, &info) };
    let is_pods = call.resource.name == "pods";
    if call.info.verb == "get" {
        let name = &call.info.name;
        let entry = measured.find(name).await?;
        let object = match &entry {
            Some(entry) if is_pods => of_pods(&measured, &[entry], ask::or_why).await?.pop(),
            Some(entry) => of_nodes(&measured, &[entry], ask::or_why).await?.pop(),
            None => None,
        };
        return match object {
            Some(object) => call.present_measured(object),
            None if is_pods => Err(missing("podmetrics", &format!("{}/{name}", call.info.namespace))),
            None => Err(missing("nodemetrics", name)),
        };
    }
    let entries = measured.selected().await?;
    let entries: Vec<&Entry> = entries.iter().map(|entry| &**entry).collect();
    let objects = match is_pods {
        true => of_pods(&measured, &entries, ask::or_nothing).await?,
        false => of_nodes(&measured, &entries, ask::or_nothing).await?,
    };
    call.present_all_measured(objects)
}

fn missing(resource: &'static str, name: &str) -> Status {
    Status::not_found(&Target { group: GROUP, resource }, name)
}

/// What becomes of an agent that does not answer.
type Failed = fn(&str, Status) -> Result<NodeUsage, Status>;

async fn of_nodes(call: &Call<'_>, entries: &[&Entry], failed: Failed) -> Result<Vec<Value>, Status> {
    let names: BTreeSet<String> = entries.iter().map(|entry| text(entry, &["metadata", "name"])).collect();
    let usages = ask::agents(call.server, names, failed).await?;
    let objects = entries.iter().filter_map(|entry| {
        let usage = usages.get(&text(entry, &["metadata", "name"]))?.node?;
        Some(objects::node(&text(entry, &["metadata", "name"]), labels(entry), &usage, call.now))
    });
    Ok(objects.collect())
}

async fn of_pods(call: &Call<'_>, entries: &[&Entry], failed: Failed) -> Result<Vec<Value>, Status> {
    let mut nodes: BTreeSet<String> = entries.iter().map(|entry| text(entry, &["spec", "nodeName"])).collect();
    nodes.remove("");
    let usages = ask::agents(call.server, nodes, failed).await?;
    let pods: HashMap<&str, &PodUsage> =
        usages.values().flat_map(|usage| &usage.pods).map(|pod| (pod.uid.as_str(), pod)).collect();
    let objects = entries.iter().filter_map(|entry| {
        objects::pod(pods.get(text(entry, &["metadata", "uid"]).as_str())?, labels(entry), call.now)
    });
    Ok(objects.collect())
}

fn text(entry: &Entry, path: &[&str]) -> String {
    encoded::string_at(&entry.value, path).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn labels(entry: &Entry) -> Option<Value> {
    encoded::raw_at(&entry.value, &["metadata", "labels"]).and_then(|labels| serde_json::from_slice(labels).ok())
}

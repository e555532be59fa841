//! `portolan explain`: why an object is in the state it is in.
//!
//! Every decision of the system leaves its reason where this command looks: in conditions, in
//! container states, in events and in the registry. The texts are made by pure functions over what
//! the API says; this file asks.

mod events;
mod instance;
mod mirror;
mod placement;
mod pod;
mod service;
mod status;
mod workload;

use http::Method;
use serde_json::Value;

use super::target::{self, Target};
use super::{describe, registry_http::Registry};
use crate::output::print_line;
use crate::{Api, Common, Scoped};

pub use mirror::{ExplainMirror, MirrorTarget};
pub use placement::{ExplainPlacement, NodeVerdict};

/// How other parts of the cluster judge, so that what is explained is what they do: the wiring passes it in.
#[derive(Debug, Clone, Copy)]
pub struct Judgements {
    /// The scheduler's, of the nodes for a pod.
    pub placement: ExplainPlacement,
    /// That of the controller that mirrors the registry, of what a Service follows.
    pub mirror_target: MirrorTarget,
    /// The same controller's, of the instances of that.
    pub mirror: ExplainMirror,
    /// Kinds of workloads that a controller acts on.
    pub workloads: &'static [&'static str],
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan explain pod cart-7d9c        # why is it pending (node by node), why is it not ready
  portolan explain deployment/cart      # why is the rollout stuck
  portolan explain service cart         # why does it have no endpoints
  portolan explain instance shop/billing-8080   # what the registry knows: health, reason, lease")]
pub struct Arguments {
    /// TYPE NAME..., or TYPE/NAME..., or `instance` NAMESPACE/ID...
    #[arg(required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(scoped: Scoped<Arguments>, judgements: Judgements) -> anyhow::Result<()> {
    if let [first, ids @ ..] = &scoped.arguments.what[..]
        && matches!(first.as_str(), "instance" | "instances")
        && !ids.is_empty()
    {
        let registry = Registry::connect(&scoped.common, None)?;
        for id in ids {
            instance::run(&registry, scoped.common.namespace.as_deref(), id).await?;
        }
        return Ok(());
    }
    let api = scoped.api()?;
    for target in target::parse(&api, &scoped.arguments.what).await? {
        explain(&api, &target, &scoped.common, &judgements).await?;
    }
    Ok(())
}

async fn explain(api: &Api, target: &Target<'_>, common: &Common, judgements: &Judgements) -> anyhow::Result<()> {
    let object = api.get(&target.path(api), "application/json").await?;
    print_line(&format!("{}: {}", target.display(), status::summary(&object)));
    let mut reasons = status::reasons(&object);
    match target.resource.kind.as_str() {
        "Pod" => {
            reasons.extend(pod::hints(&object));
            reasons.extend(published(common, &object).await);
            if pod::is_unscheduled(&object) {
                reasons.extend(placement::reasons(api, &object, judgements.placement).await?);
            }
        }
        "Service" => {
            let pods = match service::selector(&object) {
                Some(selector) => pods(api, &selector).await?,
                None => Vec::new(),
            };
            let mirrored = mirror::reasons(api, &object, judgements).await?;
            // What follows a registered service says more than that it selects nothing.
            if mirrored.is_empty() || service::selector(&object).is_some() {
                reasons.extend(service::reasons(&object, &pods));
            }
            reasons.extend(mirrored);
        }
        _ if workload::is_left_alone(&object, judgements.workloads) => {
            reasons.push(workload::left_alone(&object));
        }
        _ => {
            if let Some(selector) = workload::selector(&object) {
                let sets = selected(api, "replicasets", &selector).await?;
                reasons.extend(workload::reasons(&object, &sets, &pods(api, &selector).await?));
            }
        }
    }
    for reason in reasons {
        print_line(&format!("  - {reason}"));
    }
    let events = events::newest(describe::events(api, &object).await?);
    if !events.shown.is_empty() {
        describe::print_events(&events.shown);
    }
    if events.older > 0 {
        print_line(&format!("and {} older ones: portolan describe {}", events.older, target.display()));
    }
    Ok(())
}

async fn pods(api: &Api, selector: &str) -> anyhow::Result<Vec<Value>> {
    selected(api, "pods", selector).await
}

/// What became of a pod's wish to be in the registry, if it has one.
async fn published(common: &Common, pod: &Value) -> Vec<String> {
    let Some(service) = pod::published_as(pod) else { return Vec::new() };
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("namespace", namespace).append_pair("service", service);
    let listed = match Registry::connect(common, None) {
        Ok(registry) => registry.json(Method::GET, &format!("/instances?{}", query.finish()), None).await,
        Err(error) => Err(error),
    };
    match listed {
        Ok(listed) => vec![pod::published(pod, service, &listed)],
        Err(error) => vec![format!("it is to be in the registry as {service}, which could not be asked: {error:#}")],
    }
}

/// Objects of the namespace with these labels.
async fn selected(api: &Api, resource: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
    let path = api.resource(resource).await?.path(api.namespace(), None);
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("labelSelector", selector).finish();
    let mut list = api.get(&format!("{path}?{query}"), "application/json").await?;
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

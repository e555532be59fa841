//! Which registered service a Service follows, and why nothing of it takes requests.

use anyhow::Context;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_client::Key;
use serde_json::Value;

use super::Judgements;
use crate::Api;

/// The service of the registry that a Service follows, or why it follows none; `None` if it says nothing of that.
pub type MirrorTarget = fn(&Service) -> Option<Result<Key, String>>;

/// The controller's judgement of what a Service follows: one line per fact. It is given the instances of the
/// namespace of that, and the machines that these may be on.
pub type ExplainMirror = fn(&Service, &Key, &[ServiceInstance], &[ExternalNode]) -> Vec<String>;

/// Asks for the instances and machines of now, and judges; nothing is said of a Service that says nothing.
pub(super) async fn reasons(api: &Api, service: &Value, judgements: &Judgements) -> anyhow::Result<Vec<String>> {
    let service = Service::decode(service.to_string().as_bytes()).context("read the Service")?;
    let target = match (judgements.mirror_target)(&service) {
        None => return Ok(Vec::new()),
        Some(Err(why)) => return Ok(vec![why]),
        Some(Ok(target)) => target,
    };
    let client = api.client();
    let instances = client.list::<ServiceInstance>(&target.namespace, &Default::default()).await;
    let instances = instances.context("read the registered instances")?.items;
    let on_machine =
        |instance: &ServiceInstance| instance.spec.service == target.name && !instance.spec.node.is_empty();
    let (mut machines, mut unknown) = (Vec::new(), None);
    if instances.iter().any(on_machine) {
        match client.list::<ExternalNode>("", &Default::default()).await {
            Ok(list) => machines = list.items,
            // Whoever may read a namespace may still not be allowed to read machines, which are in none.
            Err(error) => unknown = Some(format!("what their machines' checks found could not be asked: {error}")),
        }
    }
    let mut reasons = (judgements.mirror)(&service, &target, &instances, &machines);
    reasons.extend(unknown);
    Ok(reasons)
}

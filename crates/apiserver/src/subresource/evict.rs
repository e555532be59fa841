//! `pods/eviction`: a deletion that the disruption budgets of the pod must allow.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go`.

use http::Response;
use portolan_api::description::builtin;
use portolan_api::selector::LabelSelector;
use portolan_api::time;
use portolan_store::{KeyRange, RangeRequest};
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoint::{Call, DeleteOptions, Input, metadata};
use crate::request::{Info, Target};
use crate::status::Status;
use crate::{respond, storage};

const GROUP: &str = "policy";
const RESOURCE: &str = "poddisruptionbudgets";

/// Evictions that their controller has not confirmed; more than these are not noted.
const MOST_UNCONFIRMED: usize = 2000;

/// When a client tries again while a budget is being worked on.
const RETRY_SECONDS: u64 = 10;

const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { mut object, mut warnings } = call.input(body).await?;
    call.track_sent(&mut object)?;
    let dry_run = DeleteOptions::from_value(call, &object["deleteOptions"])?.dry_run;
    let mut attributes = super::changed(call, object, dry_run).await?;
    if metadata::text(&attributes.new, "name") != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    super::validated(&mut attributes, &mut warnings).await?;
    let options = DeleteOptions::from_value(call, &attributes.new["deleteOptions"])?;
    let pod = storage::decode(&*call.entry(&call.info.name).await?)?;
    call.check_preconditions(&options, &pod)?;
    if !goes_anyway(&pod) {
        budget_allows(call, &pod, options.dry_run).await?;
        if !options.dry_run {
            tell_why(call).await?;
        }
    }
    call.delete_object(&options, None).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    let mut response = respond::json(201, &success);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// Whether a pod serves nobody, so that no budget counts it.
fn goes_anyway(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"))
        || pod["metadata"].get("deletionTimestamp").is_some()
}

/// Takes one disruption out of the pod's budget.
async fn budget_allows(call: &Call<'_>, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let range = KeyRange::prefix(storage::prefix(GROUP, RESOURCE, call.namespace()));
    let budgets = call.server.store().range(RangeRequest { range, revision: None, limit: 0 }).await?.entries;
    let mut concerned = Vec::new();
    for entry in &budgets {
        let budget = storage::decode(entry)?;
        let selector = LabelSelector::from_value(&budget["spec"]["selector"]).unwrap_or(LabelSelector::Nothing);
        if selector.matches(|key| pod["metadata"]["labels"].get(key).and_then(Value::as_str)) {
            concerned.push(budget);
        }
    }
    let budget = match concerned.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            let text =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(500, "", text));
        }
    };
    if !is_ready(pod) && unhealthy_may_go(budget) {
        return Ok(());
    }
    let resource = builtin().resource(GROUP, "v1", RESOURCE).ok_or_else(Status::no_such_path)?;
    let info = Info {
        verb: "update",
        group: GROUP.into(),
        version: "v1".into(),
        resource: RESOURCE.into(),
        subresource: "status".into(),
        namespace: call.namespace().into(),
        name: metadata::text(budget, "name").into(),
        ..Info::default()
    };
    let now = time::format(call.now);
    let taken = call
        .on(resource, &info)
        .change(dry_run, &mut Vec::new(), |budget, _| take_one(budget, &call.info.name, &now).map(Into::into))
        .await;
    match taken {
        // The budget was removed meanwhile.
        Err(status) if status.code() == 404 => Ok(()),
        taken => taken.map(drop),
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether a pod that is not ready may go without being counted.
fn unhealthy_may_go(budget: &Value) -> bool {
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0)
}

/// The budget with one disruption fewer.
fn take_one(budget: &Value, pod: &str, now: &str) -> Result<Value, Status> {
    let name = metadata::text(budget, "name");
    let status = &budget["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let target = Target { group: GROUP, resource: "poddisruptionbudget" };
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if number("observedGeneration") < generation {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::too_many_requests(VIOLATES, RETRY_SECONDS).because("DisruptionBudget", &why, ""));
    }
    if number("disruptionsAllowed") < 0 {
        return Err(Status::forbidden(&target, name, "pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MOST_UNCONFIRMED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&target, name, why));
    }
    if number("disruptionsAllowed") == 0 {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut failures = conditions.filter(|it| it["type"] == "DisruptionAllowed" && it["reason"] == "SyncFailed");
        let why = match failures.next() {
            Some(failure) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                failure["message"].as_str().unwrap_or_default()
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("desiredHealthy"),
                number("currentHealthy")
            ),
        };
        return Err(Status::too_many_requests(VIOLATES, 0).because("DisruptionBudget", &why, ""));
    }
    let mut next = budget.clone();
    let left = number("disruptionsAllowed") - 1;
    next["status"]["disruptionsAllowed"] = left.into();
    next["status"]["disruptedPods"][pod] = now.into();
    for condition in next["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if left == 0 && condition["type"] == "DisruptionAllowed" && condition["status"] != "False" {
            condition["status"] = "False".into();
            condition["reason"] = "InsufficientPods".into();
            condition["lastTransitionTime"] = now.into();
        }
    }
    // Only what is newest counts, whatever was read before.
    Ok(next)
}

/// Writes into the pod why it ends.
async fn tell_why(call: &Call<'_>) -> Result<(), Status> {
    let info = Info { verb: "update", subresource: "status".into(), ..call.info.clone() };
    let now = time::format(call.now);
    let outcome = call
        .on(call.resource, &info)
        .change(false, &mut Vec::new(), |pod, _| {
            let mut pod = pod.clone();
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastTransitionTime": now,
                "observedGeneration": pod["metadata"]["generation"],
            });
            if !pod["status"]["conditions"].is_array() {
                pod["status"]["conditions"] = json!([]);
            }
            if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
                conditions.retain(|it| it["type"] != "DisruptionTarget");
                conditions.push(condition);
            }
            Ok(pod.into())
        })
        .await;
    outcome.map(drop)
}

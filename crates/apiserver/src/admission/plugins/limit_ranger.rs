//! Pods and claims get the default limits of their namespace, and must keep within its bounds.

use std::cmp::Ordering;

use portolan_api::encoded;
use portolan_api::quantity::Quantity;
use portolan_api::quota::{self, Amounts};
use portolan_store::{KeyRange, RangeRequest};
use serde_json::{Map, Value, json};

use crate::admission::{Attributes, Operation};
use crate::status::Status;
use crate::storage;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Containers by the list that they stand in, and what they are called.
const CONTAINERS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

pub(super) async fn admit(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if !is_limited(attributes) || !attributes.is_main("", "pods") || !attributes.new["spec"].is_object() {
        return Ok(());
    }
    for range in ranges(attributes).await? {
        give_defaults(&mut attributes.new, &range);
    }
    Ok(())
}

pub(super) async fn validate(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !is_limited(attributes) {
        return Ok(());
    }
    for range in ranges(attributes).await? {
        let problems = if attributes.is("", "pods") {
            pod_problems(&attributes.new, &range)
        } else {
            claim_problems(&attributes.new, &range)
        };
        match problems.as_slice() {
            [] => {}
            [one] => return Err(attributes.forbidden(one)),
            many => return Err(attributes.forbidden(&format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}

fn is_limited(attributes: &Attributes<'_>) -> bool {
    let is_resize = attributes.is("", "pods") && attributes.subresource() == "resize";
    let is_pod = attributes.is_main("", "pods") && attributes.operation == Operation::Create;
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let is_claim = attributes.is_main("", "persistentvolumeclaims") && writes;
    (is_resize || is_pod || is_claim) && attributes.old["metadata"].get("deletionTimestamp").is_none()
}

async fn ranges(attributes: &Attributes<'_>) -> Result<Vec<Value>, Status> {
    let range = KeyRange::prefix(storage::prefix("", "limitranges", attributes.call.namespace()));
    let request = RangeRequest { range, revision: None, limit: 0 };
    let found = attributes.call.server.store().range(request).await?.entries;
    let lasting =
        found.iter().filter(|entry| encoded::string_at(&entry.value, &["metadata", "deletionTimestamp"]).is_none());
    lasting.map(|entry| storage::decode(entry)).collect()
}

fn limits<'a>(range: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    range["spec"]["limits"].as_array().into_iter().flatten().filter(move |limit| limit["type"] == kind)
}

fn give_defaults(pod: &mut Value, range: &Value) {
    let (mut requests, mut most) = (Map::new(), Map::new());
    for limit in limits(range, "Container") {
        requests.extend(limit["defaultRequest"].as_object().cloned().unwrap_or_default());
        most.extend(limit["default"].as_object().cloned().unwrap_or_default());
    }
    let mut notes = Vec::new();
    for (list, what) in CONTAINERS {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            for (field, defaults, word) in [("requests", &requests, "request"), ("limits", &most, "limit")] {
                let added = complete(container, field, defaults);
                if !added.is_empty() {
                    notes.push(format!("{} {word} for {what} {name}", added.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        let metadata = crate::endpoint::metadata::of(pod);
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if annotations.is_null() {
            *annotations = json!({});
        }
        annotations[ANNOTATION] = note.into();
    }
}

/// Adds what a container does not say; returns the names, sorted.
fn complete(container: &mut Value, field: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let mut added = Vec::new();
    for (name, quantity) in defaults {
        if container["resources"][field].get(name).is_none() {
            if !container["resources"].is_object() {
                container["resources"] = json!({});
            }
            if !container["resources"][field].is_object() {
                container["resources"][field] = json!({});
            }
            container["resources"][field][name] = quantity.clone();
            added.push(name.clone());
        }
    }
    added.sort();
    added
}

fn pod_problems(pod: &Value, range: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for limit in limits(range, "Container") {
        for (list, _) in CONTAINERS {
            for container in pod["spec"][list].as_array().into_iter().flatten() {
                let resources = &container["resources"];
                let (requests, most) = (Amounts::read(&resources["requests"]), Amounts::read(&resources["limits"]));
                problems.extend(bounds(limit, "Container", &requests, &most));
            }
        }
    }
    // The overhead of a runtime is not the pod's own choice.
    let mut pod = pod.clone();
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("overhead");
    }
    for limit in limits(range, "Pod") {
        problems.extend(bounds(limit, "Pod", &quota::pod_requests(&pod), &quota::pod_limits(&pod)));
    }
    problems
}

fn bounds(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, least) in Amounts::read(&limit["min"]).iter() {
        let text = format!("minimum {name} usage per {kind} is {least}");
        match (requests.get(name), limits.get(name)) {
            (None, _) => problems.push(format!("{text}.  No request is specified")),
            (Some(request), _) if request < least => problems.push(format!("{text}, but request is {request}")),
            (_, Some(limit)) if limit < least => problems.push(format!("{text}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, most) in Amounts::read(&limit["max"]).iter() {
        let text = format!("maximum {name} usage per {kind} is {most}");
        match (requests.get(name), limits.get(name)) {
            (_, None) => problems.push(format!("{text}.  No limit is specified")),
            (_, Some(limit)) if limit > most => problems.push(format!("{text}, but limit is {limit}")),
            (Some(request), _) if request > most => problems.push(format!("{text}, but request is {request}")),
            _ => {}
        }
    }
    for (name, most) in Amounts::read(&limit["maxLimitRequestRatio"]).iter() {
        let text = format!("{name} max limit to request ratio per {kind} is {most}");
        let set = |amounts: &Amounts| amounts.get(name).filter(|amount| !amount.is_zero());
        match (set(requests), set(limits)) {
            (None, _) => problems.push(format!("{text}, but no request is specified or request is 0")),
            (_, None) => problems.push(format!("{text}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let (exceeded, ratio) = exceeds(limit, request, most);
                if exceeded {
                    problems.push(format!("{text}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
    problems
}

/// Whether a limit is more than so many times the request, and how many times it is.
fn exceeds(limit: Quantity, request: Quantity, most: Quantity) -> (bool, f64) {
    let thousandths =
        |quantity: Quantity| i128::from(if is_large(quantity) { quantity.value() } else { quantity.milli_value() });
    let scale = |quantity: Quantity| if is_large(quantity) { 1000_i128 } else { 1 };
    let (limit, request) = (thousandths(limit) * scale(limit), thousandths(request) * scale(request));
    let exceeded = (limit * 1000).cmp(&(request * i128::from(most.milli_value()))) == Ordering::Greater;
    (exceeded, limit as f64 / request as f64)
}

/// Whether its thousandths are more than a number of 64 bits holds.
fn is_large(quantity: Quantity) -> bool {
    quantity.value() > i64::MAX / 1000
}

fn claim_problems(claim: &Value, range: &Value) -> Vec<String> {
    let requests = Amounts::read(&claim["spec"]["resources"]["requests"]);
    let mut problems = Vec::new();
    let kind = "PersistentVolumeClaim";
    for limit in limits(range, kind) {
        for (field, word, bad) in [("min", "minimum", Ordering::Less), ("max", "maximum", Ordering::Greater)] {
            for (name, bound) in Amounts::read(&limit[field]).iter() {
                let text = format!("{word} {name} usage per {kind} is {bound}");
                match requests.get(name) {
                    None => problems.push(format!("{text}.  No request is specified")),
                    Some(request) if request.cmp(&bound) == bad => {
                        problems.push(format!("{text}, but request is {request}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_given_once_and_noted() {
        let range = json!({"spec": {"limits": [
            {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}},
        ]}});
        let mut pod = json!({"metadata": {}, "spec": {"containers": [
            {"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "1"}}},
        ]}});
        give_defaults(&mut pod, &range);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a"
        );
        let given = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(pod["spec"]["containers"][0]["resources"], given);
    }

    #[test]
    fn bounds_read_as_upstream() {
        let container = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}});
        let cases = [
            (
                json!({"min": {"cpu": "50m"}}),
                json!({}),
                json!({}),
                "minimum cpu usage per Container is 50m.  No request is specified",
            ),
            (
                json!({"min": {"cpu": "50m"}}),
                json!({"cpu": "40m"}),
                json!({}),
                "minimum cpu usage per Container is 50m, but request is 40m",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({"cpu": "1"}),
                json!({}),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({"max": {"memory": "1Gi"}}),
                json!({}),
                json!({"memory": "2Gi"}),
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            ),
            (
                json!({"maxLimitRequestRatio": {"cpu": "2"}}),
                json!({"cpu": "1"}),
                json!({"cpu": "3"}),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
            (json!({"maxLimitRequestRatio": {"cpu": "2"}}), json!({"cpu": "1"}), json!({"cpu": "2"}), ""),
        ];
        for (mut limit, requests, limits, expected) in cases {
            limit["type"] = "Container".into();
            let range = json!({"spec": {"limits": [limit]}});
            assert_eq!(pod_problems(&container(requests, limits), &range).join("; "), expected);
        }
    }
}

//! What pods count for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::amounts::Amounts;
use crate::quantity::{Format, Quantity};
use portolan_base::Timestamp;
use portolan_base::clock::later;

/// Compute resources that have names of their own in quotas.
const COMPUTE: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

/// If a quota names one of these, every container must say how much of it it wants.
const DEMANDED: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// Whether pods can count for something of this name.
pub(super) fn counts(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or(name.strip_prefix("limits.")).unwrap_or(name);
    name == "pods"
        || name == "count/pods"
        || COMPUTE.contains(&plain)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || (name.starts_with("requests.") && plain.contains('/') && !name.contains("storageclass"))
}

/// Adds what a pod counts for, besides being an object.
pub(super) fn charge(usage: &mut Amounts, pod: &Value, now: Timestamp) {
    if has_ended(pod, now) {
        return;
    }
    usage.add("pods", Quantity::from_value(1, Format::DecimalSi));
    usage.add_all(&compute(&requests(pod), &limits(pod)));
}

/// Whether a pod uses nothing any more, or should have gone by now.
fn has_ended(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
        return true;
    }
    let Some(seconds) = pod["metadata"]["deletionGracePeriodSeconds"].as_u64() else { return false };
    // The moment of the deletion contains the grace already; a node that is lost gets as much once more.
    let deadline = pod["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    deadline.is_some_and(|deadline| now > later(deadline, std::time::Duration::from_secs(seconds)))
}

fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::default();
    for (name, quantity) in requests.iter() {
        if COMPUTE.contains(&name) || name.starts_with("hugepages-") {
            usage.add(name, quantity);
            usage.add(&format!("requests.{name}"), quantity);
        } else if name.contains('/') {
            usage.add(&format!("requests.{name}"), quantity);
        }
    }
    for (name, quantity) in limits.iter().filter(|(name, _)| COMPUTE.contains(name)) {
        usage.add(&format!("limits.{name}"), quantity);
    }
    usage
}

/// What a pod asks for: all containers together, or the largest need during initialisation.
pub fn requests(pod: &Value) -> Amounts {
    total(pod, "requests")
}

/// What a pod may use at most.
pub fn limits(pod: &Value) -> Amounts {
    total(pod, "limits")
}

fn total(pod: &Value, list: &str) -> Amounts {
    let spec = &pod["spec"];
    let containers = |name: &str| spec[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let infeasible = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "PodResizePending" && condition["reason"] == "Infeasible");
    let of = |container: &Value| {
        let asked = Amounts::read(&container["resources"][list]);
        raised(&pod["status"], &container["name"], list, asked, infeasible)
    };
    let (mut running, mut starting, mut sidecars) = (Amounts::default(), Amounts::default(), Amounts::default());
    for container in containers("containers") {
        running.add_all(&of(container));
    }
    for container in containers("initContainers") {
        let mut need = of(container);
        if container["restartPolicy"] == "Always" {
            running.add_all(&need);
            sidecars.add_all(&need);
            need = sidecars.clone();
        } else {
            need.add_all(&sidecars);
        }
        starting.raise_to(&need);
    }
    running.raise_to(&starting);
    // A budget for the pod as a whole takes the place of the sum for what it names.
    for (name, quantity) in whole(spec, list).iter() {
        running.set(name, quantity);
    }
    for (name, quantity) in Amounts::read(&spec["overhead"]).iter() {
        // What has no limit gets none by its overhead.
        if list == "requests" || running.get(name).is_some_and(|limit| !limit.is_zero()) {
            running.add(name, quantity);
        }
    }
    running
}

/// What a pod says of itself as a whole, of what can be said so.
fn whole(spec: &Value, list: &str) -> Amounts {
    Amounts::read(&spec["resources"][list]).only(is_pod_level)
}

/// Whether a pod as a whole can say how much it has of a resource.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// The class of a pod: as it was classed when it was made, else as its spec says.
///
/// Source: `GetPodQOS` of `pkg/apis/core/v1/helper/qos`.
pub fn class(pod: &Value) -> &str {
    let known = pod["status"]["qosClass"].as_str().filter(|class| !class.is_empty());
    known.unwrap_or_else(|| quality_of_service(&pod["spec"]))
}

/// The class of a pod with this `spec`, which decides who goes first when a node runs out of memory.
///
/// `Guaranteed`: every container limits CPU and memory and requests as much. `BestEffort`: none
/// requests or limits anything. `Burstable`: the rest. What a pod says as a whole goes before its containers.
///
/// Source: `ComputePodQOS` of `pkg/apis/core/v1/helper/qos`.
pub fn quality_of_service(spec: &Value) -> &'static str {
    let counted = |list: &Value| {
        let amounts = Amounts::read(list);
        let positive = |name: &str| amounts.get(name).is_some_and(|it| !it.is_zero() && !it.is_negative());
        amounts.only(|name| matches!(name, "cpu" | "memory") && positive(name))
    };
    let containers = ["containers", "initContainers"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
    let all: Vec<&Value> = match &spec["resources"] {
        whole if !whole.is_null() => vec![whole],
        _ => containers.map(|container| &container["resources"]).collect(),
    };
    let (mut requests, mut limits, mut limited) = (Amounts::default(), Amounts::default(), true);
    for resources in all {
        let own = counted(&resources["limits"]);
        requests.add_all(&counted(&resources["requests"]));
        // A limit alone is also the request.
        requests.add_all(&own.only(|name| resources["requests"][name].is_null()));
        limited &= own.iter().count() == 2;
        limits.add_all(&own);
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if limited && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// The most of what a container asks for, was given and has, which differ while it is resized. See KEP-1287.
///
/// What the node will never give does not count.
fn raised(status: &Value, name: &Value, list: &str, asked: Amounts, infeasible: bool) -> Amounts {
    let statuses = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut statuses = statuses.filter_map(|field| status[field].as_array()).flatten();
    let Some(status) = statuses.find(|status| status["name"] == *name) else { return asked };
    if status["resources"].is_null() && status["allocatedResources"].is_null() {
        return asked;
    }
    let mut most = Amounts::read(&status["resources"][list]);
    if list == "requests" {
        most.raise_to(&Amounts::read(&status["allocatedResources"]));
    }
    if !infeasible {
        most.raise_to(&asked);
    }
    most
}

/// What containers would have to say because a quota names it, with the names of those that do not.
///
/// Those of a pod that speaks for itself as a whole need to say nothing.
pub fn missing(pod: &Value, named: impl Fn(&str) -> bool) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut missing: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    if ["requests", "limits"].into_iter().any(|list| !whole(&pod["spec"], list).is_empty()) {
        return missing;
    }
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array().into_iter().flatten() {
            let (requests, limits) = (&container["resources"]["requests"], &container["resources"]["limits"]);
            let said = compute(&Amounts::read(requests), &Amounts::read(limits));
            for name in DEMANDED.iter().filter(|name| named(name) && said.get(name).is_none()) {
                let container = container["name"].as_str().unwrap_or_default().to_owned();
                missing.entry(name).or_default().insert(container);
            }
        }
    }
    missing
}

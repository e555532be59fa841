//! What objects count for in a `ResourceQuota`: admission that charges and the controller that counts must agree.
//!
//! Source: `k8s.io/kubernetes/pkg/quota/v1/evaluator`.

mod amounts;
mod pod;
mod scope;

use serde_json::Value;

use crate::quantity::{Format, Quantity};

pub use amounts::Amounts;
pub use pod::{
    class as pod_class, is_pod_level, limits as pod_limits, missing as pod_misses, quality_of_service,
    requests as pod_requests,
};

use portolan_base::Timestamp;

/// What an object of a resource counts for: how many of which things.
pub fn usage(group: &str, resource: &str, object: &Value, now: Timestamp) -> Amounts {
    let mut usage = Amounts::default();
    let one = Quantity::from_value(1, Format::DecimalSi);
    usage.add(&count_name(group, resource), one);
    match (group, resource) {
        ("", "pods") => pod::charge(&mut usage, object, now),
        ("", "services") => charge_service(&mut usage, object),
        ("", "persistentvolumeclaims") => charge_claim(&mut usage, object),
        ("", "configmaps" | "replicationcontrollers" | "resourcequotas" | "secrets") => usage.add(resource, one),
        _ => {}
    }
    usage
}

/// Name under which all objects of a resource are counted: `count/deployments.apps`.
pub fn count_name(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") }
}

/// Whether objects of a resource can count for something of this name.
pub fn counts(group: &str, resource: &str, name: &str) -> bool {
    if name == count_name(group, resource) {
        return true;
    }
    match (group, resource) {
        ("", "pods") => pod::counts(name),
        ("", "services") => matches!(name, "services" | "services.loadbalancers" | "services.nodeports"),
        ("", "persistentvolumeclaims") => {
            matches!(name, "persistentvolumeclaims" | "requests.storage") || name.contains(CLASS_SUFFIX)
        }
        ("", "configmaps" | "replicationcontrollers" | "resourcequotas" | "secrets") => name == resource,
        _ => false,
    }
}

/// Whether a quota with this `spec` speaks of an object by its scopes.
pub fn in_scope(spec: &Value, group: &str, resource: &str, object: &Value) -> bool {
    scope::matches(spec, group, resource, object)
}

/// The group and resource behind `count/deployments.apps` or one of the old names such as `secrets`.
pub fn resource_of(name: &str) -> Option<(&str, &str)> {
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some((group, resource));
    }
    if pod::counts(name) {
        return Some(("", "pods"));
    }
    let resource = match name {
        "services" | "services.loadbalancers" | "services.nodeports" => "services",
        "persistentvolumeclaims" | "requests.storage" => "persistentvolumeclaims",
        name if name.contains(CLASS_SUFFIX) => "persistentvolumeclaims",
        "configmaps" => "configmaps",
        "replicationcontrollers" => "replicationcontrollers",
        "resourcequotas" => "resourcequotas",
        "secrets" => "secrets",
        _ => return None,
    };
    Some(("", resource))
}

const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

fn charge_service(usage: &mut Amounts, service: &Value) {
    let one = Quantity::from_value(1, Format::DecimalSi);
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let with_node_port = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    let number = |count: usize| Quantity::from_value(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi);
    usage.add("services", one);
    match spec["type"].as_str().unwrap_or_default() {
        "NodePort" => usage.add("services.nodeports", number(ports.len())),
        "LoadBalancer" => {
            usage.add("services.loadbalancers", one);
            let allocates = spec["allocateLoadBalancerNodePorts"] != false;
            usage.add("services.nodeports", number(if allocates { ports.len() } else { with_node_port }));
        }
        _ => {}
    }
}

fn charge_claim(usage: &mut Amounts, claim: &Value) {
    let one = Quantity::from_value(1, Format::DecimalSi);
    let class = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = class.or(claim["spec"]["storageClassName"].as_str()).unwrap_or_default();
    let read = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    usage.add("persistentvolumeclaims", one);
    if !class.is_empty() {
        usage.add(&format!("{class}{CLASS_SUFFIX}persistentvolumeclaims"), one);
    }
    let requested = read(&claim["spec"]["resources"]["requests"]["storage"]);
    // A claim that grows is charged with what was allocated already.
    let allocated = read(&claim["status"]["allocatedResources"]["storage"]);
    if let Some(storage) = requested.into_iter().chain(allocated).max() {
        usage.add("requests.storage", storage);
        if !class.is_empty() {
            usage.add(&format!("{class}{CLASS_SUFFIX}requests.storage"), storage);
        }
    }
}

#[cfg(test)]
mod tests;

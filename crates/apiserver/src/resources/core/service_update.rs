//! What a new version of a service takes over from the one before, and what it leaves.
//!
//! Source: `kubernetes/pkg/registry/core/service/storage/storage.go`, `patchAllocatedValues` and `normalizeClusterIPs`,
//! and `kubernetes/pkg/registry/core/service/strategy.go`, `dropTypeDependentFields`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::service_families::{are_same, needs_address};
use crate::resources::json::{is_set, items, objects, same, text};

/// Whether clients outside the cluster reach a service.
pub(super) fn is_reached_from_outside(spec: &Value) -> bool {
    match text(&spec["type"]) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => is_set(&spec["externalIPs"]),
        _ => false,
    }
}

/// Whether a load balancer asks each node of a service whether it has pods of it.
pub(super) fn needs_health_port(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// Whether the ports of a service are ports of the nodes as well.
pub(super) fn has_node_ports(spec: &Value) -> bool {
    matches!(text(&spec["type"]), "NodePort" | "LoadBalancer")
}

/// Whether ports of nodes are chosen for a service.
pub(super) fn needs_node_ports(spec: &Value) -> bool {
    has_node_ports(spec) && !(spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] == false)
}

fn node_ports(spec: &Value) -> BTreeSet<i64> {
    items(&spec["ports"]).iter().filter_map(|port| port["nodePort"].as_i64()).filter(|port| *port != 0).collect()
}

/// A new version that leaves out what was allocated keeps it, so that the same manifest can be written again.
pub(super) fn keep_allocations(spec: &mut Map<String, Value>, old: &Value) {
    let new = Value::Object(spec.clone());
    if needs_address(old) && needs_address(&new) {
        for field in ["clusterIP", "clusterIPs"] {
            if !is_set(&new[field]) && is_set(&old[field]) {
                spec.insert(field.to_owned(), old[field].clone());
            }
        }
    }
    if needs_node_ports(old) && needs_node_ports(&new) {
        let used: BTreeSet<i64> = node_ports(old).intersection(&node_ports(&new)).copied().collect();
        let by_name: BTreeMap<&str, i64> = items(&old["ports"])
            .iter()
            .map(|port| (text(&port["name"]), port["nodePort"].as_i64().unwrap_or_default()))
            .collect();
        for port in objects(spec, "ports").filter(|port| !port.get("nodePort").is_some_and(is_set)) {
            let before = by_name.get(port.get("name").map(text).unwrap_or_default()).copied().unwrap_or_default();
            if before != 0 && !used.contains(&before) {
                port.insert("nodePort".to_owned(), before.into());
            }
        }
    }
    let health = &old["healthCheckNodePort"];
    if needs_health_port(old) && needs_health_port(&new) && !is_set(&new["healthCheckNodePort"]) && is_set(health) {
        spec.insert("healthCheckNodePort".to_owned(), health.clone());
    }
}

/// Clients of before there were several addresses write the first one only.
pub(super) fn name_address_twice(spec: &mut Map<String, Value>, old: Option<&Value>) {
    let new = Value::Object(spec.clone());
    let (address, one) = (&new["clusterIP"], json!([new["clusterIP"]]));
    let Some(old) = old else {
        if is_set(address) && !is_set(&new["clusterIPs"]) {
            spec.insert("clusterIPs".to_owned(), one);
        }
        return;
    };
    let is_same = text(address) == text(&old["clusterIP"]);
    let listed = if is_same && is_set(&old["clusterIPs"]) && !is_set(&new["clusterIPs"]) {
        old["clusterIPs"].clone()
    } else if !is_same && are_same("clusterIPs", &new, old) {
        if is_set(address) { one } else { Value::Null }
    } else {
        return;
    };
    if listed.is_null() {
        spec.remove("clusterIPs");
    } else {
        spec.insert("clusterIPs".to_owned(), listed);
    }
}

/// Of a change of type, takes out what only the old type has, unless it was changed as well.
pub(super) fn leave_old_type(spec: &mut Map<String, Value>, old: &Value) {
    let new = Value::Object(spec.clone());
    let no_longer = |has: &dyn Fn(&Value) -> bool| has(old) && !has(&new);
    let is_same = |field: &str| same(&new[field], &old[field]);
    if no_longer(&needs_address) {
        if is_same("clusterIP") && is_same("clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for field in ["ipFamilies", "ipFamilyPolicy"].iter().filter(|field| is_same(field)) {
            spec.remove(*field);
        }
    }
    if no_longer(&has_node_ports) && node_ports(old).is_superset(&node_ports(&new)) {
        for port in objects(spec, "ports") {
            port.remove("nodePort");
        }
    }
    if no_longer(&needs_health_port) && is_same("healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if no_longer(&|spec| spec["type"] == "LoadBalancer") {
        let field = "allocateLoadBalancerNodePorts";
        if !old[field].is_null() && new[field] == old[field] {
            spec.remove(field);
        }
        if new["loadBalancerClass"] == old["loadBalancerClass"] {
            spec.remove("loadBalancerClass");
        }
    }
    if no_longer(&is_reached_from_outside) && is_same("externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
}

/// A name has no policy of traffic inside the cluster, whatever was written.
pub(super) fn leave_internal_policy(spec: &mut Map<String, Value>) {
    if spec.get("type").is_some_and(|kind| kind == "ExternalName") {
        spec.remove("internalTrafficPolicy");
    }
}

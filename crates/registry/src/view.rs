//! Instances and services as clients read them. Pure.

use portolan_catalog::{Instance, Service, ServiceType, Snapshot, Status};
use serde_json::{Value, json};

/// An instance as JSON. `port` is the first of its ports, for clients that want one.
pub(crate) fn instance(instance: &Instance) -> Value {
    let ports: Vec<Value> = instance
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "port": port.port, "protocol": port.protocol.as_str()}))
        .collect();
    json!({
        "name": instance.name,
        "service": instance.service,
        "namespace": instance.namespace,
        "id": instance.id,
        "address": instance.address,
        "port": instance.ports.first().map(|port| port.port),
        "ports": ports,
        "health": instance.health.status.as_str(),
        "reason": instance.health.reason,
        "since": instance.health.since.map(|since| since.to_string()),
        "node": instance.node,
        "tags": instance.tags,
        "labels": instance.labels,
        "metadata": instance.metadata,
        "version": instance.version,
        "weights": {"passing": instance.weights.passing, "warning": instance.weights.warning},
        "locality": {
            "region": instance.locality.region, "zone": instance.locality.zone, "rack": instance.locality.rack,
        },
        "ttlSeconds": instance.ttl.map(|ttl| ttl.as_secs()),
        "origin": instance.origin.as_str(),
    })
}

/// A service with how many of its instances are in which state.
pub(crate) fn service(snapshot: &Snapshot, namespace: &str, name: &str) -> Option<Value> {
    let service = snapshot.service(namespace, name);
    let instances = snapshot.instances_of(namespace, name);
    if service.is_none() && instances.is_none() {
        return None;
    }
    let count = |status: Status| {
        instances.map_or(0, |list| list.iter().filter(|instance| instance.health.status == status).count())
    };
    let mut value = json!({
        "namespace": namespace,
        "name": name,
        "instances": instances.map_or(0, |list| list.len()),
        "passing": count(Status::Passing),
        "warning": count(Status::Warning),
        "critical": count(Status::Critical),
    });
    if let Some(service) = service {
        describe(&mut value, service);
    }
    Some(value)
}

fn describe(value: &mut Value, service: &Service) {
    let kind = match service.service_type {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::Headless => "Headless",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName(_) => "ExternalName",
    };
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "port": port.port, "protocol": port.protocol.as_str(), "nodePort": port.node_port}))
        .collect();
    value["type"] = kind.into();
    value["addresses"] = json!(service.cluster_addresses);
    value["externalAddresses"] = json!(service.load_balancer_addresses);
    value["ports"] = ports.into();
    value["labels"] = json!(service.labels);
}

//! Instances and services as clients read them. Pure.

use portolan_catalog::{Instance, Service, ServiceType, Snapshot, Status};
use serde_json::{Map, Value, json};

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

/// What Prometheus is to scrape of an instance: a group for each port, with what is known of it as labels.
pub(crate) fn targets(instance: &Instance) -> impl Iterator<Item = Value> {
    instance.ports.iter().map(|port| {
        let host = if instance.address.contains(':') {
            format!("[{}]", instance.address)
        } else {
            instance.address.to_string()
        };
        let mut labels = Map::new();
        let mut label = |name: &str, value: &str| {
            labels.insert(format!("__meta_portolan_{name}"), value.into());
        };
        label("namespace", &instance.namespace);
        label("service", &instance.service);
        label("instance_id", &instance.id);
        label("node", &instance.node);
        label("health", instance.health.status.as_str());
        label("origin", instance.origin.as_str());
        label("version", &instance.version);
        label("region", &instance.locality.region);
        label("zone", &instance.locality.zone);
        label("port_name", &port.name);
        // Surrounded by commas, so that a tag can be matched wherever it stands.
        label("tags", &format!(",{},", instance.tags.join(",")));
        for (name, value) in &instance.metadata {
            label(&format!("metadata_{}", label_name(name)), value);
        }
        for (name, value) in &instance.labels {
            label(&format!("label_{}", label_name(name)), value);
        }
        json!({"targets": [format!("{host}:{}", port.port)], "labels": labels})
    })
}

/// Names of labels have letters, digits and underscores only.
fn label_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
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

//! Instances and services as clients read them. Pure.

use std::collections::BTreeMap;

use portolan_catalog::{Instance, InstancePort, Locality, Service, ServiceType, Snapshot, Status};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// An instance as clients read it. `port` is the first of its ports, for clients that want one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    address: &'a str,
    health: &'static str,
    id: &'a str,
    labels: &'a BTreeMap<String, String>,
    locality: Place<'a>,
    metadata: &'a BTreeMap<String, String>,
    name: &'a str,
    namespace: &'a str,
    node: &'a str,
    origin: &'static str,
    port: Option<u16>,
    #[serde(serialize_with = "ports")]
    ports: &'a [InstancePort],
    reason: &'a str,
    service: &'a str,
    since: Option<String>,
    tags: &'a [String],
    ttl_seconds: Option<u64>,
    version: &'a str,
    weights: Weights,
}

#[derive(Serialize)]
struct Place<'a> {
    rack: &'a str,
    region: &'a str,
    zone: &'a str,
}

#[derive(Serialize)]
struct Weights {
    passing: u32,
    warning: u32,
}

#[derive(Serialize)]
struct Port<'a> {
    name: &'a str,
    port: u16,
    protocol: &'static str,
}

fn ports<S: Serializer>(ports: &[InstancePort], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ports.iter().map(|port| Port {
        name: &port.name,
        port: port.port,
        protocol: port.protocol.as_str(),
    }))
}

impl<'a> Fields<'a> {
    fn of(instance: &'a Instance) -> Self {
        let Locality { region, zone, rack } = &*instance.locality;
        Self {
            address: &instance.address,
            health: instance.health.status.as_str(),
            id: &instance.id,
            labels: &instance.labels,
            locality: Place { rack, region, zone },
            metadata: &instance.metadata,
            name: &instance.name,
            namespace: &instance.namespace,
            node: &instance.node,
            origin: instance.origin.as_str(),
            port: instance.ports.first().map(|port| port.port),
            ports: &instance.ports,
            reason: &instance.health.reason,
            service: &instance.service,
            since: instance.health.since.map(|since| since.to_string()),
            tags: &instance.tags,
            ttl_seconds: instance.ttl.map(|ttl| ttl.as_secs()),
            version: &instance.version,
            weights: Weights { passing: instance.weights.passing, warning: instance.weights.warning },
        }
    }
}

/// An instance as JSON.
pub(crate) fn instance(instance: &Instance) -> Value {
    serde_json::to_value(Fields::of(instance)).expect("texts and numbers serialise")
}

/// Instances as the text of a JSON list.
pub(crate) fn list<'a>(instances: impl Iterator<Item = &'a Instance>) -> Vec<u8> {
    let mut text = Vec::with_capacity(4096);
    let mut serializer = serde_json::Serializer::new(&mut text);
    serializer.collect_seq(instances.map(Fields::of)).expect("texts and numbers serialise");
    text
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
        for (name, value) in instance.metadata.iter() {
            label(&format!("metadata_{}", label_name(name)), value);
        }
        for (name, value) in instance.labels.iter() {
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

//! Services, machines and checks in Consul's JSON. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use portolan_api::typed::{HealthCheck, OverrideMode, ServiceInstance};
use portolan_catalog::query::service_maintenance;
use portolan_catalog::{Check, Instance, Origin, Status};
use portolan_registrar::published_name;
use serde_json::{Map, Value, json};

use crate::duration;
use crate::machine::{Machine, NODE_MAINTENANCE};
use crate::owner::NAMESPACE;

/// The tags that the agent registered, where others changed them (`EnableTagOverride`).
pub(crate) const AGENT_TAGS: &str = "agentTags";
/// What only this dialect knows of a registration stands under this name in its extensions.
pub(crate) const EXTENSION: &str = "consul";
/// Words for a maintenance without a reason, as Consul words them.
pub(crate) const SERVICE_MAINTENANCE_REASON: &str =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";
/// The same for a machine.
pub(crate) const NODE_MAINTENANCE_REASON: &str =
    "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";

/// A field of what only this dialect knows.
pub(crate) fn extension<'a>(registration: Option<&'a ServiceInstance>, field: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    let known = registration.and_then(|object| object.spec.extensions.get(EXTENSION));
    known.and_then(|known| known.get(field)).unwrap_or(&NOTHING)
}

fn known<'a>(instance: &'a Instance, field: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    let known = instance.registration.as_ref().and_then(|registration| registration.extension(EXTENSION));
    known.and_then(|known| known.get(field)).unwrap_or(&NOTHING)
}

/// Name of an instance's service.
pub(crate) fn service_name(instance: &Instance) -> String {
    published_name(&instance.namespace, &instance.service)
}

/// Id of an instance among all on its machine. What registered in the namespace `default` has the one that it chose;
/// an endpoint of the cluster is as many instances as there are services that lead to it, each with an id of its own.
pub(crate) fn service_id(instance: &Instance) -> Cow<'_, str> {
    if instance.origin == Origin::Orchestrator || &*instance.namespace != NAMESPACE {
        return format!("{}-{}", instance.id, service_name(instance)).into();
    }
    Cow::Borrowed(&instance.id)
}

/// Address as registered; empty if it is that of the machine.
fn address(instance: &Instance) -> &str {
    if known(instance, "ofNode") == &Value::Bool(true) { "" } else { &instance.address }
}

fn port(instance: &Instance) -> u16 {
    instance.ports.first().map_or(0, |port| port.port)
}

/// Metadata: of a pod its labels, of a registration what it said.
fn metadata(instance: &Instance) -> BTreeMap<&str, &str> {
    let mut metadata: BTreeMap<&str, &str> =
        instance.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    if instance.origin == Origin::Orchestrator {
        metadata.extend(instance.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        metadata.insert("external-source", "kubernetes");
    }
    metadata
}

fn tagged_addresses(instance: &Instance) -> Map<String, Value> {
    let mut tagged = Map::new();
    if let Some(registration) = &instance.registration {
        for (kind, tag) in registration.tagged_addresses() {
            tagged.insert(kind.clone(), json!({"Address": tag.address, "Port": tag.port}));
        }
        // An agent tells the family of the addresses it is given; the catalog takes them as they are.
        if known(instance, "catalog").is_null()
            && let Ok(parsed) = address(instance).parse::<IpAddr>()
        {
            let family = if parsed.is_ipv4() { "ipv4" } else { "ipv6" };
            for kind in ["lan", "wan"] {
                let entry = json!({"Address": parsed.to_string(), "Port": port(instance)});
                tagged.entry(format!("{kind}_{family}")).or_insert(entry);
            }
        }
    }
    tagged
}

fn weights(instance: &Instance) -> Value {
    json!({"Passing": instance.weights.passing, "Warning": instance.weights.warning})
}

fn proxy(instance: &Instance) -> Value {
    let mut proxy = json!({"Mode": "", "MeshGateway": {}, "Expose": {}});
    if let (Some(proxy), Some(registered)) = (proxy.as_object_mut(), known(instance, "proxy").as_object()) {
        proxy.extend(registered.clone());
    }
    proxy
}

fn connect(instance: &Instance) -> Value {
    match known(instance, "connect") {
        Value::Null => json!({}),
        connect => connect.clone(),
    }
}

fn locality(instance: &Instance) -> Option<Value> {
    let (region, zone) = (&instance.locality.region, &instance.locality.zone);
    (!region.is_empty() || !zone.is_empty()).then(|| json!({"Region": region, "Zone": zone}))
}

fn kind(instance: &Instance) -> &str {
    known(instance, "kind").as_str().unwrap_or_default()
}

/// Whether the mesh reaches it without a proxy of its own beside it, or it is such a proxy for `service`.
pub(crate) fn is_connect_for(instance: &Instance, service: &str) -> bool {
    let is_it = |name: &str| name.eq_ignore_ascii_case(service);
    let destination = || known(instance, "proxy")["DestinationServiceName"].as_str().unwrap_or_default();
    let native = known(instance, "connect")["Native"] == Value::Bool(true) && is_it(&service_name(instance));
    native || (kind(instance) == "connect-proxy" && is_it(destination()))
}

/// An entry of `/v1/catalog/service/NAME`.
pub(crate) fn service_node(instance: &Instance, machine: &Machine, datacenter: &str) -> Value {
    let mut entry = json!({
        "ID": machine.id,
        "Node": machine.name,
        "Address": machine.address,
        "Datacenter": datacenter,
        "TaggedAddresses": nothing_if_empty(&machine.tagged_addresses),
        "NodeMeta": machine.metadata,
        "ServiceKind": kind(instance),
        "ServiceID": service_id(instance),
        "ServiceName": service_name(instance),
        "ServiceTags": instance.tags,
        "ServiceAddress": address(instance),
        "ServiceTaggedAddresses": tagged_addresses(instance),
        "ServiceWeights": weights(instance),
        "ServiceMeta": metadata(instance),
        "ServicePort": port(instance),
        "ServiceSocketPath": known(instance, "socketPath").as_str().unwrap_or_default(),
        "ServiceEnableTagOverride": enable_tag_override(instance),
        "ServiceProxy": proxy(instance),
        "ServiceConnect": connect(instance),
        "CreateIndex": instance.created_index,
        "ModifyIndex": instance.modified_index,
    });
    if let Some(locality) = locality(instance) {
        entry["ServiceLocality"] = locality;
    }
    entry
}

/// A service as part of other answers.
pub(crate) fn service(instance: &Instance) -> Value {
    let mut entry = json!({
        "ID": service_id(instance),
        "Service": service_name(instance),
        "Tags": instance.tags,
        "Address": address(instance),
        "Meta": metadata(instance),
        "Port": port(instance),
        "Weights": weights(instance),
        "EnableTagOverride": enable_tag_override(instance),
        "Proxy": proxy(instance),
        "Connect": connect(instance),
        "PeerName": "",
        "CreateIndex": instance.created_index,
        "ModifyIndex": instance.modified_index,
    });
    optional(&mut entry, instance);
    entry
}

/// A service of `/v1/agent/services`.
pub(crate) fn agent_service(instance: &Instance, datacenter: &str) -> Value {
    let mut entry = json!({
        "ID": service_id(instance),
        "Service": service_name(instance),
        "Tags": instance.tags,
        "Meta": metadata(instance),
        "Port": port(instance),
        "Address": address(instance),
        "Weights": weights(instance),
        "EnableTagOverride": enable_tag_override(instance),
        "Datacenter": datacenter,
    });
    optional(&mut entry, instance);
    if !known(instance, "proxy").is_null() {
        entry["Proxy"] = proxy(instance);
    }
    if !known(instance, "connect").is_null() {
        entry["Connect"] = connect(instance);
    }
    entry
}

/// Fields that are left out if empty.
fn optional(entry: &mut Value, instance: &Instance) {
    if !kind(instance).is_empty() {
        entry["Kind"] = kind(instance).into();
    }
    let tagged = tagged_addresses(instance);
    if !tagged.is_empty() {
        entry["TaggedAddresses"] = tagged.into();
    }
    if let Some(locality) = locality(instance) {
        entry["Locality"] = locality;
    }
    if let Some(path) = known(instance, "socketPath").as_str() {
        entry["SocketPath"] = path.into();
    }
}

fn enable_tag_override(instance: &Instance) -> bool {
    instance.registration.as_ref().is_some_and(|registration| registration.enable_tag_override())
}

/// Consul prints maps that nobody filled as `null`.
fn nothing_if_empty(map: &BTreeMap<String, String>) -> Value {
    if map.is_empty() { Value::Null } else { json!(map) }
}

/// A machine.
pub(crate) fn node(machine: &Machine, datacenter: &str) -> Value {
    json!({
        "ID": machine.id,
        "Node": machine.name,
        "Address": machine.address,
        "Datacenter": datacenter,
        "TaggedAddresses": nothing_if_empty(&machine.tagged_addresses),
        "Meta": nothing_if_empty(&machine.metadata),
        "CreateIndex": machine.created_index,
        "ModifyIndex": machine.modified_index,
    })
}

/// The status of an instance: the worst of what it, its checks and its machine say.
pub(crate) fn status(instance: &Instance, machine: &Machine) -> Status {
    instance.health.status.max(machine.status())
}

/// The checks of a machine.
pub(crate) fn node_checks(machine: &Machine) -> impl Iterator<Item = Value> + '_ {
    machine.checks.iter().map(|check| {
        let mut entry = check_entry(&machine.name, check, None);
        if &*check.id == NODE_MAINTENANCE {
            entry["Type"] = "maintenance".into();
        }
        stamp(&mut entry, machine.created_index, machine.modified_index);
        entry
    })
}

/// The checks of an instance: its own, that of a maintenance, and if it is worse than these say, one
/// that says why.
pub(crate) fn service_checks(instance: &Instance, machine: &Machine) -> Vec<Value> {
    let node = &*machine.name;
    let wanted = instance.registration.as_ref().map_or(&[][..], |registration| registration.checks());
    let mut entries: Vec<Value> = instance
        .checks
        .iter()
        .map(|check| {
            let wanted = wanted.iter().find(|wanted| *wanted.id == *check.id);
            let mut entry = check_entry(node, check, wanted);
            if let Some(definition) = known(instance, "definitions").get(&*check.id) {
                entry["Definition"] = definition.clone();
            }
            entry
        })
        .collect();
    // The verdict on the instance takes its machine in, whose checks stand for themselves.
    let own = instance.checks.iter().map(|check| check.status);
    let mut worst = own.max().unwrap_or(Status::Passing).max(machine.status());
    let administrative = instance.registration.as_ref().and_then(|registration| registration.administrative());
    if let Some(decision) = administrative.filter(|decision| decision.mode != OverrideMode::Up) {
        let reason = match (decision.mode, decision.reason.as_str()) {
            (OverrideMode::Maintenance, "") => SERVICE_MAINTENANCE_REASON,
            (mode, "") => mode.as_str(),
            (_, reason) => reason,
        };
        let id = service_maintenance(&service_id(instance));
        entries.push(made_up(node, &id, "Service Maintenance Mode", "maintenance", Status::Critical, reason, ""));
        worst = Status::Critical;
    }
    if instance.health.status > worst {
        let (id, name) =
            (format!("service:{}", service_id(instance)), format!("Service '{}' check", service_name(instance)));
        let (status, reason) = (instance.health.status, &instance.health.reason);
        entries.push(made_up(node, &id, &name, "ttl", status, "", reason));
    }
    for entry in &mut entries {
        entry["ServiceID"] = service_id(instance).into();
        entry["ServiceName"] = service_name(instance).into();
        entry["ServiceTags"] = json!(instance.tags);
        stamp(entry, instance.created_index, instance.modified_index);
    }
    entries
}

fn stamp(entry: &mut Value, created: u64, modified: u64) {
    entry["CreateIndex"] = created.into();
    entry["ModifyIndex"] = modified.into();
}

fn check_entry(node: &str, check: &Check, wanted: Option<&HealthCheck>) -> Value {
    let mut entry =
        made_up(node, &check.id, &check.name, word(check.check_type), check.status, &check.notes, &check.output);
    let time = |milliseconds: Option<i64>| {
        let milliseconds = milliseconds.and_then(|count| u64::try_from(count).ok())?;
        Some(duration::format(std::time::Duration::from_millis(milliseconds)))
    };
    if let Some(wanted) = wanted {
        entry["Interval"] = time(wanted.interval_milliseconds).unwrap_or_default().into();
        entry["Timeout"] = time(wanted.timeout_milliseconds).unwrap_or_default().into();
    }
    entry
}

/// What Consul calls this type of check.
fn word(check_type: &str) -> &str {
    if check_type == "external" { "" } else { check_type }
}

fn made_up(node: &str, id: &str, name: &str, kind: &str, status: Status, notes: &str, output: &str) -> Value {
    json!({
        "Node": node,
        "CheckID": id,
        "Name": name,
        "Status": status.as_str(),
        "Notes": notes,
        "Output": output,
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": kind,
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    })
}

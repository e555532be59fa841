//! Services.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Map, Value, json};

use super::{service_validation, service_warnings};
use crate::resources::json::{items, object_or_new, objects, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of services.
pub(crate) struct Service;

/// How long a client stays with its pod: three hours.
const AFFINITY_SECONDS: i64 = 3 * 60 * 60;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Type"),
    Column::string("Cluster-IP"),
    Column::string("External-IP"),
    Column::string("Port(s)"),
    AGE,
    Column::string("Selector").wide(),
];

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
            drop_type_dependent(fields);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        crate::strategy::keep_other_half(new, old, context.subresource == "status");
        if context.subresource == "status" {
            return;
        }
        keep_allocations(new, old);
        leave_old_type(new, &old["spec"]);
        if let Some(fields) = new.as_object_mut() {
            drop_type_dependent(fields);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        service_validation::validate(&object["spec"])
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        if context.subresource == "status" {
            Vec::new()
        } else {
            service_validation::validate_update(&new["spec"], &old["spec"])
        }
    }

    fn name_rule(&self) -> NameRule {
        NameRule::Dns1035Label
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        service_warnings::warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let cluster_ip = match text(&spec["clusterIP"]) {
            "" => print::NONE,
            address => address,
        };
        vec![
            print::name(object),
            spec["type"].clone(),
            cluster_ip.into(),
            external_ip(object).into(),
            ports(spec).into(),
            print::age(object, now),
            print::labels(&spec["selector"]).into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        let field = name.strip_prefix("spec.").filter(|field| ["clusterIP", "type"].contains(field))?;
        Some(text(&object["spec"][field]).to_owned())
    }
}

fn default_spec(spec: &mut Map<String, Value>) {
    set_zero(spec, "sessionAffinity", "None");
    set_zero(spec, "type", "ClusterIP");
    if spec["sessionAffinity"] == "None" {
        spec.remove("sessionAffinityConfig");
    } else if let Some(config) = object_or_new(spec, "sessionAffinityConfig")
        && let Some(client) = object_or_new(config, "clientIP")
    {
        set(client, "timeoutSeconds", AFFINITY_SECONDS);
    }
    for port in objects(spec, "ports") {
        set_zero(port, "protocol", "TCP");
        let target = port.get("targetPort");
        let unset = target.is_none_or(|target| target.is_null() || *target == json!(0) || *target == json!(""));
        if unset && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(&spec["type"]).to_owned();
    if kind == "ExternalName" {
        return;
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        set_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    set_zero(spec, "internalTrafficPolicy", "Cluster");
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    default_families(spec);
}

/// One address family, IPv4, unless the addresses say otherwise.
fn default_families(spec: &mut Map<String, Value>) {
    set_zero(spec, "ipFamilyPolicy", "SingleStack");
    if spec.get("ipFamilies").is_none_or(|families| items(families).is_empty()) {
        let v6 = spec.get("clusterIP").is_some_and(|address| text(address).contains(':'));
        spec.insert("ipFamilies".to_owned(), json!([if v6 { "IPv6" } else { "IPv4" }]));
    }
    let (address, addresses) = (spec.get("clusterIP").cloned(), spec.get("clusterIPs").cloned());
    match (address.as_ref().map(text).unwrap_or_default(), addresses.as_ref().map(items).unwrap_or_default()) {
        ("", [first, ..]) => spec.insert("clusterIP".to_owned(), first.clone()),
        (address, []) if !address.is_empty() => spec.insert("clusterIPs".to_owned(), json!([address])),
        _ => None,
    };
}

/// An update that leaves out what was allocated keeps it, as `kubectl replace` expects.
fn keep_allocations(new: &mut Value, old: &Value) {
    let old = &old["spec"];
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let has_address = |spec: &Value| text(&spec["type"]) != "ExternalName";
    let kind = spec.get("type").map(text).unwrap_or_default().to_owned();
    if kind != "ExternalName" && has_address(old) {
        for field in ["clusterIP", "clusterIPs"] {
            if !spec.get(field).is_some_and(crate::resources::json::is_set) && !old[field].is_null() {
                spec.insert(field.to_owned(), old[field].clone());
            }
        }
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        for port in objects(spec, "ports") {
            if port.get("nodePort").is_some_and(crate::resources::json::is_set) {
                continue;
            }
            let same = items(&old["ports"]).iter().find(|candidate| {
                Some(&candidate["port"]) == port.get("port")
                    && text(&candidate["protocol"]) == port.get("protocol").map(text).unwrap_or_default()
            });
            if let Some(number) = same.map(|port| &port["nodePort"]).filter(|number| number.is_u64()) {
                port.insert("nodePort".to_owned(), number.clone());
            }
        }
        let health = &old["healthCheckNodePort"];
        if health.is_u64() && spec.get("externalTrafficPolicy").map(text) == Some("Local") && kind == "LoadBalancer" {
            set_zero(spec, "healthCheckNodePort", health.clone());
        }
    }
}

/// Of an update that changes the type, takes out what only the old type has, unless it was changed as well.
///
/// Source: `kubernetes/pkg/registry/core/service/strategy.go`, `dropTypeDependentFields`.
fn leave_old_type(new: &mut Value, old: &Value) {
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let is_outside = |spec: &Value| matches!(text(&spec["type"]), "NodePort" | "LoadBalancer");
    let has_policy = |spec: &Value| is_outside(spec) || !items(&spec["externalIPs"]).is_empty();
    let has_health = |spec: &Value| spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
    let node_ports = |spec: &Value| {
        let ports = items(&spec["ports"]).iter().filter_map(|port| port["nodePort"].as_u64());
        ports.collect::<std::collections::BTreeSet<_>>()
    };
    let asked = Value::Object(spec.clone());
    if is_outside(old) && !is_outside(&asked) && node_ports(old) == node_ports(&asked) {
        for port in objects(spec, "ports") {
            port.remove("nodePort");
        }
    }
    for (field, means_something) in
        [("externalTrafficPolicy", &has_policy as &dyn Fn(&Value) -> bool), ("healthCheckNodePort", &has_health)]
    {
        if means_something(old) && !means_something(&asked) && old[field] == asked[field] {
            spec.remove(field);
        }
    }
}

/// Fields that another type of service left behind and that mean nothing for this one.
fn drop_type_dependent(service: &mut Map<String, Value>) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let kind = spec.get("type").map(text).unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            spec.remove(field);
        }
        if spec.get("clusterIP").is_some_and(|address| text(address) != "None") {
            spec.remove("clusterIP");
        }
    }
    if kind != "LoadBalancer" {
        spec.remove("allocateLoadBalancerNodePorts");
        spec.remove("loadBalancerClass");
        if let Some(status) = service.get_mut("status").and_then(Value::as_object_mut) {
            status.insert("loadBalancer".to_owned(), json!({}));
        }
    }
}

/// Addresses that clients outside can use.
fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let external: Vec<&str> = items(&spec["externalIPs"]).iter().map(text).collect();
    let joined = |list: Vec<&str>| if list.is_empty() { print::NONE.to_owned() } else { list.join(",") };
    match text(&spec["type"]) {
        "ExternalName" => text(&spec["externalName"]).to_owned(),
        "LoadBalancer" => {
            let ingress = items(&service["status"]["loadBalancer"]["ingress"]);
            let balancer: Vec<&str> = ingress
                .iter()
                .map(|point| if text(&point["ip"]).is_empty() { text(&point["hostname"]) } else { text(&point["ip"]) })
                .collect();
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                _ => joined(balancer.into_iter().chain(external).collect()),
            }
        }
        _ => joined(external),
    }
}

fn ports(spec: &Value) -> String {
    let ports: Vec<String> = items(&spec["ports"])
        .iter()
        .map(|port| match port["nodePort"].as_i64() {
            Some(node_port) if node_port > 0 => format!("{}:{node_port}/{}", port["port"], text(&port["protocol"])),
            _ => format!("{}/{}", port["port"], text(&port["protocol"])),
        })
        .collect();
    if ports.is_empty() { print::NONE.to_owned() } else { ports.join(",") }
}

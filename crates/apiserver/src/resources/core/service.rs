//! Services.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Map, Value, json};

use super::service_update::is_reached_from_outside;
use super::{load_balancer_status, service_update, service_validation, service_warnings};
use crate::resources::json::{is_set, items, object_or_new, objects, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of services.
pub(crate) struct Service;

/// How long a client stays with its pod: three hours.
const AFFINITY_SECONDS: i64 = 3 * 60 * 60;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Type").of("core.ServiceSpec", "type"),
    Column::string("Cluster-IP").of("core.ServiceSpec", "clusterIP"),
    Column::string("External-IP").of("core.ServiceSpec", "externalIPs"),
    Column::string("Port(s)").of("core.ServiceSpec", "ports"),
    AGE,
    Column::string("Selector").of("core.ServiceSpec", "selector").wide(),
];

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
        }
        default_for_type(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
        }
        if let Some(spec) = spec(object) {
            service_update::name_address_twice(spec, None);
            service_update::leave_internal_policy(spec);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        crate::strategy::keep_other_half(new, old, context.subresource == "status");
        if context.subresource == "status" {
            load_balancer_status::complete(new);
            return;
        }
        if let Some(spec) = spec(new) {
            service_update::keep_allocations(spec, &old["spec"]);
            service_update::name_address_twice(spec, Some(&old["spec"]));
            service_update::leave_old_type(spec, &old["spec"]);
            service_update::leave_internal_policy(spec);
        }
        if new["spec"]["type"] != "LoadBalancer" {
            new["status"]["loadBalancer"] = json!({});
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        service_validation::validate(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        if context.subresource == "status" {
            service_validation::validate_status(new, old)
        } else {
            service_validation::validate_update(&new["spec"], &old["spec"])
        }
    }

    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        service_warnings::warnings(object)
    }

    fn status_warnings(&self, new: &Value) -> Vec<String> {
        load_balancer_status::warnings(&new["status"])
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
    } else if spec["sessionAffinity"] == "ClientIP"
        && let Some(config) = object_or_new(spec, "sessionAffinityConfig")
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
}

/// Policies and choices that depend on the type.
fn default_for_type(service: &mut Value) {
    let (is_outside, kind) = (is_reached_from_outside(&service["spec"]), text(&service["spec"]["type"]).to_owned());
    let is_balanced = kind == "LoadBalancer";
    let Some(spec) = spec(service) else { return };
    if is_outside {
        set_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(&*kind, "NodePort" | "LoadBalancer" | "ClusterIP") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if is_balanced {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    if is_balanced && let Some(balancer) = service.pointer_mut("/status/loadBalancer").and_then(Value::as_object_mut) {
        for point in objects(balancer, "ingress").filter(|point| point.get("ip").is_some_and(is_set)) {
            set(point, "ipMode", "VIP");
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

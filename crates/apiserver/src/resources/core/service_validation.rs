//! What is wrong with a service.

use portolan_api::{field, validation};
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
/// A day, in seconds.
const LONGEST_AFFINITY: i64 = 86_400;

pub(super) fn validate(spec: &Value) -> Vec<field::Error> {
    let (mut errors, at) = (Errors::default(), At::root("spec"));
    let kind = text(&spec["type"]);
    let headless = text(&spec["clusterIP"]) == "None";
    if items(&spec["ports"]).is_empty() && !headless && kind != "ExternalName" {
        errors.required(&at.child("ports"), "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&at.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => validate_external_name(spec, &at, &mut errors),
        _ => {}
    }
    validate_ports(spec, &at, &mut errors);
    errors.labels(&at.child("selector"), &spec["selector"]);
    validate_affinity(spec, &at, &mut errors);
    if kind != "ExternalName" {
        validate_addresses(spec, &at, &mut errors);
    }
    let list = at.child("externalIPs");
    for (index, address) in items(&spec["externalIPs"]).iter().enumerate() {
        let at = list.index(index);
        let before = errors.0.len();
        errors.ip(&at, text(address));
        if errors.0.len() == before {
            errors.endpoint_ip(&at, text(address));
        }
    }
    errors.required_one_of(&at.child("type"), &spec["type"], &TYPES);
    validate_balancer(spec, &at, &mut errors);
    validate_policies(spec, &at, &mut errors);
    errors.0
}

fn validate_external_name(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if is_set(&spec["clusterIPs"]) {
        errors.forbidden(&at.child("clusterIPs"), "may not be set for ExternalName services");
    }
    let name = text(&spec["externalName"]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.required(&at.child("externalName"), "");
    } else {
        errors.obeys(&at.child("externalName"), name, validation::is_dns1123_subdomain);
    }
}

fn validate_ports(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("ports");
    let ports = items(&spec["ports"]);
    let kind = text(&spec["type"]);
    for (index, port) in ports.iter().enumerate() {
        let at = list.index(index);
        let (name, earlier) = (text(&port["name"]), &ports[..index]);
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(&at.child("name"), "");
            }
        } else {
            errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
            if earlier.iter().any(|port| text(&port["name"]) == name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
        match &port["port"] {
            Value::Number(_) => errors.port(&at.child("port"), &port["port"]),
            _ => errors.invalid(&at.child("port"), 0, validation::inclusive_range(1, 65535)),
        }
        errors.required_one_of(&at.child("protocol"), &port["protocol"], &PROTOCOLS);
        errors.port_or_name(&at.child("targetPort"), &port["targetPort"]);
        errors.obeys_if_set(&at.child("appProtocol"), &port["appProtocol"], validation::is_qualified_name);
        let node_port = port["nodePort"].as_i64().unwrap_or_default();
        if node_port != 0 {
            if kind == "ClusterIP" || kind == "ExternalName" {
                let detail = format!("may not be used when `type` is '{kind}'");
                errors.forbidden(&at.child("nodePort"), detail);
            } else if earlier.iter().any(|port_before| {
                port_before["nodePort"] == port["nodePort"] && port_before["protocol"] == port["protocol"]
            }) {
                errors.duplicate(&at.child("nodePort"), node_port);
            }
        }
        if earlier.iter().any(|before| before["port"] == port["port"] && before["protocol"] == port["protocol"]) {
            errors.duplicate_as_shown(&at, &internal_port(port));
        }
    }
}

/// A port as upstream shows it as a whole: by the names of its own structures.
fn internal_port(port: &Value) -> String {
    let or_zero = |name: &str| if port[name].is_null() { Value::from(0) } else { port[name].clone() };
    let (name, protocol) = (Value::from(text(&port["name"])), Value::from(text(&port["protocol"])));
    format!(
        r#"{{"Name":{name},"Protocol":{protocol},"AppProtocol":{},"Port":{},"TargetPort":{},"NodePort":{}}}"#,
        port["appProtocol"],
        or_zero("port"),
        or_zero("targetPort"),
        or_zero("nodePort")
    )
}

fn validate_affinity(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.required_one_of(&at.child("sessionAffinity"), &spec["sessionAffinity"], &["ClientIP", "None"]);
    if text(&spec["sessionAffinity"]) == "ClientIP" {
        let seconds = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
        if seconds.as_i64().is_some_and(|seconds| !(1..=LONGEST_AFFINITY).contains(&seconds)) {
            let config = at.child("sessionAffinityConfig");
            let client = config.child("clientIP");
            let detail = format!("must be greater than 0 and less than {LONGEST_AFFINITY}");
            errors.invalid(&client.child("timeoutSeconds"), seconds.clone(), detail);
        }
    }
}

fn validate_addresses(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("clusterIPs");
    let addresses = items(&spec["clusterIPs"]);
    let first = text(&spec["clusterIP"]);
    if let Some(listed) = addresses.first().map(text)
        && listed != first
    {
        errors.invalid(&list, spec["clusterIPs"].clone(), "first value must match `clusterIP`");
    }
    for (index, address) in addresses.iter().map(text).enumerate() {
        if address == "None" {
            if addresses.len() > 1 {
                errors.invalid(&list, spec["clusterIPs"].clone(), "'None' must be the first and only value");
            }
        } else {
            errors.ip(&list.index(index), address);
        }
    }
    errors.one_of(
        &at.child("ipFamilyPolicy"),
        &spec["ipFamilyPolicy"],
        &["PreferDualStack", "RequireDualStack", "SingleStack"],
    );
    let families = at.child("ipFamilies");
    let named = items(&spec["ipFamilies"]);
    for (index, family) in named.iter().enumerate() {
        errors.one_of(&families.index(index), family, &["IPv4", "IPv6"]);
        if named[..index].contains(family) {
            errors.duplicate(&families.index(index), family.clone());
        }
    }
    if addresses.len() > 2 {
        errors.invalid(&list, spec["clusterIPs"].clone(), "may only hold up to 2 values");
    }
    let is_v6 = |address: &Value| text(address).contains(':');
    if matches!(addresses, [first, second, ..] if is_v6(first) == is_v6(second)) {
        let detail = "may specify no more than one IP for each IP family";
        errors.invalid(&list, spec["clusterIPs"].clone(), detail);
    }
    for (index, (address, family)) in addresses.iter().zip(named).enumerate() {
        if *address != "None" && is_v6(address) != (family == "IPv6") {
            let detail = format!("expected an {} value as indicated by `ipFamilies[{index}]`", text(family));
            errors.invalid(&list.index(index), address.clone(), detail);
        }
    }
}

fn validate_balancer(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let balancer = text(&spec["type"]) == "LoadBalancer";
    // Upstream writes this field's name so.
    let ranges = at.child("LoadBalancerSourceRanges");
    if is_set(&spec["loadBalancerSourceRanges"]) && !balancer {
        errors.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in items(&spec["loadBalancerSourceRanges"]).iter().enumerate() {
        errors.cidr(&ranges.index(index), text(range).trim());
    }
    if is_set(&spec["loadBalancerClass"]) {
        if balancer {
            errors.obeys(
                &at.child("loadBalancerClass"),
                text(&spec["loadBalancerClass"]),
                validation::is_qualified_name,
            );
        } else {
            errors.forbidden(&at.child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'");
        }
    }
    if !spec["allocateLoadBalancerNodePorts"].is_null() && !balancer {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        errors.forbidden(&at.child("allocateLoadBalancerNodePorts"), detail);
    }
}

fn validate_policies(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let external = &spec["externalTrafficPolicy"];
    let kind = text(&spec["type"]);
    if is_set(external) {
        let reachable = kind == "NodePort" || kind == "LoadBalancer" || is_set(&spec["externalIPs"]);
        if reachable {
            errors.one_of(&at.child("externalTrafficPolicy"), external, &POLICIES);
        } else {
            errors.invalid(
                &at.child("externalTrafficPolicy"),
                external.clone(),
                "may only be set for externally-accessible services",
            );
        }
    }
    let health = spec["healthCheckNodePort"].as_i64().unwrap_or_default();
    if health != 0 && !(kind == "LoadBalancer" && external == "Local") {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&at.child("healthCheckNodePort"), health, detail);
    } else if health != 0 {
        errors.port(&at.child("healthCheckNodePort"), &spec["healthCheckNodePort"]);
    }
    errors.one_of(&at.child("internalTrafficPolicy"), &spec["internalTrafficPolicy"], &POLICIES);
    errors.one_of(
        &at.child("trafficDistribution"),
        &spec["trafficDistribution"],
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
    );
}

pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<field::Error> {
    let (mut errors, at) = (Errors::default(), At::root("spec"));
    let external = |spec: &Value| text(&spec["type"]) == "ExternalName";
    if external(new) || external(old) {
        return errors.0;
    }
    let (before, after) = (text(&old["clusterIP"]), text(&new["clusterIP"]));
    if !before.is_empty() && before != after {
        errors.invalid(&at.child("clusterIPs").index(0), serde_json::json!([after]), "may not change once set");
    }
    if text(&new["type"]) == "LoadBalancer" && text(&old["type"]) == "LoadBalancer" {
        let (new, old) = (&new["loadBalancerClass"], &old["loadBalancerClass"]);
        if !crate::resources::json::same(new, old) {
            errors.invalid(&at.child("loadBalancerClass"), new.clone(), "may not change once set");
        }
    }
    errors.0
}

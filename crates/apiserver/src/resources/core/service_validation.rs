//! What is wrong with a service.

use std::collections::HashSet;

use portolan_api::field::Shown;
use portolan_api::{field, validation};
use serde_json::Value;

use super::load_balancer_status::{self, Modes};
use super::service_families::{self, is_headless};
use super::service_update::{is_reached_from_outside, needs_health_port};
use super::service_warnings::{HINTS, MODE};
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{is_set, items, same, text};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const SOURCES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCERS_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
/// A day, in seconds.
const LONGEST_AFFINITY: i64 = 86_400;

/// What is wrong with a service, or with a new version of `old`.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<field::Error> {
    let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &service["spec"]);
    let kind = text(&spec["type"]);
    validate_topology(&service["metadata"]["annotations"], &mut errors);
    let is_headless = is_headless(spec);
    if items(&spec["ports"]).is_empty() && !is_headless && kind != "ExternalName" {
        errors.required(&at.child("ports"), "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&at.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => validate_external_name(spec, &at, &mut errors),
        _ => {}
    }
    let list = at.child("ports");
    let ports = items(&spec["ports"]);
    let mut names = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        validate_port(port, &mut names, ports.len() > 1, &list.index(index), &mut errors);
    }
    errors.labels(&at.child("selector"), &spec["selector"]);
    validate_affinity(spec, &at, &mut errors);
    if kind != "ExternalName" {
        service_families::validate(spec, old.map(|old| &old["spec"]), &mut errors);
    }
    validate_external_addresses(spec, &at, &mut errors);
    errors.required_one_of(&at.child("type"), &spec["type"], &TYPES);
    validate_ports_together(kind, ports, &list, &mut errors);
    validate_sources(service, &at, &mut errors);
    if !spec["allocateLoadBalancerNodePorts"].is_null() && kind != "LoadBalancer" {
        errors.forbidden(&at.child("allocateLoadBalancerNodePorts"), BALANCERS_ONLY);
    }
    validate_class(spec, &at, &mut errors);
    validate_policies(spec, &at, &mut errors);
    errors.0
}

/// Both annotations of the one setting must say the same.
fn validate_topology(annotations: &Value, errors: &mut Errors) {
    let (mode, hints) = (&annotations[MODE], &annotations[HINTS]);
    if mode.is_string() && hints.is_string() && mode != hints {
        let metadata = At::root("metadata");
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        errors.invalid(&metadata.child("annotations").key(MODE), mode.clone(), detail);
    }
}

fn validate_external_addresses(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("externalIPs");
    for (index, address) in items(&spec["externalIPs"]).iter().enumerate() {
        let at = list.index(index);
        let before = errors.0.len();
        errors.ip(&at, text(address));
        if errors.0.len() == before {
            errors.endpoint_ip(&at, text(address));
        }
    }
}

fn validate_external_name(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in ["clusterIPs", "ipFamilies"].iter().filter(|field| is_set(&spec[**field])) {
        errors.forbidden(&at.child(field), "may not be set for ExternalName services");
    }
    if !spec["ipFamilyPolicy"].is_null() {
        errors.forbidden(&at.child("ipFamilyPolicy"), "may not be set for ExternalName services");
    }
    let name = text(&spec["externalName"]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.required(&at.child("externalName"), "");
    } else {
        errors.obeys(&at.child("externalName"), name, validation::is_dns1123_subdomain);
    }
}

/// `names`: those of the ports before it.
fn validate_port<'a>(
    port: &'a Value,
    names: &mut HashSet<&'a str>,
    needs_name: bool,
    at: &At<'_>,
    errors: &mut Errors,
) {
    let name = text(&port["name"]);
    if !name.is_empty() {
        errors.obeys(&at.child("name"), name, validation::is_dns1123_label);
        if !names.insert(name) {
            errors.duplicate(&at.child("name"), name);
        }
    } else if needs_name {
        errors.required(&at.child("name"), "");
    }
    errors.required_port(&at.child("port"), &port["port"]);
    errors.required_one_of(&at.child("protocol"), &port["protocol"], &PROTOCOLS);
    errors.port_or_name(&at.child("targetPort"), &port["targetPort"]);
    if let Some(protocol) = port["appProtocol"].as_str() {
        errors.obeys(&at.child("appProtocol"), protocol, validation::is_qualified_name);
    }
}

/// What no two ports may share.
fn validate_ports_together(kind: &str, ports: &[Value], list: &At<'_>, errors: &mut Errors) {
    let mut taken = HashSet::new();
    for (index, port) in ports.iter().enumerate().filter(|(_, port)| is_set(&port["nodePort"])) {
        let at = list.index(index);
        if kind == "ClusterIP" {
            errors.forbidden(&at.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        if !taken.insert((&port["nodePort"], &port["protocol"])) {
            errors.duplicate(&at.child("nodePort"), port["nodePort"].clone());
        }
    }
    taken.clear();
    for (index, port) in ports.iter().enumerate() {
        if taken.insert((&port["port"], &port["protocol"])) {
            continue;
        }
        let number = if port["port"].is_null() { Value::from(0) } else { port["port"].clone() };
        // Shown as upstream compares it: a structure of its own with the rest of the fields empty.
        let shown = format!(
            r#"{{"Name":"","Protocol":{},"AppProtocol":null,"Port":{number},"TargetPort":0,"NodePort":0}}"#,
            Value::from(text(&port["protocol"])),
        );
        errors.duplicate(&list.index(index), Shown::Text(shown));
    }
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

/// Whom a load balancer lets in: in a field, or in the annotation that was there before it.
fn validate_sources(service: &Value, at: &At<'_>, errors: &mut Errors) {
    let (spec, annotation) = (&service["spec"], &service["metadata"]["annotations"][SOURCES]);
    let is_balanced = spec["type"] == "LoadBalancer";
    // Upstream writes this field's name so.
    let list = at.child("LoadBalancerSourceRanges");
    let ranges = items(&spec["loadBalancerSourceRanges"]);
    if !ranges.is_empty() {
        if !is_balanced {
            errors.forbidden(&list, BALANCERS_ONLY);
        }
        for (index, range) in ranges.iter().enumerate() {
            errors.cidr(&list.index(index), text(range).trim());
        }
    } else if let Some(ranges) = annotation.as_str() {
        let metadata = At::root("metadata");
        let annotations = metadata.child("annotations");
        let at = annotations.key(SOURCES);
        if !is_balanced {
            errors.forbidden(&at, BALANCERS_ONLY);
        }
        for range in ranges.trim().split(',').map(str::trim).filter(|_| !ranges.trim().is_empty()) {
            errors.cidr(&at, range);
        }
    }
}

fn validate_class(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (at, class) = (at.child("loadBalancerClass"), &spec["loadBalancerClass"]);
    match class.as_str() {
        Some(class) if spec["type"] == "LoadBalancer" => errors.obeys(&at, class, validation::is_qualified_name),
        Some(_) => errors.forbidden(&at, BALANCERS_ONLY),
        None => {}
    }
}

fn validate_policies(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let external = at.child("externalTrafficPolicy");
    let policy = &spec["externalTrafficPolicy"];
    if is_reached_from_outside(spec) {
        errors.required_one_of(&external, policy, &POLICIES);
    } else if is_set(policy) {
        errors.invalid(&external, policy.clone(), "may only be set for externally-accessible services");
    }
    let (at_port, port) = (at.child("healthCheckNodePort"), &spec["healthCheckNodePort"]);
    match (needs_health_port(spec), is_set(port)) {
        (true, true) => errors.port(&at_port, port),
        (true, false) => errors.required(&at_port, ""),
        (false, true) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&at_port, port.clone(), detail);
        }
        (false, false) => {}
    }
    let (internal, policy) = (at.child("internalTrafficPolicy"), &spec["internalTrafficPolicy"]);
    if policy.is_null() && matches!(text(&spec["type"]), "NodePort" | "LoadBalancer" | "ClusterIP") {
        errors.required(&internal, "");
    }
    errors.one_of_if_present(&internal, policy, &POLICIES);
    let distribution = &spec["trafficDistribution"];
    if !distribution.is_null() && !DISTRIBUTIONS.contains(&text(distribution)) {
        errors.not_supported_as_listed(&at.child("trafficDistribution"), distribution.clone(), &DISTRIBUTIONS);
    }
}

pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<field::Error> {
    let (mut errors, at) = (Errors::default(), At::root("spec"));
    service_families::validate_change(new, old, &mut errors);
    let field = "loadBalancerClass";
    let are_balanced = new["type"] == "LoadBalancer" && old["type"] == "LoadBalancer";
    if are_balanced && new[field] != old[field] {
        errors.invalid(&at.child(field), new[field].clone(), "may not change once set");
    }
    let field = "healthCheckNodePort";
    if needs_health_port(old) && needs_health_port(new) && !same(&new[field], &old[field]) {
        errors.forbidden(&at.child(field), IMMUTABLE);
    }
    errors.0
}

/// What is wrong with a new status.
pub(super) fn validate_status(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    let points = &new["status"]["loadBalancer"]["ingress"];
    if new["spec"]["type"] != "LoadBalancer" && is_set(points) {
        let status = At::root("status");
        let balancer = status.child("loadBalancer");
        errors.forbidden(&balancer.child("ingress"), "may only be used when `spec.type` is 'LoadBalancer'");
    } else {
        load_balancer_status::validate(&new["status"], &old["status"], Modes::Known, &mut errors);
    }
    errors.0
}

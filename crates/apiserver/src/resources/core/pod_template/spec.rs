//! Validation of a pod's spec as a whole.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/core/validation`.

use portolan_api::validation;
use serde_json::Value;

use super::container::validate_containers;
use super::gates::{validate_ephemeral, validate_gates};
use super::pod_level::validate_pod_level;
use super::scheduling::validate_scheduling;
use super::security::validate_pod_security;
use super::volume::validate_volumes;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const SYSTEMS: [&str; 2] = ["linux", "windows"];
/// The longest name that Linux takes for a machine.
const HOST_NAME_LENGTH: usize = 64;
/// How many name servers a resolver takes.
const NAME_SERVERS: usize = 3;
/// How many domains a resolver looks in, and how long their list may be.
const SEARCHES: usize = 32;
const SEARCHES_LENGTH: usize = 2048;

/// What is wrong with the pod template of a workload; `at` is the path of the template.
pub(crate) fn validate_template(template: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_template_metadata(template, at, errors);
    let spec = at.child("spec");
    validate_pod_spec(&template["spec"], &spec, errors);
    if is_set(&template["spec"]["ephemeralContainers"]) {
        errors.forbidden(&spec.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// What is wrong with the labels and annotations of a template.
pub(crate) fn validate_template_metadata(template: &Value, at: &At<'_>, errors: &mut Errors) {
    // Upstream leaves the metadata out of these paths.
    errors.labels(&at.child("labels"), &template["metadata"]["labels"]);
    let annotations = &template["metadata"]["annotations"];
    if !annotations.is_null() {
        errors.0.extend(validation::annotations(annotations, &at.child("annotations").path()));
    }
}

/// What is wrong with a pod's spec, which has its defaults.
pub(crate) fn validate_pod_spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let volumes = validate_volumes(spec, at, errors);
    validate_containers(spec, &volumes, at, errors);
    validate_pod_level(spec, at, errors);
    errors.required_one_of_as_listed(&at.child("restartPolicy"), &spec["restartPolicy"], &RESTART_POLICIES);
    validate_dns(spec, at, errors);
    validate_scheduling(spec, at, errors);
    validate_pod_security(spec, at, errors);
    validate_gates(spec, at, errors);
    validate_ephemeral(spec, &volumes, at, errors);
    errors.within(&at.child("activeDeadlineSeconds"), &spec["activeDeadlineSeconds"], 1, i64::from(i32::MAX));
    let subdomain = validation::is_dns1123_subdomain;
    errors.obeys_if_set(&at.child("serviceAccountName"), &spec["serviceAccountName"], subdomain);
    errors.obeys_if_set(&at.child("nodeName"), &spec["nodeName"], subdomain);
    errors.obeys_if_set(&at.child("priorityClassName"), &spec["priorityClassName"], subdomain);
    errors.obeys_if_set(&at.child("runtimeClassName"), &spec["runtimeClassName"], subdomain);
    errors.obeys_if_set(&at.child("hostname"), &spec["hostname"], validation::is_dns1123_label);
    errors.obeys_if_set(&at.child("subdomain"), &spec["subdomain"], validation::is_dns1123_label);
    if !spec["preemptionPolicy"].is_null() {
        errors.required_one_of_as_listed(
            &at.child("preemptionPolicy"),
            &spec["preemptionPolicy"],
            &["PreemptLowerPriority", "Never"],
        );
    }
    validate_system(spec, at, errors);
    let list = at.child("hostAliases");
    for (index, alias) in items(&spec["hostAliases"]).iter().enumerate() {
        let at = list.index(index);
        errors.ip(&at.child("ip"), text(&alias["ip"]));
        let names = at.child("hostnames");
        for (index, name) in items(&alias["hostnames"]).iter().enumerate() {
            errors.obeys(&names.index(index), text(name), subdomain);
        }
    }
}

/// The operating system that the pod is for, and its name there.
fn validate_system(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if !spec["os"].is_null() {
        let os = at.child("os");
        match text(&spec["os"]["name"]) {
            "" => errors.required(&os.child("name"), ""),
            name if !SYSTEMS.contains(&name) => errors.not_supported(&os, name, &SYSTEMS),
            _ => {}
        }
    }
    let Some(name) = spec["hostnameOverride"].as_str() else { return };
    let at = at.child("hostnameOverride");
    if spec["setHostnameAsFQDN"] == true {
        errors.forbidden(&at, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec["hostNetwork"] == true {
        errors.forbidden(&at, "may not be specified when hostNetwork is true");
    }
    if name.len() > HOST_NAME_LENGTH {
        errors.too_long(&at, HOST_NAME_LENGTH);
    }
    errors.obeys(&at, name, validation::is_dns1123_subdomain);
}

fn validate_dns(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.required_one_of_as_listed(&at.child("dnsPolicy"), &spec["dnsPolicy"], &DNS_POLICIES);
    let (config, at) = (&spec["dnsConfig"], at.child("dnsConfig"));
    let servers = items(&config["nameservers"]);
    if text(&spec["dnsPolicy"]) == "None" {
        if config.is_null() {
            errors.required(&at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            errors.required(
                &at.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            );
        }
    }
    let list = at.child("nameservers");
    if servers.len() > NAME_SERVERS {
        errors.invalid(
            &list,
            config["nameservers"].clone(),
            format!("must not have more than {NAME_SERVERS} nameservers"),
        );
    }
    for (index, server) in servers.iter().enumerate() {
        errors.ip(&list.index(index), text(server));
    }
    let list = at.child("searches");
    let searches = items(&config["searches"]);
    if searches.len() > SEARCHES {
        errors.invalid(&list, config["searches"].clone(), format!("must not have more than {SEARCHES} search paths"));
    }
    let length = searches.iter().map(|search| text(search).len() + 1).sum::<usize>().saturating_sub(1);
    if length > SEARCHES_LENGTH {
        let detail =
            format!("must not have more than {SEARCHES_LENGTH} characters (including spaces) in the search list");
        errors.invalid(&list, config["searches"].clone(), detail);
    }
    for (index, search) in searches.iter().enumerate() {
        let search = text(search);
        if search != "." {
            let name = search.strip_suffix('.').unwrap_or(search);
            errors.obeys(&list.index(index), name, validation::is_dns1123_subdomain_with_underscore);
        }
    }
    let list = at.child("options");
    for (index, option) in items(&config["options"]).iter().enumerate() {
        let at = list.index(index);
        if !is_set(&option["name"]) {
            errors.required(&at, "must not be empty");
        }
    }
}

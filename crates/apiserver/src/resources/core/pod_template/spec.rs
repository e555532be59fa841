//! Validation of a pod's spec as a whole.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/core/validation`.

use portolan_api::validation;
use serde_json::Value;

use super::container::{validate_containers, validate_ids};
use super::gates::validate_gates;
use super::pod_level::validate_pod_level;
use super::scheduling::validate_scheduling;
use super::volume::validate_volumes;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
/// How many name servers a resolver takes.
const NAME_SERVERS: usize = 3;

/// What is wrong with the pod template of a workload; `at` is the path of the template.
pub(crate) fn validate_template(template: &Value, at: &At<'_>, errors: &mut Errors) {
    let metadata = at.child("metadata");
    errors.labels(&metadata.child("labels"), &template["metadata"]["labels"]);
    let annotations = &template["metadata"]["annotations"];
    if !annotations.is_null() {
        errors.0.extend(validation::annotations(annotations, &metadata.child("annotations").path()));
    }
    let spec = at.child("spec");
    validate_pod_spec(&template["spec"], &spec, errors);
    if is_set(&template["spec"]["ephemeralContainers"]) {
        errors.forbidden(&spec.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// What is wrong with a pod's spec, which has its defaults.
pub(crate) fn validate_pod_spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_volumes(spec, at, errors);
    validate_containers(spec, at, errors);
    validate_pod_level(spec, at, errors);
    errors.required_one_of(&at.child("restartPolicy"), &spec["restartPolicy"], &RESTART_POLICIES);
    validate_dns(spec, at, errors);
    validate_scheduling(spec, at, errors);
    validate_security(spec, at, errors);
    validate_gates(spec, at, errors);
    errors.not_negative(&at.child("terminationGracePeriodSeconds"), &spec["terminationGracePeriodSeconds"]);
    errors.within(&at.child("activeDeadlineSeconds"), &spec["activeDeadlineSeconds"], 1, i64::from(i32::MAX));
    let subdomain = validation::is_dns1123_subdomain;
    errors.obeys_if_set(&at.child("serviceAccountName"), &spec["serviceAccountName"], subdomain);
    errors.obeys_if_set(&at.child("nodeName"), &spec["nodeName"], subdomain);
    errors.obeys_if_set(&at.child("priorityClassName"), &spec["priorityClassName"], subdomain);
    errors.obeys_if_set(&at.child("runtimeClassName"), &spec["runtimeClassName"], subdomain);
    errors.obeys_if_set(&at.child("hostname"), &spec["hostname"], validation::is_dns1123_label);
    errors.obeys_if_set(&at.child("subdomain"), &spec["subdomain"], validation::is_dns1123_label);
    errors.one_of(&at.child("preemptionPolicy"), &spec["preemptionPolicy"], &["Never", "PreemptLowerPriority"]);
    let list = at.child("imagePullSecrets");
    for (index, reference) in items(&spec["imagePullSecrets"]).iter().enumerate() {
        let at = list.index(index);
        errors.present(&at.child("name"), &reference["name"]);
    }
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

fn validate_dns(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.required_one_of(&at.child("dnsPolicy"), &spec["dnsPolicy"], &DNS_POLICIES);
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
    for (index, search) in items(&config["searches"]).iter().enumerate() {
        let search = text(search);
        if search != "." {
            let name = search.strip_suffix('.').unwrap_or(search);
            errors.obeys(&list.index(index), name, validation::is_dns1123_subdomain);
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

fn validate_security(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let context = &spec["securityContext"];
    let security = at.child("securityContext");
    validate_ids(context, &security, errors);
    let groups = security.child("supplementalGroups");
    for (index, group) in items(&context["supplementalGroups"]).iter().enumerate() {
        errors.within(&groups.index(index), group, 0, i64::from(i32::MAX));
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        errors.invalid(
            &at.child("shareProcessNamespace"),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    errors.one_of(
        &security.child("fsGroupChangePolicy"),
        &context["fsGroupChangePolicy"],
        &["Always", "OnRootMismatch"],
    );
}

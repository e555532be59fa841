//! Validation of containers.

use std::collections::HashSet;

use portolan_api::validation;
use serde_json::Value;

use super::probe::{validate_lifecycle, validate_probes};
use super::resources::validate_resources;
use super::restart::validate_restart;
use super::security::validate_security;
use super::volume::Volumes;
use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, items, text, texts};

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const TERMINATION_POLICIES: [&str; 2] = ["File", "FallbackToLogsOnError"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ONE_SOURCE: &str = "may not have more than one field specified at a time";
/// Fields of a pod that the downward API knows.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const ENV_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// All containers of a pod: each by itself, then what they must agree on.
pub(super) fn validate_containers(spec: &Value, volumes: &Volumes<'_>, at: &At<'_>, errors: &mut Errors) {
    let containers = items(&spec["containers"]);
    if containers.is_empty() {
        errors.required(&at.child("containers"), "");
    }
    let mut names = HashSet::new();
    for list in ["containers", "initContainers"] {
        let at = at.child(list);
        for (index, container) in items(&spec[list]).iter().enumerate() {
            let at = at.index(index);
            validate_container(container, spec, volumes, &at, errors);
            if list == "initContainers" {
                validate_restart(container, list, &at, errors);
            }
            let name = text(&container["name"]);
            if !name.is_empty() && !names.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
            if list == "initContainers" && text(&container["restartPolicy"]) != "Always" {
                validate_init(container, &at, errors);
            } else {
                validate_lasting(container, spec, &at, errors);
            }
            if list == "containers" {
                validate_restart(container, list, &at, errors);
            }
        }
        if list == "containers" {
            validate_host_ports(items(&spec[list]), &at, errors);
        }
    }
}

/// What runs beside a container that stays.
fn validate_lasting(container: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if !container["lifecycle"].is_null() {
        let grace_seconds = spec["terminationGracePeriodSeconds"].as_i64();
        validate_lifecycle(&container["lifecycle"], grace_seconds, &at.child("lifecycle"), errors);
    }
    validate_probes(container, at, errors);
}

/// An init container that ends has no lifecycle and no probes; one that stays (a sidecar) may.
fn validate_init(container: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if !container[field].is_null() {
            errors.forbidden(&at.child(field), "may not be set for init containers without restartPolicy=Always");
        }
    }
}

/// What all kinds of containers have in common; they may mount these volumes.
pub(super) fn validate_container(
    container: &Value,
    spec: &Value,
    volumes: &Volumes<'_>,
    at: &At<'_>,
    errors: &mut Errors,
) {
    errors.required_name(&at.child("name"), &container["name"], validation::is_dns1123_label);
    let image = text(&container["image"]);
    // In templates, blanks stand for what somebody else fills in.
    if image.is_empty() {
        errors.required(&at.child("image"), "");
    }
    errors.required_one_of(&at.child("imagePullPolicy"), &container["imagePullPolicy"], &PULL_POLICIES);
    errors.required_one_of_as_listed(
        &at.child("terminationMessagePolicy"),
        &container["terminationMessagePolicy"],
        &TERMINATION_POLICIES,
    );
    validate_ports(container, spec, at, errors);
    validate_env(container, at, errors);
    validate_mounts(container, volumes, at, errors);
    validate_resources(&container["resources"], spec, &at.child("resources"), errors);
    validate_resize_policy(container, spec, &at.child("resizePolicy"), errors);
    validate_security(&container["securityContext"], spec, &at.child("securityContext"), errors);
}

/// What happens to the container when its resources change.
fn validate_resize_policy(container: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut resources = HashSet::new();
    for (index, policy) in items(&container["resizePolicy"]).iter().enumerate() {
        let resource = &policy["resourceName"];
        if !resources.insert(resource) {
            errors.duplicate(&at.index(index), resource.clone());
        }
        errors.required_one_of(at, resource, &["cpu", "memory"]);
        errors.required_one_of(at, &policy["restartPolicy"], &["NotRequired", "RestartContainer"]);
        if spec["restartPolicy"] == "Never" && policy["restartPolicy"] != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.invalid(at, policy["restartPolicy"].clone(), why);
        }
    }
}

fn validate_ports(container: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("ports");
    let ports = items(&container["ports"]);
    let host_network = spec["hostNetwork"] == true;
    let mut names = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = list.index(index);
        let name = text(&port["name"]);
        if !name.is_empty() {
            errors.obeys(&at.child("name"), name, validation::is_valid_port_name);
            if !names.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
        if is_set(&port["containerPort"]) {
            errors.port(&at.child("containerPort"), &port["containerPort"]);
        } else {
            errors.required(&at.child("containerPort"), "");
        }
        if is_set(&port["hostPort"]) {
            errors.port(&at.child("hostPort"), &port["hostPort"]);
        }
        if host_network && port["hostPort"] != port["containerPort"] && is_set(&port["hostPort"]) {
            errors.invalid(
                &at.child("containerPort"),
                port["containerPort"].clone(),
                "must match `hostPort` when `hostNetwork` is true",
            );
        }
        errors.required_one_of(&at.child("protocol"), &port["protocol"], &PROTOCOLS);
    }
}

/// Two containers of a pod cannot take the same port of the node.
fn validate_host_ports(containers: &[Value], at: &At<'_>, errors: &mut Errors) {
    let mut taken = HashSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (position, port) in items(&container["ports"]).iter().enumerate() {
            let Some(number) = port["hostPort"].as_i64().filter(|port| *port != 0) else { continue };
            let key = (text(&port["protocol"]), text(&port["hostIP"]), number);
            if !taken.insert(key) {
                let (container, ports) = (at.index(index), "ports");
                let ports = container.child(ports);
                let shown = format!("{}/{}/{}", key.0, key.1, key.2);
                errors.duplicate(&ports.index(position).child("hostPort"), shown);
            }
        }
    }
}

fn validate_env(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("env");
    for (index, variable) in items(&container["env"]).iter().enumerate() {
        let at = list.index(index);
        errors.required_name(&at.child("name"), &variable["name"], validation::is_env_var_name);
        if !variable["valueFrom"].is_null() {
            validate_env_source(variable, &at.child("valueFrom"), errors);
        }
    }
    let list = at.child("envFrom");
    for (index, source) in items(&container["envFrom"]).iter().enumerate() {
        let at = list.index(index);
        errors.obeys_if_set(&at.child("prefix"), &source["prefix"], validation::is_env_var_name);
        let mut found = 0;
        for name in ["configMapRef", "secretRef"] {
            if !source[name].is_null() {
                found += 1;
                errors.present(&at.child(name).child("name"), &source[name]["name"]);
            }
        }
        match found {
            0 => errors.invalid(&at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(&at, "", ONE_SOURCE),
        }
    }
}

fn validate_env_source(variable: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut found = 0;
    for (name, source) in entries(&variable["valueFrom"]).filter(|(_, source)| !source.is_null()) {
        found += 1;
        let at = at.child(name);
        match name {
            "fieldRef" => validate_field_ref(source, &ENV_FIELDS, &at, errors),
            "resourceFieldRef" => validate_resource_ref(source, &at, errors),
            "configMapKeyRef" | "secretKeyRef" => {
                errors.present(&at.child("name"), &source["name"]);
                errors.required_name(&at.child("key"), &source["key"], validation::is_config_map_key);
            }
            _ => {}
        }
    }
    if found == 0 {
        errors.invalid(
            at,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    } else if is_set(&variable["value"]) {
        errors.invalid(at, "", "may not be specified when `value` is not empty");
    } else if found > 1 {
        errors.invalid(at, "", ONE_SOURCE);
    }
}

/// A field of the pod for an environment variable or a file.
pub(super) fn validate_field_ref(reference: &Value, known: &[&str], at: &At<'_>, errors: &mut Errors) {
    errors.present(&at.child("apiVersion"), &reference["apiVersion"]);
    let at = at.child("fieldPath");
    let path = text(&reference["fieldPath"]);
    if path.is_empty() {
        errors.required(&at, "");
        return;
    }
    let version = text(&reference["apiVersion"]);
    if !matches!(version, "" | "v1") {
        errors.invalid(&at, path, format!("error converting fieldPath: unsupported pod version: {version}"));
        return;
    }
    let subscript = path.strip_suffix(']').and_then(|rest| rest.split_once("['").or_else(|| rest.split_once('[')));
    match subscript {
        Some(("metadata.annotations" | "metadata.labels", key)) => {
            errors.obeys(&at, key.trim_matches('\''), validation::is_qualified_name);
        }
        Some(_) => errors.invalid(&at, path, "does not support subscript"),
        None if known.contains(&path) => {}
        None if path.starts_with("metadata.") || path.starts_with("spec.") || path.starts_with("status.") => {
            errors.not_supported(&at, path, known);
        }
        None => errors.invalid(&at, path, format!("error converting fieldPath: field label not supported: {path}")),
    }
}

/// A resource of a container for an environment variable or a file.
pub(super) fn validate_resource_ref(reference: &Value, at: &At<'_>, errors: &mut Errors) {
    let resource = text(&reference["resource"]);
    let huge = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if resource.is_empty() {
        errors.required(&at.child("resource"), "");
    } else if !huge {
        errors.one_of(&at.child("resource"), &reference["resource"], &ENV_RESOURCES);
    }
    if !reference["divisor"].is_null() {
        errors.quantity(&at.child("divisor"), &reference["divisor"]);
    }
}

fn validate_mounts(container: &Value, volumes: &Volumes<'_>, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("volumeMounts");
    let mounts = items(&container["volumeMounts"]);
    let as_devices = texts(items(&container["volumeDevices"]), "name");
    let mut paths = HashSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = list.index(index);
        let name = text(&mount["name"]);
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        }
        if !volumes.contains_key(name) {
            errors.not_found(&at.child("name"), name);
        }
        let path = text(&mount["mountPath"]);
        if path.is_empty() {
            errors.required(&at.child("mountPath"), "");
        }
        if !paths.insert(path) {
            errors.invalid(&at.child("mountPath"), path, "must be unique");
        }
        let (sub_path, expression) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
        validate_local_path(sub_path, &at.child("subPath"), errors);
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                errors.invalid(&at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive");
            }
            validate_local_path(expression, &at.child("subPathExpr"), errors);
        }
        errors.one_of(
            &at.child("mountPropagation"),
            &mount["mountPropagation"],
            &["Bidirectional", "HostToContainer", "None"],
        );
        if text(&mount["mountPropagation"]) == "Bidirectional" && container["securityContext"]["privileged"] != true {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.forbidden(&at.child("mountPropagation"), detail);
        }
        if !name.is_empty() && as_devices.contains(name) {
            errors.invalid(&at.child("name"), name, "must not already exist in volumeDevices");
        }
    }
    let devices = at.child("volumeDevices");
    let mounted = texts(mounts, "name");
    let mut seen = HashSet::new();
    for (index, device) in items(&container["volumeDevices"]).iter().enumerate() {
        let at = devices.index(index);
        errors.present(&at.child("name"), &device["name"]);
        errors.present(&at.child("devicePath"), &device["devicePath"]);
        let name = text(&device["name"]);
        match volumes.get(name) {
            None => errors.not_found(&at.child("name"), name),
            Some(volume) if volume["persistentVolumeClaim"].is_null() && volume["ephemeral"].is_null() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&at.child("name"), name, detail);
            }
            Some(_) => {}
        }
        if mounted.contains(name) {
            errors.invalid(&at.child("name"), name, "must not already exist in volumeMounts");
        }
        let path = text(&device["devicePath"]);
        if paths.contains(path) {
            errors.invalid(&at.child("devicePath"), path, "must not already exist as a path in volumeMounts");
        }
        for field in ["name", "devicePath"] {
            let value = text(&device[field]);
            if !value.is_empty() && !seen.insert((field, value)) {
                errors.invalid(&at.child(field), value, "must be unique");
            }
        }
        if path.split('/').any(|part| part == "..") {
            errors.invalid(&at.child("devicePath"), path, "can not contain backsteps ('..')");
        }
    }
}

/// A path inside a volume: relative and without a step up.
pub(super) fn validate_local_path(path: &str, at: &At<'_>, errors: &mut Errors) {
    if path.starts_with('/') {
        errors.invalid(at, path, "must be a relative path");
    }
    validate_no_step_up(path, at, errors);
}

/// A path without `..`.
pub(super) fn validate_no_step_up(path: &str, at: &At<'_>, errors: &mut Errors) {
    if path.split('/').any(|part| part == "..") {
        errors.invalid(at, path, "must not contain '..'");
    }
}

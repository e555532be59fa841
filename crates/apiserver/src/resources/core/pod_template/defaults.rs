//! Defaults of a pod's spec.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`.

use serde_json::{Map, Value};

use super::image::pull_policy;
use crate::resources::json::{
    canonical_quantities, canonical_quantity, is_set, object, object_or_new, objects, set, set_zero, text,
};

/// Permission bits 0644 of files that volumes project.
const FILE_MODE: i64 = 0o644;
/// Lifetime of a projected service-account token.
const TOKEN_SECONDS: i64 = 3600;

/// Fills in the pod template in `spec.template` of a workload's spec.
pub(crate) fn default_template(workload_spec: &mut Map<String, Value>) {
    let Some(template) = object_or_new(workload_spec, "template") else { return };
    object_or_new(template, "metadata");
    if let Some(spec) = object_or_new(template, "spec") {
        default_pod_spec(spec);
    }
}

/// Fills in a pod's spec.
pub(crate) fn default_pod_spec(spec: &mut Map<String, Value>) {
    set_zero(spec, "restartPolicy", "Always");
    set_zero(spec, "dnsPolicy", "ClusterFirst");
    set_zero(spec, "schedulerName", "default-scheduler");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "securityContext", Map::new());
    default_service_account(spec);
    if let Some(resources) = object(spec, "resources") {
        canonical_quantities(resources, "limits");
        canonical_quantities(resources, "requests");
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in objects(spec, list) {
            default_container(container);
        }
    }
    for volume in objects(spec, "volumes") {
        default_volume(volume);
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both always say the same.
fn default_service_account(spec: &mut Map<String, Value>) {
    let (name, alias) = ("serviceAccountName", "serviceAccount");
    match (spec.get(name).is_some_and(is_set), spec.get(alias).is_some_and(is_set)) {
        (true, _) if spec.get(name) != spec.get(alias) => spec.insert(alias.to_owned(), spec[name].clone()),
        (false, true) => spec.insert(name.to_owned(), spec[alias].clone()),
        _ => None,
    };
}

fn default_container(container: &mut Map<String, Value>) {
    set_zero(container, "terminationMessagePath", "/dev/termination-log");
    set_zero(container, "terminationMessagePolicy", "File");
    if !container.get("imagePullPolicy").is_some_and(is_set) {
        let policy = pull_policy(container.get("image").map(text).unwrap_or_default());
        container.insert("imagePullPolicy".to_owned(), policy.into());
    }
    if let Some(resources) = object_or_new(container, "resources") {
        canonical_quantities(resources, "limits");
        canonical_quantities(resources, "requests");
    }
    for port in objects(container, "ports") {
        set_zero(port, "protocol", "TCP");
    }
    for variable in objects(container, "env") {
        let Some(source) = object(variable, "valueFrom") else { continue };
        if let Some(reference) = object(source, "fieldRef") {
            set_zero(reference, "apiVersion", "v1");
        }
        if let Some(reference) = object(source, "resourceFieldRef") {
            set_zero(reference, "divisor", "0");
            reference.get_mut("divisor").into_iter().for_each(canonical_quantity);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object(container, name) {
            default_probe(probe);
        }
    }
    if let Some(lifecycle) = object(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(action) = object(lifecycle, name).and_then(|handler| object(handler, "httpGet")) {
                default_http_get(action);
            }
        }
    }
}

fn default_probe(probe: &mut Map<String, Value>) {
    set_zero(probe, "timeoutSeconds", 1);
    set_zero(probe, "periodSeconds", 10);
    set_zero(probe, "successThreshold", 1);
    set_zero(probe, "failureThreshold", 3);
    if let Some(action) = object(probe, "httpGet") {
        default_http_get(action);
    }
    if let Some(action) = object(probe, "grpc") {
        set(action, "service", "");
    }
}

fn default_http_get(action: &mut Map<String, Value>) {
    set_zero(action, "path", "/");
    set_zero(action, "scheme", "HTTP");
}

fn default_volume(volume: &mut Map<String, Value>) {
    if volume.iter().all(|(name, value)| name == "name" || value.is_null()) {
        volume.insert("emptyDir".to_owned(), Map::new().into());
        return;
    }
    for name in ["secret", "configMap"] {
        if let Some(source) = object(volume, name) {
            set(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = object(volume, "downwardAPI") {
        set(source, "defaultMode", FILE_MODE);
        default_downward_items(source);
    }
    if let Some(source) = object(volume, "hostPath") {
        set(source, "type", "");
    }
    if let Some(source) = object(volume, "emptyDir") {
        source.get_mut("sizeLimit").into_iter().for_each(canonical_quantity);
    }
    if let Some(source) = object(volume, "iscsi") {
        set_zero(source, "iscsiInterface", "default");
    }
    if let Some(source) = object(volume, "projected") {
        set(source, "defaultMode", FILE_MODE);
        for projection in objects(source, "sources") {
            if let Some(source) = object(projection, "downwardAPI") {
                default_downward_items(source);
            }
            if let Some(source) = object(projection, "serviceAccountToken") {
                set(source, "expirationSeconds", TOKEN_SECONDS);
            }
        }
    }
    let claim = object(volume, "ephemeral").and_then(|source| object(source, "volumeClaimTemplate"));
    if let Some(claim) = claim {
        object_or_new(claim, "metadata");
        if let Some(spec) = object(claim, "spec") {
            set(spec, "volumeMode", "Filesystem");
        }
    }
    if let Some(source) = object(volume, "image")
        && !source.get("pullPolicy").is_some_and(is_set)
    {
        let policy = pull_policy(source.get("reference").map(text).unwrap_or_default());
        source.insert("pullPolicy".to_owned(), policy.into());
    }
}

fn default_downward_items(source: &mut Map<String, Value>) {
    for item in objects(source, "items") {
        if let Some(reference) = object(item, "fieldRef") {
            set_zero(reference, "apiVersion", "v1");
        }
        if let Some(reference) = object(item, "resourceFieldRef") {
            set_zero(reference, "divisor", "0");
            reference.get_mut("divisor").into_iter().for_each(canonical_quantity);
        }
    }
}

/// A pod whose container limits a resource without requesting it requests as much as the limit.
/// Templates stay as written.
pub(crate) fn requests_from_limits(spec: &mut Map<String, Value>) {
    for list in ["containers", "initContainers"] {
        for container in objects(spec, list) {
            let Some(resources) = object(container, "resources") else { continue };
            let Some(Value::Object(limits)) = resources.get("limits") else { continue };
            let missing: Vec<(String, Value)> = limits
                .iter()
                .filter(|(name, _)| resources.get("requests").is_none_or(|requests| requests[name.as_str()].is_null()))
                .map(|(name, limit)| (name.clone(), limit.clone()))
                .collect();
            if missing.is_empty() {
                continue;
            }
            if let Some(requests) = object_or_new(resources, "requests") {
                requests.extend(missing);
            }
        }
    }
}

//! Validation of what holds a pod back and of what it runs beside its containers: gates, kernel
//! parameters, overhead, claims of devices, ephemeral containers.

use std::collections::HashSet;

use portolan_api::field::Shown;
use portolan_api::validation;
use serde_json::Value;

use super::container::validate_container;
use super::volume::Volumes;
use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, items, text, texts};
use crate::resources::shown;

/// Fields that an ephemeral container may not have.
const NOT_EPHEMERAL: [&str; 9] = [
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "startupProbe",
];
const SYSCTL_LENGTH: usize = 253;
const SYSCTL: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

pub(super) fn validate_gates(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("readinessGates");
    for (index, gate) in items(&spec["readinessGates"]).iter().enumerate() {
        let at = list.index(index);
        errors.obeys(&at.child("conditionType"), text(&gate["conditionType"]), validation::is_qualified_name);
    }
    let list = at.child("schedulingGates");
    let mut names = HashSet::new();
    for (index, gate) in items(&spec["schedulingGates"]).iter().enumerate() {
        let (at, name) = (list.index(index), text(&gate["name"]));
        errors.obeys(&at, name, validation::is_qualified_name);
        if !names.insert(name) {
            errors.duplicate(&at, name);
        }
    }
    validate_overhead(spec, at, errors);
    validate_claims(spec, at, errors);
    validate_sysctls(spec, at, errors);
}

fn validate_overhead(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("overhead");
    for (name, amount) in entries(&spec["overhead"]) {
        errors.obeys(&at.key(name), name, validation::is_qualified_name);
        errors.quantity(&at.key(name), amount);
    }
}

fn validate_claims(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("resourceClaims");
    let mut names = HashSet::new();
    for (index, claim) in items(&spec["resourceClaims"]).iter().enumerate() {
        let at = list.index(index);
        let name = text(&claim["name"]);
        errors.required_name(&at.child("name"), &claim["name"], validation::is_dns1123_label);
        if !name.is_empty() && !names.insert(name) {
            errors.duplicate(&at.child("name"), name);
        }
        let shown = || Shown::Text(shown::compact("PodResourceClaim", claim));
        let (claim_name, template) = (&claim["resourceClaimName"], &claim["resourceClaimTemplateName"]);
        match (claim_name.is_null(), template.is_null()) {
            (true, true) => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&at, shown(), detail);
            }
            (false, false) => {
                let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&at, shown(), detail);
            }
            _ => {}
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim[field].as_str() {
                errors.obeys(&at.child(field), name, validation::is_dns1123_subdomain);
            }
        }
    }
}

fn validate_sysctls(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let security = at.child("securityContext");
    let list = security.child("sysctls");
    let mut names = HashSet::new();
    for (index, sysctl) in items(&spec["securityContext"]["sysctls"]).iter().enumerate() {
        let (at, name) = (list.index(index), text(&sysctl["name"]));
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        } else if !is_sysctl(name) {
            errors.invalid(&at.child("name"), name, SYSCTL);
        } else if !names.insert(name) {
            errors.duplicate(&at.child("name"), name);
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_edge(&byte) || matches!(byte, b'-' | b'_');
    name.len() <= SYSCTL_LENGTH
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(is_edge) && bytes.last().is_some_and(is_edge) && part.bytes().all(is_inner)
        })
}

/// Containers that join a running pod; they may mount these volumes.
pub(super) fn validate_ephemeral(spec: &Value, volumes: &Volumes<'_>, at: &At<'_>, errors: &mut Errors) {
    let mut targets = texts(items(&spec["containers"]), "name");
    targets.extend(texts(items(&spec["initContainers"]), "name"));
    let mut taken = targets.clone();
    let list = at.child("ephemeralContainers");
    for (index, container) in items(&spec["ephemeralContainers"]).iter().enumerate() {
        let at = list.index(index);
        validate_container(container, spec, volumes, &at, errors);
        let name = text(&container["name"]);
        if !name.is_empty() && !taken.insert(name) {
            errors.duplicate(&at.child("name"), name);
        }
        let target = text(&container["targetContainerName"]);
        if !target.is_empty() && !targets.contains(target) {
            errors.not_found(&at.child("targetContainerName"), target);
        }
        // A lifecycle, probe or policy that says nothing is one all the same.
        let is_there = |field: &&&str| match &container[**field] {
            Value::Object(_) if **field != "resources" => true,
            Value::String(_) => true,
            value => is_set(value),
        };
        for field in NOT_EPHEMERAL.iter().filter(is_there) {
            errors.forbidden(&at.child(field), "cannot be set for an Ephemeral Container");
        }
        let mounts = at.child("volumeMounts");
        for (index, mount) in items(&container["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"].iter().filter(|field| is_set(&mount[**field])) {
                errors.forbidden(&mounts.index(index).child(field), "cannot be set for an Ephemeral Container");
            }
        }
    }
}

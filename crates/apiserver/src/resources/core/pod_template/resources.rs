//! Validation of resource requests and limits.

use std::collections::{HashMap, HashSet};

use portolan_api::field::Error;
use portolan_api::quantity::Quantity;
use portolan_api::validation;
use serde_json::Value;

use super::volume_source::claims_of;
use crate::resources::at::{At, Errors};
use crate::resources::core::resource_name::{can_overcommit, is_standard_for_containers};
use crate::resources::json::{entries, items, text};

const NOT_STANDARD: &str = "must be a standard resource for containers";

/// What a container may have.
pub(super) fn validate_resources(resources: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_amounts(resources, at, errors, validate_name);
    let list = at.child("claims");
    let of_pod = claims_of(spec);
    let known: HashSet<&str> = of_pod.iter().copied().collect();
    let mut taken: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (index, claim) in items(&resources["claims"]).iter().enumerate() {
        let (at, name, request) = (list.index(index), text(&claim["name"]), text(&claim["request"]));
        if name.is_empty() {
            errors.required(&at, "");
            continue;
        }
        // A claim as a whole stands beside no other mention of it, a request of it beside other requests.
        let before = taken.entry(name).or_default();
        if !request.is_empty() {
            errors.obeys(&at.child("request"), request, validation::is_dns1123_label);
        }
        let is_whole = !before.is_empty() && (request.is_empty() || before.contains(""));
        if !before.insert(request) || is_whole {
            errors.duplicate(&at, name);
        }
        if !known.contains(name) {
            let mut error = Error::not_found(&at.path(), name);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if of_pod.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                error.detail.push_str(&format!(": {}", of_pod.join(", ")));
            }
            errors.0.push(error);
        }
    }
}

/// Limits and requests whose names obey a rule.
pub(super) fn validate_amounts(
    resources: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    validate_name: impl Fn(&str, &At<'_>, &mut Errors),
) {
    let (limits, requests) = (&resources["limits"], &resources["requests"]);
    let at_limits = at.child("limits");
    for (name, limit) in entries(limits) {
        let at = at_limits.key(name);
        validate_name(name, &at, errors);
        errors.quantity(&at, limit);
    }
    let at_requests = at.child("requests");
    for (name, request) in entries(requests) {
        let key = at_requests.key(name);
        validate_name(name, &key, errors);
        let Some(requested) = errors.quantity(&key, request) else { continue };
        let limit = &limits[name];
        match parse(limit) {
            Some(limited) if requested > limited => errors.invalid(
                &at_requests,
                text(request),
                format!("must be less than or equal to {name} limit of {}", shown(limit)),
            ),
            Some(limited) if requested != limited && !can_overcommit(name) => {
                errors.invalid(
                    &at_requests,
                    text(request),
                    format!("must be equal to {name} limit of {}", shown(limit)),
                );
            }
            None if !can_overcommit(name) && limit.is_null() => {
                errors.required(&at_limits, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
}

/// A quantity as it is written.
pub(crate) fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// A quantity as errors show it.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn validate_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    if is_standard_for_containers(name) {
        return;
    }
    errors.obeys(at, name, validation::is_qualified_name);
    if !name.contains('/') {
        errors.invalid(at, name, NOT_STANDARD);
    }
}

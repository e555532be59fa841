//! Limit ranges.

use std::collections::HashSet;

use portolan_api::{field, quantity::Quantity, validation};
use serde_json::{Map, Value};

use super::resource_name::{can_overcommit, is_standard, is_standard_for_containers};
use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, entries, is_set, items, objects, set, spec, text};
use crate::strategy::{Context, Strategy};

/// The strategy of limit ranges.
pub(crate) struct LimitRange;

const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
const AMOUNTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

/// One amount may not exceed another: fields, the field that is wrong, the one shown, words.
const ORDERED: [(&str, &str, &str, &str, &str); 6] = [
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than max value {}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
];

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        for limit in objects(spec, "limits") {
            AMOUNTS.iter().for_each(|amount| canonical_quantities(limit, amount));
            if limit.get("type").is_some_and(|kind| kind == "Container") {
                fill(limit, "default", "max");
                fill(limit, "defaultRequest", "default");
                fill(limit, "defaultRequest", "min");
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        let list = at.child("limits");
        let mut kinds = HashSet::new();
        for (index, limit) in items(&object["spec"]["limits"]).iter().enumerate() {
            let at = list.index(index);
            let kind = text(&limit["type"]);
            let before = errors.0.len();
            errors.obeys(&at.child("type"), kind, validation::is_qualified_name);
            if errors.0.len() == before && !kind.contains('/') && !TYPES.contains(&kind) {
                errors.invalid(&at.child("type"), kind, "must be a standard limit type or fully qualified");
            }
            if !kinds.insert(kind) {
                errors.duplicate(&at.child("type"), kind);
            }
            validate_limit(limit, kind, &at, &mut errors);
        }
        errors.0
    }
}

/// Copies the amounts that `name` lacks from another field.
fn fill(limit: &mut Map<String, Value>, name: &str, from: &str) {
    let amounts = limit.get(from).cloned().unwrap_or_default();
    if !is_set(&amounts) {
        return;
    }
    if let Some(target) = crate::resources::json::object_or_new(limit, name) {
        for (resource, amount) in entries(&amounts) {
            set(target, resource, amount.clone());
        }
    }
}

fn validate_limit(limit: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    for field in AMOUNTS {
        let at = at.child(field);
        if kind == "Pod" && field.starts_with("default") {
            if is_set(&limit[field]) {
                errors.forbidden(&at, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (resource, _) in entries(&limit[field]) {
            let key = at.key(resource);
            errors.obeys(&key, resource, validation::is_qualified_name);
            if resource.contains('/') {
                continue;
            }
            if !is_standard(resource) && validation::is_qualified_name(resource).is_empty() {
                errors.invalid(&key, resource, "must be a standard resource type or fully qualified");
            }
            if matches!(kind, "Container" | "Pod") && !is_standard_for_containers(resource) {
                errors.invalid(&key, resource, "must be a standard resource for containers");
            }
        }
    }
    if kind == "PersistentVolumeClaim" && limit["min"]["storage"].is_null() && limit["max"]["storage"].is_null() {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&at.child("limits"), detail);
    }
    let mut resources: Vec<&str> =
        AMOUNTS.iter().flat_map(|field| entries(&limit[*field])).map(|(resource, _)| resource).collect();
    resources.sort_unstable();
    resources.dedup();
    let amount = |field: &str, resource: &str| Quantity::parse(text(&limit[field][resource])).ok();
    for resource in resources {
        for (less, more, wrong, shown, words) in ORDERED {
            let (Some(small), Some(large)) = (amount(less, resource), amount(more, resource)) else { continue };
            if small > large {
                let detail = words.replacen("{}", &small.to_string(), 1).replacen("{}", &large.to_string(), 1);
                errors.invalid(&at.child(wrong).key(resource), limit[shown][resource].clone(), detail);
            }
        }
        if let (Some(ratio), Ok(one)) = (amount("maxLimitRequestRatio", resource), Quantity::parse("1"))
            && ratio < one
        {
            let at = at.child("maxLimitRequestRatio");
            errors.invalid(&at.key(resource), ratio.to_string(), format!("ratio {ratio} is less than 1"));
        }
        if let (Some(ratio), Some(most), Some(least)) =
            (amount("maxLimitRequestRatio", resource), amount("max", resource), amount("min", resource))
        {
            let limit = most.milli_value() as f64 / least.milli_value() as f64;
            if ratio.milli_value() as f64 / 1000.0 > limit {
                let at = at.child("maxLimitRequestRatio");
                let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                errors.invalid(&at.key(resource), ratio.to_string(), detail);
            }
        }
        if let (Some(limit), Some(request)) = (amount("default", resource), amount("defaultRequest", resource))
            && limit != request
            && !can_overcommit(resource)
        {
            let detail = format!("default value {limit} must equal to defaultRequest value {request} in {resource}");
            errors.invalid(&at.child("defaultRequest").key(resource), request.to_string(), detail);
        }
    }
}

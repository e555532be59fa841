//! What claims and templates of claims ask for.

use portolan_api::validation;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, items, object, objects, set, set_zero, text};

/// Most items of each list.
const MOST: usize = 32;
/// Most requests of which one is to be met.
const MOST_ALTERNATIVES: usize = 8;

/// Fills in what is asked for.
pub(super) fn default_spec(spec: &mut Map<String, Value>) {
    let Some(devices) = object(spec, "devices") else { return };
    for request in objects(devices, "requests") {
        if let Some(exactly) = object(request, "exactly") {
            default_request(exactly);
        }
        objects(request, "firstAvailable").for_each(default_request);
    }
}

fn default_request(request: &mut Map<String, Value>) {
    set_zero(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" {
        set_zero(request, "count", 1);
    }
    for toleration in objects(request, "tolerations") {
        set(toleration, "operator", "Equal");
    }
}

/// What is wrong with what is asked for; `at` is the path of the spec.
pub(super) fn validate_spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("devices");
    let devices = &spec["devices"];
    let list = at.child("requests");
    let requests = items(&devices["requests"]);
    at_most(requests, MOST, &list, errors);
    for (index, request) in requests.iter().enumerate() {
        let at = list.index(index);
        validate_name(request, requests, index, &at, errors);
        match (request["exactly"].is_null(), is_set(&request["firstAvailable"])) {
            (true, false) => errors.required(&at, "exactly one of `exactly` or `firstAvailable` is required"),
            (false, true) => {
                errors.invalid(
                    &at,
                    Value::Null,
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
                );
            }
            (false, false) => validate_request(&request["exactly"], &at.child("exactly"), errors),
            (true, true) => {
                let list = at.child("firstAvailable");
                let alternatives = items(&request["firstAvailable"]);
                at_most(alternatives, MOST_ALTERNATIVES, &list, errors);
                for (index, request) in alternatives.iter().enumerate() {
                    let at = list.index(index);
                    validate_name(request, alternatives, index, &at, errors);
                    validate_request(request, &at, errors);
                }
            }
        }
    }
    let list = at.child("constraints");
    at_most(items(&devices["constraints"]), MOST, &list, errors);
    for (index, constraint) in items(&devices["constraints"]).iter().enumerate() {
        let at = list.index(index);
        validate_references(constraint, requests, &at, errors);
        if constraint["matchAttribute"].is_null() && constraint["distinctAttribute"].is_null() {
            errors.required(&at, "exactly one of `matchAttribute` or `distinctAttribute` must be specified");
        }
    }
    let list = at.child("config");
    at_most(items(&devices["config"]), MOST, &list, errors);
    for (index, config) in items(&devices["config"]).iter().enumerate() {
        let at = list.index(index);
        validate_references(config, requests, &at, errors);
        validate_configuration(config, &at, errors);
    }
}

/// Parameters of a driver.
pub(super) fn validate_configuration(config: &Value, at: &At<'_>, errors: &mut Errors) {
    let opaque = at.child("opaque");
    if config["opaque"].is_null() {
        errors.required(&opaque, "");
        return;
    }
    let driver = &config["opaque"]["driver"];
    errors.required_name(&opaque.child("driver"), driver, validation::is_dns1123_subdomain);
    match &config["opaque"]["parameters"] {
        Value::Null => errors.required(&opaque.child("parameters"), ""),
        Value::Object(_) => {}
        other => errors.invalid(&opaque.child("parameters"), other.clone(), "parameters must be a valid JSON object"),
    }
}

/// Expressions that select devices.
pub(super) fn validate_selectors(selectors: &Value, at: &At<'_>, errors: &mut Errors) {
    let list = at.child("selectors");
    at_most(items(selectors), MOST, &list, errors);
    for (index, selector) in items(selectors).iter().enumerate() {
        let cel = list.index(index);
        let cel = cel.child("cel");
        if selector["cel"].is_null() {
            errors.required(&cel, "");
        } else if !is_set(&selector["cel"]["expression"]) {
            errors.required(&cel.child("expression"), "");
        }
    }
}

fn at_most(list: &[Value], limit: usize, at: &At<'_>, errors: &mut Errors) {
    if list.len() > limit {
        errors.too_many(at, list.len(), limit);
    }
}

fn validate_name(request: &Value, all: &[Value], index: usize, at: &At<'_>, errors: &mut Errors) {
    errors.required_name(&at.child("name"), &request["name"], validation::is_dns1123_label);
    let name = text(&request["name"]);
    if !name.is_empty() && all[..index].iter().any(|earlier| text(&earlier["name"]) == name) {
        errors.duplicate(&at.child("name"), name);
    }
}

fn validate_request(request: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.required_name(&at.child("deviceClassName"), &request["deviceClassName"], validation::is_dns1123_subdomain);
    validate_selectors(&request["selectors"], at, errors);
    let count = request["count"].as_i64().unwrap_or_default();
    match text(&request["allocationMode"]) {
        "All" if count != 0 => {
            errors.invalid(&at.child("count"), count, "must not be specified when allocationMode is 'All'");
        }
        "All" => {}
        "ExactCount" if count <= 0 => errors.invalid(&at.child("count"), count, POSITIVE),
        "ExactCount" => {}
        other => errors.not_supported(&at.child("allocationMode"), other, &["All", "ExactCount"]),
    }
}

/// Names of requests must be names of requests.
fn validate_references(part: &Value, requests: &[Value], at: &At<'_>, errors: &mut Errors) {
    let list = at.child("requests");
    for (index, reference) in items(&part["requests"]).iter().enumerate() {
        let name = text(reference);
        let (first, rest) = name.split_once('/').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let found = requests.iter().find(|request| text(&request["name"]) == first);
        let is_known = found.is_some_and(|request| {
            rest.is_none_or(|rest| items(&request["firstAvailable"]).iter().any(|it| text(&it["name"]) == rest))
        });
        if !is_known {
            let detail = "must be the name of a request in the claim or the name of a request and a subrequest \
                          separated by '/'";
            errors.invalid(&list.index(index), name, detail);
        }
    }
}

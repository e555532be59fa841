//! What claims and templates of claims ask for.

use std::collections::{BTreeMap, BTreeSet};

use portolan_api::validation;
use serde_json::{Map, Value};

use super::taints::default_tolerations;
use crate::resources::at::{At, Errors};
use crate::resources::json::{canonical_quantities, is_set, items, object, objects, set_zero, text};

/// Most items of each list.
pub(super) const MOST: usize = 32;
/// Most requests of which one is to be met.
const MOST_ALTERNATIVES: usize = 8;
/// Largest parameters, in bytes.
const PARAMETERS_LENGTH: usize = 10 * 1024;

const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

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
    default_tolerations(request);
    if let Some(capacity) = object(request, "capacity") {
        canonical_quantities(capacity, "requests");
    }
}

/// Names of requests, with those of the alternatives of each.
pub(super) struct Requests<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Requests<'a> {
    /// Those of a claim's spec.
    pub(super) fn of(spec: &'a Value) -> Self {
        let named = |list: &'a Value| items(list).iter().map(|request| (text(&request["name"]), request));
        let alternatives = |request: &'a Value| named(&request["firstAvailable"]).map(|(name, _)| name).collect();
        Self(named(&spec["devices"]["requests"]).map(|(name, request)| (name, alternatives(request))).collect())
    }

    fn has(&self, name: &str) -> bool {
        let (request, alternative) =
            name.split_once('/').map_or((name, None), |(request, alternative)| (request, Some(alternative)));
        self.0.get(request).is_some_and(|known| alternative.is_none_or(|alternative| known.contains(alternative)))
    }
}

impl Errors {
    /// What is asked for; `at` is the path of the spec.
    pub(super) fn device_claim(&mut self, at: &At<'_>, spec: &Value) {
        let (at, devices, requests) = (at.child("devices"), &spec["devices"], Requests::of(spec));
        let name = |request: &Value| text(&request["name"]).to_owned();
        self.each_once(&at.child("requests"), &devices["requests"], MOST, name, |request, at, errors| {
            errors.device_label(&at.child("name"), &request["name"]);
            match (request["exactly"].is_null(), is_set(&request["firstAvailable"])) {
                (true, false) => errors.required(at, "exactly one of `exactly` or `firstAvailable` is required"),
                (false, true) => {
                    let detail =
                        "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                    errors.invalid(at, Value::Null, detail);
                }
                (false, false) => errors.device_request(&at.child("exactly"), &request["exactly"]),
                (true, true) => {
                    let (at, list) = (at.child("firstAvailable"), &request["firstAvailable"]);
                    errors.each_once(&at, list, MOST_ALTERNATIVES, name, |request, at, errors| {
                        errors.device_label(&at.child("name"), &request["name"]);
                        errors.device_request(at, request);
                    });
                }
            }
        });
        self.each(&at.child("constraints"), &devices["constraints"], MOST, |constraint, at, errors| {
            errors.names_of_requests(&at.child("requests"), &constraint["requests"], &requests);
            match (constraint["matchAttribute"].as_str(), constraint["distinctAttribute"].as_str()) {
                (Some(name), _) => errors.device_fully_qualified_name(&at.child("matchAttribute"), name),
                (None, Some(name)) => errors.device_fully_qualified_name(&at.child("distinctAttribute"), name),
                (None, None) => errors.required(
                    at,
                    r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#,
                ),
            }
        });
        self.each(&at.child("config"), &devices["config"], MOST, |config, at, errors| {
            errors.names_of_requests(&at.child("requests"), &config["requests"], &requests);
            errors.device_configuration(at, config);
        });
    }

    fn device_request(&mut self, at: &At<'_>, request: &Value) {
        let class = &request["deviceClassName"];
        self.required_name(&at.child("deviceClassName"), class, validation::is_dns1123_subdomain);
        self.device_selectors(&at.child("selectors"), &request["selectors"]);
        let (at_count, count) = (at.child("count"), request["count"].as_i64().unwrap_or_default());
        match text(&request["allocationMode"]) {
            "All" if count != 0 => {
                self.invalid(&at_count, count, "must not be specified when allocationMode is 'All'");
            }
            "ExactCount" if count <= 0 => self.invalid(&at_count, count, "must be greater than zero"),
            "All" | "ExactCount" => {}
            other => self.not_supported(&at.child("allocationMode"), other, &["All", "ExactCount"]),
        }
        let list = at.child("tolerations");
        for (index, toleration) in items(&request["tolerations"]).iter().enumerate() {
            self.device_toleration(&list.index(index), toleration);
        }
    }

    /// Names of requests, each at most once.
    pub(super) fn names_of_requests(&mut self, at: &At<'_>, names: &Value, requests: &Requests<'_>) {
        let key = |name: &Value| text(name).to_owned();
        self.each_once(at, names, MOST, key, |name, at, errors| errors.name_of_request(at, text(name), requests));
    }

    /// The name of a request, or of a request and one of its alternatives.
    pub(super) fn name_of_request(&mut self, at: &At<'_>, name: &str, requests: &Requests<'_>) {
        if name.split('/').count() <= 2 {
            for part in name.split('/') {
                self.obeys(at, part, validation::is_dns1123_label);
            }
        }
        if !requests.has(name) {
            self.invalid(at, name, NO_REQUEST);
        }
    }

    /// Parameters of a driver.
    pub(super) fn device_configuration(&mut self, at: &At<'_>, config: &Value) {
        let (at, opaque) = (at.child("opaque"), &config["opaque"]);
        if opaque.is_null() {
            return self.required(&at, "");
        }
        self.driver(&at.child("driver"), &opaque["driver"]);
        let at = at.child("parameters");
        if opaque["parameters"].is_null() {
            self.required(&at, "");
        } else {
            self.any_object(&at, &opaque["parameters"], PARAMETERS_LENGTH);
        }
    }

    /// An object of which nothing is known, of so many bytes at most.
    pub(super) fn any_object(&mut self, at: &At<'_>, value: &Value, most: usize) {
        if value.to_string().len() > most {
            self.too_long(at, most);
        } else if !value.is_object() {
            self.invalid(at, "<value omitted>", "must be a valid JSON object");
        }
    }
}

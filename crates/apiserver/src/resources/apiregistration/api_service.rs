//! API services.

use portolan_api::{field, time, validation};
use portolan_base::{Timestamp, go};
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object, set, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of API services.
pub(crate) struct ApiService;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Service").about("The reference to the service that hosts this API endpoint."),
    Column::string("Available").about("Whether this service is available."),
    AGE,
];
/// What the status of a condition may be.
const STATUSES: [&str; 3] = ["True", "False", "Unknown"];
const HIGHEST_OF_GROUP: i64 = 20_000;
const HIGHEST_OF_VERSION: i64 = 1_000;

impl Strategy for ApiService {
    fn default(&self, object: &mut Value) {
        if let Some(service) = spec(object).and_then(|spec| self::object(spec, "service")) {
            set(service, "port", 443);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        // What this server serves itself is there as long as the server is.
        let is_local = !object["spec"]["service"].is_object();
        let Some(fields) = object.as_object_mut() else { return };
        fields.insert("status".into(), json!({}));
        if is_local {
            let available = json!({
                "type": "Available", "status": "True", "lastTransitionTime": time::format(context.now),
                "reason": "Local", "message": "Local APIServices are always available",
            });
            fields.insert("status".into(), json!({"conditions": [available]}));
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        let (group, version) = (text(&spec["group"]), text(&spec["version"]));
        let required = format!("{version}.{group}");
        let detail = format!("must be `spec.version+\".\"+spec.group`: {}", go::quote(&required));
        errors.decided_name(&object["metadata"], &required, &detail);
        if group.is_empty() && version != "v1" {
            errors.required(&at.child("group"), "only v1 may have an empty group and it better be legacy kube");
        }
        errors.obeys_if_set(&at.child("group"), &spec["group"], validation::is_dns1123_subdomain);
        errors.obeys(&at.child("version"), version, validation::is_dns1035_label);
        let bounds = [("groupPriorityMinimum", HIGHEST_OF_GROUP), ("versionPriority", HIGHEST_OF_VERSION)];
        for (field, highest) in bounds {
            let value = integer(&spec[field]);
            if !(1..=highest).contains(&value) {
                errors.invalid(&at.child(field), value, format!("must be positive and less than {highest}"));
            }
        }
        validate_service(spec, &at, &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, _old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let at = At::root("status");
            let list = at.child("conditions");
            for (index, condition) in items(&new["status"]["conditions"]).iter().enumerate() {
                let status = text(&condition["status"]);
                if !STATUSES.contains(&status) {
                    errors.not_supported_as_listed(&list.index(index).child("status"), status, &STATUSES);
                }
            }
        }
        errors.0
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let service = &object["spec"]["service"];
        let service = if service.is_null() {
            "Local".to_owned()
        } else {
            format!("{}/{}", text(&service["namespace"]), text(&service["name"]))
        };
        let available = items(&object["status"]["conditions"]).iter().find(|it| text(&it["type"]) == "Available");
        let available = match available {
            None => "Unknown".to_owned(),
            Some(condition) if text(&condition["status"]) == "True" => "True".to_owned(),
            Some(condition) => format!("{} ({})", text(&condition["status"]), text(&condition["reason"])),
        };
        vec![print::name(object), service.into(), available.into(), print::age(object, now)]
    }
}

fn validate_service(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let insecure = spec["insecureSkipTLSVerify"] == true;
    let service = &spec["service"];
    if service.is_null() {
        if is_set(&spec["caBundle"]) {
            let bundle = text(&spec["caBundle"]).trim_end_matches('=');
            let shown = format!("{} bytes", bundle.len() * 3 / 4);
            errors.invalid(&at.child("caBundle"), shown, "local APIServices may not have a caBundle");
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.invalid(&at.child("insecureSkipTLSVerify"), true, detail);
        }
        return;
    }
    let place = at.child("service");
    errors.present(&place.child("namespace"), &service["namespace"]);
    errors.present(&place.child("name"), &service["name"]);
    if let Some(port) = service["port"].as_i64().filter(|port| !(1..=65535).contains(port)) {
        let detail = format!("port is not valid: {}", validation::inclusive_range(1, 65535));
        errors.invalid(&place.child("port"), port, detail);
    }
    if insecure && is_set(&spec["caBundle"]) {
        errors.invalid(&at.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
    }
}

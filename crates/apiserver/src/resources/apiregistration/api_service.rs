//! API services: who serves a version of a group.
//!
//! Source: `kube-aggregator/pkg/apis/apiregistration/validation` and the status of local services.

use portolan_api::{field, time, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of API services.
pub(crate) struct ApiService;

const COLUMNS: &[Column] = &[NAME, Column::string("Service"), Column::string("Available"), AGE];

impl Strategy for ApiService {
    fn default(&self, object: &mut Value) {
        let service =
            crate::resources::json::spec(object).and_then(|spec| crate::resources::json::object(spec, "service"));
        if let Some(service) = service {
            crate::resources::json::set_zero(service, "port", 443);
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
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let (group, version) = (text(&spec["group"]), text(&spec["version"]));
        let wanted = format!("{version}.{group}");
        if text(&object["metadata"]["name"]) != wanted {
            let metadata = At::root("metadata");
            let detail = format!("must be `spec.version+\".\"+spec.group`: \"{wanted}\"");
            errors.invalid(&metadata.child("name"), object["metadata"]["name"].clone(), detail);
        }
        if version.is_empty() {
            errors.required(&at.child("version"), "");
        }
        for problem in validation::is_dns1035_label(version).into_iter().filter(|_| !version.is_empty()) {
            errors.invalid(&at.child("version"), version, problem);
        }
        for (name, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
            let value = spec[name].as_i64().unwrap_or_default();
            if !(1..=most).contains(&value) {
                let detail =
                    format!("must be positive and less than {}", if most == 20_000 { "20000" } else { "1000" });
                errors.invalid(&at.child(name), value, detail);
            }
        }
        let service = &spec["service"];
        if !service.is_object() {
            if is_set(&spec["caBundle"]) {
                errors.invalid(&at.child("caBundle"), "<omitted>", "local APIServices may not have a caBundle");
            }
            if spec["insecureSkipTLSVerify"] == true {
                let detail = "local APIServices may not have insecureSkipTLSVerify";
                errors.invalid(&at.child("insecureSkipTLSVerify"), true, detail);
            }
            return errors.0;
        }
        let at_service = at.child("service");
        for name in ["namespace", "name"] {
            if !is_set(&service[name]) {
                errors.required(&at_service.child(name), "");
            }
        }
        if is_set(&spec["caBundle"]) && spec["insecureSkipTLSVerify"] == true {
            let detail = "may not be true if caBundle is present";
            errors.invalid(&at.child("insecureSkipTLSVerify"), true, detail);
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
        let place = match service.is_object() {
            true => format!("{}/{}", text(&service["namespace"]), text(&service["name"])),
            false => "Local".to_owned(),
        };
        let conditions = items(&object["status"]["conditions"]);
        let available = conditions.iter().find(|condition| text(&condition["type"]) == "Available");
        let available = match available {
            None => "Unknown".to_owned(),
            Some(condition) if text(&condition["status"]) == "True" => "True".to_owned(),
            Some(condition) => format!("{} ({})", text(&condition["status"]), text(&condition["reason"])),
        };
        vec![print::name(object), place.into(), available.into(), print::age(object, now)]
    }
}

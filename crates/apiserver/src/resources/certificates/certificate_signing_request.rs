//! Certificate signing requests.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of certificate signing requests.
pub(crate) struct CertificateSigningRequest;

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    Column::string("SignerName"),
    Column::string("Requestor"),
    Column::string("RequestedDuration"),
    Column::string("Condition"),
];
/// The shortest life of a certificate that may be asked for.
const SHORTEST_SECONDS: i64 = 600;

impl Strategy for CertificateSigningRequest {
    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), Map::new().into());
        }
        // Who asks is a fact of the request, not a claim in it.
        if let Some(spec) = crate::resources::json::spec(object) {
            for claim in ["uid", "groups", "extra"] {
                spec.remove(claim);
            }
            spec.insert("username".to_owned(), context.user.as_str().into());
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let writes_status = matches!(context.subresource.as_str(), "status" | "approval");
        crate::strategy::keep_other_half(new, old, writes_status);
        if let Some(fields) = new.as_object_mut() {
            crate::resources::json::copy(fields, "spec", old);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.present(&at.child("request"), &spec["request"]);
        if !is_set(&spec["usages"]) {
            errors.required(&at.child("usages"), "");
        }
        let signer = text(&spec["signerName"]);
        let parts = signer.split_once('/');
        if signer.is_empty() {
            errors.required(&at.child("signerName"), "");
        } else if parts.is_none_or(|(domain, path)| !domain.contains('.') || path.is_empty()) {
            let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            errors.invalid(&at.child("signerName"), signer, detail);
        }
        if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < SHORTEST_SECONDS) {
            let detail = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid(&at.child("expirationSeconds"), seconds, detail);
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
        let spec = &object["spec"];
        let duration = spec["expirationSeconds"].as_i64().map_or_else(|| print::NONE.to_owned(), print::human_duration);
        vec![
            print::name(object),
            print::age(object, now),
            spec["signerName"].as_str().unwrap_or(print::NONE).into(),
            text(&spec["username"]).into(),
            duration.into(),
            condition(&object["status"]).into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["spec.signerName"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        (name == "spec.signerName").then(|| text(&object["spec"]["signerName"]).to_owned())
    }
}

fn condition(status: &Value) -> String {
    let has = |kind: &str| items(&status["conditions"]).iter().any(|condition| text(&condition["type"]) == kind);
    let mut words = Vec::new();
    if has("Denied") {
        words.push("Denied");
    } else if has("Approved") {
        words.push("Approved");
    } else {
        words.push("Pending");
    }
    if has("Failed") {
        words.push("Failed");
    }
    if is_set(&status["certificate"]) {
        words.push("Issued");
    }
    words.join(",")
}

//! Certificate signing requests.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_api::field;
use portolan_base::Timestamp;
use portolan_identity::CertificateRequest;
use serde_json::{Map, Value};

use super::request_status;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of certificate signing requests.
pub(crate) struct CertificateSigningRequest;

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    Column::string("SignerName").of("certificates.CertificateSigningRequestSpec", "signerName"),
    Column::string("Requestor").of("certificates.CertificateSigningRequestSpec", "request"),
    Column::string("RequestedDuration").of("certificates.CertificateSigningRequestSpec", "expirationSeconds"),
    Column::string("Condition").of("certificates.CertificateSigningRequestStatus", "conditions"),
];
/// What a key may be used for.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// The signer of requests that did not name one, when that was allowed.
const LEGACY: &str = "kubernetes.io/legacy-unknown";
/// The shortest life of a certificate that may be asked for.
const SHORTEST_SECONDS: i64 = 600;

impl Strategy for CertificateSigningRequest {
    // Who asks is a fact of the request, not a claim in it: admission writes it.
    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), Map::new().into());
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let writes_status = matches!(context.subresource.as_str(), "status" | "approval");
        crate::strategy::keep_other_half(new, old, writes_status);
        let Some(fields) = new.as_object_mut() else { return };
        crate::resources::json::copy(fields, "spec", old);
        let Some(status) = fields.get_mut("status").and_then(Value::as_object_mut) else { return };
        if context.subresource == "approval" {
            crate::resources::json::copy(status, "certificate", &old["status"]);
        }
        if context.subresource == "status" {
            request_status::keep_decisions(status, &old["status"]);
        }
        if writes_status {
            request_status::stamp(status, &old["status"], context.now);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let pem = BASE64_STANDARD.decode(text(&spec["request"])).unwrap_or_default();
        if let Err(error) = CertificateRequest::from_pem(&pem) {
            let detail = match error {
                portolan_identity::Error::CertificateRequest(detail) => detail,
                error => error.to_string(),
            };
            errors.invalid(&at.child("request"), spec["request"].clone(), detail);
        }
        if !is_set(&spec["usages"]) {
            errors.required(&at.child("usages"), "");
        }
        let mut usages = HashSet::new();
        for (index, usage) in items(&spec["usages"]).iter().enumerate() {
            let at = at.child("usages");
            if !USAGES.contains(&text(usage)) {
                errors.not_supported(&at.index(index), usage.clone(), &USAGES);
            }
            if !usages.insert(text(usage)) {
                errors.duplicate(&at.index(index), usage.clone());
            }
        }
        let signer = text(&spec["signerName"]);
        if signer == LEGACY {
            let detail = "the legacy signerName is not allowed via this API version";
            errors.invalid(&at.child("signerName"), signer, detail);
        } else {
            errors.signer_name(&at.child("signerName"), signer);
        }
        if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < SHORTEST_SECONDS) {
            let detail = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid(&at.child("expirationSeconds"), seconds, detail);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        request_status::validate_changed(&new["status"], &old["status"], &context.subresource, &mut errors);
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
    let has = |kind: &str| request_status::has(status, kind);
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

//! Certificate signing requests.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_api::{field, time};
use portolan_base::Timestamp;
use portolan_identity::CertificateRequest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
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
        if writes_status {
            stamp(status, &old["status"], context.now);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.present(&at.child("request"), &spec["request"]);
        if is_set(&spec["request"]) {
            let pem = BASE64_STANDARD.decode(text(&spec["request"])).unwrap_or_default();
            if let Err(error) = CertificateRequest::from_pem(&pem) {
                let detail = match error {
                    portolan_identity::Error::CertificateRequest(detail) => detail,
                    error => error.to_string(),
                };
                errors.invalid(&at.child("request"), spec["request"].clone(), detail);
            }
        }
        if !is_set(&spec["usages"]) {
            errors.required(&at.child("usages"), "");
        }
        for (index, usage) in items(&spec["usages"]).iter().enumerate() {
            let at = at.child("usages");
            if !USAGES.contains(&text(usage)) {
                errors.not_supported(&at.index(index), usage.clone(), &USAGES);
            } else if items(&spec["usages"])[..index].contains(usage) {
                errors.duplicate(&at.index(index), usage.clone());
            }
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
        validate_conditions(&object["status"]["conditions"], &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("status"));
        let (new, old) = (&new["status"], &old["status"]);
        for kind in ["Approved", "Denied", "Failed"] {
            let (is, was) = (has(new, kind), has(old, kind));
            let conditions = at.child("conditions");
            if was && !is {
                errors.forbidden(&conditions, format!("updates may not remove a condition of type \"{kind}\""));
            }
            if is && !was && kind != "Failed" && context.subresource != "approval" {
                errors.forbidden(&conditions, format!("updates may not add a condition of type \"{kind}\""));
            }
        }
        if new["certificate"] != old["certificate"] {
            let at = at.child("certificate");
            if is_set(&old["certificate"]) {
                errors.forbidden(&at, "updates may not modify existing certificate content");
            } else if context.subresource != "status" {
                errors.forbidden(&at, "updates may not set certificate content");
            } else {
                let pem = BASE64_STANDARD.decode(text(&new["certificate"])).unwrap_or_default();
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                if certificates.map_or(true, |list| list.is_empty()) {
                    let detail = "must contain at least one CERTIFICATE PEM block";
                    errors.invalid(&at, "<certificate data>", detail);
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

fn has(status: &Value, kind: &str) -> bool {
    items(&status["conditions"]).iter().any(|condition| text(&condition["type"]) == kind)
}

/// Fills in when conditions came and changed.
fn stamp(status: &mut Map<String, Value>, old: &Value, now: Timestamp) {
    for condition in crate::resources::json::objects(status, "conditions") {
        let kind = condition.get("type").map(text).unwrap_or_default().to_owned();
        let before = items(&old["conditions"]).iter().find(|old| text(&old["type"]) == kind);
        if !condition.get("lastUpdateTime").is_some_and(is_set) {
            condition.insert("lastUpdateTime".into(), time::format(now).into());
        }
        if !condition.get("lastTransitionTime").is_some_and(is_set) {
            let same = before.filter(|old| Some(&old["status"]) == condition.get("status"));
            let since = same.map_or_else(|| time::format(now).into(), |old| old["lastTransitionTime"].clone());
            condition.insert("lastTransitionTime".into(), since);
        }
    }
}

fn validate_conditions(conditions: &Value, errors: &mut Errors) {
    let status = At::root("status");
    let list = status.child("conditions");
    let conditions = items(conditions);
    for (index, condition) in conditions.iter().enumerate() {
        let at = list.index(index);
        let kind = text(&condition["type"]);
        if kind.is_empty() {
            errors.required(&at.child("type"), "");
        }
        match text(&condition["status"]) {
            "" => errors.required(&at.child("status"), ""),
            "True" => {}
            other if matches!(kind, "Approved" | "Denied" | "Failed") => {
                errors.not_supported(&at.child("status"), other, &["True"]);
            }
            _ => {}
        }
        if conditions[..index].iter().any(|other| text(&other["type"]) == kind) {
            errors.duplicate(&at.child("type"), kind);
        }
        let exclusive = |other: &str| conditions[..index].iter().any(|before| text(&before["type"]) == other);
        if kind == "Denied" && exclusive("Approved") || kind == "Approved" && exclusive("Denied") {
            errors.invalid(&at.child("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
    }
}

fn condition(status: &Value) -> String {
    let has = |kind: &str| has(status, kind);
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

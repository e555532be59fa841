//! Secrets.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_api::decode::syntax_problem;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::config_map::{SIZE_LIMIT, decoded_length, validate_immutable};
use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, is_set, object_or_new, set_zero, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of secrets.
pub(crate) struct Secret;

const COLUMNS: &[Column] =
    &[NAME, Column::string("Type").of("core.Secret", "type"), Column::string("Data").of("core.Secret", "data"), AGE];
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        let Some(secret) = object.as_object_mut() else { return };
        set_zero(secret, "type", "Opaque");
        // `stringData` is for writing only: it becomes `data`.
        let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
        if texts.is_empty() {
            return;
        }
        if let Some(data) = object_or_new(secret, "data") {
            for (key, value) in texts {
                data.insert(key, BASE64_STANDARD.encode(text(&value)).into());
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, data) = (Errors::default(), At::root("data"), &object["data"]);
        let mut size = 0;
        for (key, value) in entries(data) {
            let at = at.key(key);
            errors.obeys(&at, key, validation::is_config_map_key);
            size += decoded_length(&at, value, &mut errors);
        }
        if size > SIZE_LIMIT {
            errors.too_long(&at, SIZE_LIMIT);
        }
        validate_by_type(object, &at, &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable(&At::root("type"), &new["type"], &old["type"]);
        validate_immutable(new, old, &["data"], &mut errors);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = entries(&object["data"]).count();
        vec![print::name(object), object["type"].clone(), count.into(), print::age(object, now)]
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        (name == "type").then(|| text(&object["type"]).to_owned())
    }
}

/// Keys that some types of secret promise to their readers.
fn validate_by_type(secret: &Value, at: &At<'_>, errors: &mut Errors) {
    let data = &secret["data"];
    let has = |key: &str| data.get(key).is_some();
    match text(&secret["type"]) {
        "kubernetes.io/service-account-token" if !is_set(&secret["metadata"]["annotations"][ACCOUNT_NAME]) => {
            let metadata = At::root("metadata");
            let annotations = metadata.child("annotations");
            errors.required(&annotations.key(ACCOUNT_NAME), "");
        }
        "kubernetes.io/dockercfg" => validate_json(data, ".dockercfg", at, errors),
        "kubernetes.io/dockerconfigjson" => validate_json(data, ".dockerconfigjson", at, errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.required(&at.key("username"), "");
            errors.required(&at.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if !is_set(&data["ssh-privatekey"]) => errors.required(&at.key("ssh-privatekey"), ""),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !has(key) {
                    errors.required(&at.key(key), "");
                }
            }
        }
        _ => {}
    }
}

fn validate_json(data: &Value, key: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.key(key);
    let Some(encoded) = data.get(key) else {
        errors.required(&at, "");
        return;
    };
    let decoded = BASE64_STANDARD.decode(text(encoded)).unwrap_or_default();
    if let Some(problem) = syntax_problem(&decoded) {
        errors.invalid(&at, "<secret contents redacted>", problem);
    }
}

//! Claims of devices, and templates of them.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use super::device_claim::{default_spec, validate_spec};
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{is_set, object, spec};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of resource claims.
pub(crate) struct ResourceClaim;

/// The strategy of templates of resource claims.
pub(crate) struct ResourceClaimTemplate;

const COLUMNS: &[Column] = &[NAME, Column::string("State"), AGE];
const TEMPLATE_COLUMNS: &[Column] = &[NAME, AGE];

fn immutable_spec(new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    if new["spec"] != old["spec"] {
        errors.invalid(&At::root("spec"), new["spec"].clone(), IMMUTABLE);
    }
    errors.0
}

impl Strategy for ResourceClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        validate_spec(&object["spec"], &At::root("spec"), &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        immutable_spec(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let status = &object["status"];
        let mut states = Vec::new();
        if is_set(&object["metadata"]["deletionTimestamp"]) {
            states.push("deleted");
        }
        match status["allocation"].is_null() {
            true if states.is_empty() => states.push("pending"),
            true => {}
            false => states.push("allocated"),
        }
        if is_set(&status["reservedFor"]) {
            states.push("reserved");
        }
        vec![print::name(object), states.join(",").into(), print::age(object, now)]
    }
}

impl Strategy for ResourceClaimTemplate {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object).and_then(|spec| self::object(spec, "spec")) {
            default_spec(spec);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        validate_spec(&object["spec"]["spec"], &at.child("spec"), &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        immutable_spec(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        TEMPLATE_COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::age(object, now)]
    }
}

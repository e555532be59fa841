//! Claims of devices, and templates of them.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use super::claim_status::{default_status, forget_deallocated};
use super::device_claim::default_spec;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, object, spec};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy, keep_other_half};

/// The strategy of resource claims.
pub(crate) struct ResourceClaim;

/// The strategy of templates of resource claims.
pub(crate) struct ResourceClaimTemplate;

const COLUMNS: &[Column] =
    &[NAME, Column::string("State").about("A summary of the current state (allocated, pending, reserved, etc.)."), AGE];
const TEMPLATE_COLUMNS: &[Column] = &[NAME, AGE];

fn immutable_spec(structure: &str, new: &Value, old: &Value) -> Vec<field::Error> {
    let mut errors = Errors::default();
    errors.immutable_structure(&At::root("spec"), structure, &new["spec"], &old["spec"]);
    errors.0
}

impl Strategy for ResourceClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            default_spec(spec);
        }
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            default_status(status);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let is_status = context.subresource == "status";
        keep_other_half(new, old, is_status);
        if is_status {
            forget_deallocated(new, old);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.device_claim(&At::root("spec"), &object["spec"]);
        errors.0
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        if context.subresource == "status" {
            let mut errors = Errors::default();
            errors.claim_status(new, old);
            return errors.0;
        }
        immutable_spec("ResourceClaimSpec", new, old)
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
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        errors.template_metadata(&at.child("metadata"), &object["spec"]["metadata"]);
        errors.device_claim(&at.child("spec"), &object["spec"]["spec"]);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        immutable_spec("ResourceClaimTemplateSpec", new, old)
    }

    fn columns(&self) -> &'static [Column] {
        TEMPLATE_COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::age(object, now)]
    }
}

//! Leases: who holds a lock, and signs of life of nodes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::text;
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of leases.
pub(crate) struct Lease;

const COLUMNS: &[Column] = &[NAME, Column::string("Holder"), AGE];

impl Strategy for Lease {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
            errors.invalid(&at.child("leaseDurationSeconds"), seconds, POSITIVE);
        }
        errors.not_negative(&at.child("leaseTransitions"), &spec["leaseTransitions"]);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), text(&object["spec"]["holderIdentity"]).into(), print::age(object, now)]
    }
}

//! Leases: who holds a lock, and signs of life of nodes.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{is_set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of leases.
pub(crate) struct Lease;

const COLUMNS: &[Column] = &[NAME, Column::string("Holder").of("coordination.LeaseSpec", "holderIdentity"), AGE];

impl Strategy for Lease {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
            errors.invalid(&at.child("leaseDurationSeconds"), seconds, POSITIVE);
        }
        errors.not_negative(&at.child("leaseTransitions"), &spec["leaseTransitions"]);
        let (strategy, preferred) = (&spec["strategy"], at.child("preferredHolder"));
        if let Some(name) = strategy.as_str() {
            // Upstream names the field twice.
            let at = at.child("strategy");
            let at = at.child("strategy");
            if name.contains('/') {
                errors.obeys(&at, name, validation::is_qualified_name);
            } else if name != "OldestEmulationVersion" {
                errors.not_supported(&at, name, &["OldestEmulationVersion"]);
            }
        }
        if is_set(&spec["preferredHolder"]) && !is_set(strategy) {
            errors.forbidden(&preferred, "may only be specified if `strategy` is defined");
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), text(&object["spec"]["holderIdentity"]).into(), print::age(object, now)]
    }
}

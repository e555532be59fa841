//! External nodes: machines outside the cluster that instances run on.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::health_check;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The strategy of external nodes.
pub(crate) struct ExternalNode;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Node").of("registry.ExternalNodeSpec", "node"),
    Column::string("Address").of("registry.ExternalNodeSpec", "address"),
    Column::string("Health").of("registry.HealthCheckStatus", "health"),
    AGE,
    Column::string("Origin").of("registry.ExternalNodeSpec", "origin").wide(),
];

impl Strategy for ExternalNode {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            health_check::default(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        super::forget_created_revision(object);
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        super::keep_created_revision(new, old);
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at) = (Errors::default(), At::root("spec"));
        errors.required_name(&at.child("node"), &object["spec"]["node"], validation::is_registered_name);
        health_check::validate(&object["spec"], &at, &mut errors);
        health_check::validate_status(&object["status"], &At::root("status"), &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource != "status" {
            errors.immutable(&At::root("spec").child("node"), &new["spec"]["node"], &old["spec"]["node"]);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let found = items(&object["status"]["checks"]).iter().map(|check| text(&check["health"]));
        // In the order of the alphabet, the worst is the least but for warning and passing.
        let health =
            found.min_by_key(|health| ["critical", "warning", "passing"].iter().position(|word| word == health));
        vec![
            print::name(object),
            text(&spec["node"]).into(),
            text(&spec["address"]).into(),
            health.unwrap_or(print::NONE).into(),
            print::age(object, now),
            text(&spec["origin"]).into(),
        ]
    }
}

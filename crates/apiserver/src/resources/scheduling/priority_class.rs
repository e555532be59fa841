//! Priority classes.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{set, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of priority classes.
pub(crate) struct PriorityClass;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Value").of("scheduling.PriorityClass", "value"),
    Column::boolean("Global-Default").of("scheduling.PriorityClass", "globalDefault"),
    AGE,
    Column::string("PreemptionPolicy").of("scheduling.PriorityClass", "preemptionPolicy"),
];
/// The highest priority that is not kept for the system.
const HIGHEST: i64 = 1_000_000_000;

impl Strategy for PriorityClass {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn is_new_generation(&self, _new: &Value, _old: &Value) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        if let Some(class) = object.as_object_mut() {
            set(class, "preemptionPolicy", "PreemptLowerPriority");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let name = text(&object["metadata"]["name"]);
        let metadata = At::root("metadata");
        let of_system = matches!(name, "system-cluster-critical" | "system-node-critical");
        if name.starts_with("system-") && !of_system {
            let detail =
                "priority class names with 'system-' prefix are reserved for system use only. error: ".to_owned();
            errors.forbidden(&metadata.child("name"), format!("{detail}{name} is not a known system priority class"));
        }
        if integer(&object["value"]) > HIGHEST && !of_system {
            errors.forbidden(
                &At::root("value"),
                format!("maximum allowed value of a user defined priority is {HIGHEST}"),
            );
        }
        errors.required_one_of_as_listed(
            &At::root("preemptionPolicy"),
            &object["preemptionPolicy"],
            &["PreemptLowerPriority", "Never"],
        );
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if integer(&new["value"]) != integer(&old["value"]) {
            errors.forbidden(&At::root("value"), "may not be changed in an update.");
        }
        errors.immutable(&At::root("preemptionPolicy"), &new["preemptionPolicy"], &old["preemptionPolicy"]);
        errors.0
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            print::name(object),
            integer(&object["value"]).into(),
            (object["globalDefault"] == true).into(),
            print::age(object, now),
            text(&object["preemptionPolicy"]).into(),
        ]
    }
}

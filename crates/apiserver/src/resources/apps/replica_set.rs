//! Replica sets.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::default_template;
use crate::resources::json::{set, spec};
use crate::resources::print::{self, integer};
use crate::resources::workload::{named_warnings, wide_cells};
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy};

/// The strategy of replica sets.
pub(crate) struct ReplicaSet;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Desired").of("apps.ReplicaSetSpec", "replicas"),
    Column::integer("Current").of("apps.ReplicaSetStatus", "replicas"),
    Column::integer("Ready").of("apps.ReplicaSetStatus", "readyReplicas"),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("apps.ReplicaSetSpec", "selector").wide(),
];

const COUNTS: [&str; 6] = [
    "observedGeneration",
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
];
const BOUNDS: [(&str, &str); 3] =
    [("fullyLabeledReplicas", "replicas"), ("readyReplicas", "replicas"), ("availableReplicas", "replicas")];

impl Strategy for ReplicaSet {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set(spec, "replicas", 1);
        default_template(spec);
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.none_negative(&at, spec, &["replicas", "minReadySeconds"]);
        // Upstream shares the text with deployments.
        if errors.selector_of_template(&at, spec, "deployment", "invalid label selector") {
            errors.lasting_template(&at, &spec["template"], "ReplicaSet");
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            validate_status(&new["status"], &mut errors);
        } else {
            errors.immutable_selector(
                &At::root("spec").child("selector"),
                &new["spec"]["selector"],
                &old["spec"]["selector"],
            );
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        named_warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        cells(object, print::label_selector(&object["spec"]["selector"]), now)
    }
}

pub(crate) fn validate_status(status: &Value, errors: &mut Errors) {
    errors.status_counts(status, &COUNTS, &BOUNDS);
    errors.available_within_ready(status);
}

pub(crate) fn cells(object: &Value, selector: String, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut cells = vec![
        print::name(object),
        integer(&spec["replicas"]).into(),
        integer(&status["replicas"]).into(),
        integer(&status["readyReplicas"]).into(),
        print::age(object, now),
    ];
    cells.extend(wide_cells(spec, selector));
    cells
}

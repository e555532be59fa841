//! Daemon sets.

use std::num::IntErrorKind;

use portolan_api::field::Shown;
use portolan_api::{field, int_or_string};
use portolan_base::{Timestamp, go};
use serde_json::Value;

use super::deployment::internal_strategy;
use crate::resources::at::{At, Errors};
use crate::resources::checks::{is_empty_selector, shown_selector};
use crate::resources::core::pod_template::default_template;
use crate::resources::json::{object_or_new, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::{of_template_warnings, wide_cells};
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy, keep_other_half};

/// The strategy of daemon sets.
pub(crate) struct DaemonSet;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Desired").of("apps.DaemonSetStatus", "desiredNumberScheduled"),
    Column::integer("Current").of("apps.DaemonSetStatus", "currentNumberScheduled"),
    Column::integer("Ready").of("apps.DaemonSetStatus", "numberReady"),
    Column::integer("Up-to-date").of("apps.DaemonSetStatus", "updatedNumberScheduled"),
    Column::integer("Available").of("apps.DaemonSetStatus", "numberAvailable"),
    Column::string("Node Selector").of("core.PodSpec", "nodeSelector"),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("apps.DaemonSetSpec", "selector").wide(),
];

/// Counts the changes of the template; no client may write it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &Value) -> i64 {
    text(&object["metadata"]["annotations"][TEMPLATE_GENERATION]).parse().unwrap_or_default()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let metadata = object.as_object_mut().and_then(|fields| object_or_new(fields, "metadata"));
    if let Some(annotations) = metadata.and_then(|metadata| object_or_new(metadata, "annotations")) {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string().into());
    }
}

impl Strategy for DaemonSet {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn unreadable(&self, object: &Value) -> Option<String> {
        let generation = object["metadata"]["annotations"][TEMPLATE_GENERATION].as_str()?;
        let why = match generation.parse::<i64>() {
            Ok(_) => return None,
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            },
        };
        Some(format!("strconv.ParseInt: parsing {}: {why}", go::quote(generation)))
    }

    fn default(&self, object: &mut Value) {
        // Upstream keeps the count in a field of its own, so that who writes an object says 0 by saying nothing.
        if object["metadata"]["annotations"][TEMPLATE_GENERATION].is_null() {
            set_template_generation(object, 0);
        }
        let Some(spec) = spec(object) else { return };
        set(spec, "revisionHistoryLimit", 10);
        if let Some(strategy) = object_or_new(spec, "updateStrategy") {
            set_zero(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate"
                && let Some(rolling) = object_or_new(strategy, "rollingUpdate")
            {
                set(rolling, "maxUnavailable", 1);
                set(rolling, "maxSurge", 0);
            }
        }
        default_template(spec);
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let generation = template_generation(object).max(1);
        set_template_generation(object, generation);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        let changed = new["spec"]["template"] != old["spec"]["template"];
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        if errors.label_selector(&at.child("selector"), &spec["selector"]) {
            errors.selects_template(&at, spec);
        }
        if is_empty_selector(&spec["selector"]) {
            let shown = shown_selector(&spec["selector"]);
            errors.invalid(&at.child("selector"), shown, "empty selector is invalid for daemonset");
        }
        errors.lasting_template(&at, &spec["template"], "DaemonSet");
        errors.none_negative(&at, spec, &["minReadySeconds", "revisionHistoryLimit"]);
        let strategy = at.child("updateStrategy");
        match text(&spec["updateStrategy"]["type"]) {
            "OnDelete" => {}
            "RollingUpdate" => {
                let (rolling, at) = (&spec["updateStrategy"]["rollingUpdate"], strategy.child("rollingUpdate"));
                for field in ["maxUnavailable", "maxSurge"] {
                    errors.int_or_percent(&at.child(field), &rolling[field]);
                    errors.at_most_100_percent(&at.child(field), &rolling[field]);
                }
                let amount = |field: &str| match &rolling[field] {
                    Value::Number(number) => number.as_i64().unwrap_or_default(),
                    value => int_or_string::percent(value).unwrap_or_default(),
                };
                match (amount("maxUnavailable") != 0, amount("maxSurge") != 0) {
                    (false, false) => {
                        errors.required(&at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                    }
                    (true, true) => {
                        let detail = "may not be set when maxUnavailable is non-zero";
                        errors.invalid(&at.child("maxSurge"), rolling["maxSurge"].clone(), detail);
                    }
                    _ => {}
                }
            }
            other => {
                let whole = internal_strategy(other, &spec["updateStrategy"]["rollingUpdate"]);
                errors.not_supported_as_listed(&strategy, Shown::Text(whole), &["RollingUpdate", "OnDelete"]);
            }
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let counts = [
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ];
            errors.status_counts(&new["status"], &counts, &[]);
            errors.collision_count(&new["status"], &old["status"]);
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
        of_template_warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let mut cells = vec![
            print::name(object),
            integer(&status["desiredNumberScheduled"]).into(),
            integer(&status["currentNumberScheduled"]).into(),
            integer(&status["numberReady"]).into(),
            integer(&status["updatedNumberScheduled"]).into(),
            integer(&status["numberAvailable"]).into(),
            print::labels(&spec["template"]["spec"]["nodeSelector"]).into(),
            print::age(object, now),
        ];
        cells.extend(wide_cells(spec, print::label_selector(&spec["selector"])));
        cells
    }
}

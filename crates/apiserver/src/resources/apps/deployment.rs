//! Deployments.

use portolan_api::field::{self, Shown};
use portolan_api::int_or_string::percent;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::default_template;
use crate::resources::json::{object_or_new, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::{named_warnings, wide_cells};
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, Strategy};

/// The strategy of deployments.
pub(crate) struct Deployment;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Ready").about("Number of the pod with ready state"),
    Column::string("Up-to-date").of("apps.DeploymentStatus", "updatedReplicas"),
    Column::string("Available").of("apps.DeploymentStatus", "availableReplicas"),
    AGE,
    CONTAINERS.wide(),
    IMAGES.wide(),
    Column::string("Selector").of("apps.DeploymentSpec", "selector").wide(),
];

impl Strategy for Deployment {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set(spec, "replicas", 1);
        set(spec, "revisionHistoryLimit", 10);
        set(spec, "progressDeadlineSeconds", 600);
        if let Some(strategy) = object_or_new(spec, "strategy") {
            set_zero(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate"
                && let Some(rolling) = object_or_new(strategy, "rollingUpdate")
            {
                set(rolling, "maxUnavailable", "25%");
                set(rolling, "maxSurge", "25%");
            }
        }
        default_template(spec);
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.none_negative(
            &at,
            spec,
            &["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"],
        );
        if errors.selector_of_template(&at, spec, "deployment", "invalid label selector") {
            errors.lasting_template(&at, &spec["template"], "ReplicaSet");
        }
        validate_strategy(&spec["strategy"], &at.child("strategy"), &mut errors);
        if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64()
            && deadline <= integer(&spec["minReadySeconds"])
        {
            errors.invalid(&at.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let counts = [
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ];
            let bounds =
                [("updatedReplicas", "replicas"), ("readyReplicas", "replicas"), ("availableReplicas", "replicas")];
            errors.status_counts(&new["status"], &counts, &bounds);
            errors.available_within_ready(&new["status"]);
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
        named_warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let mut cells = vec![
            print::name(object),
            format!("{}/{}", integer(&status["readyReplicas"]), integer(&spec["replicas"])).into(),
            integer(&status["updatedReplicas"]).into(),
            integer(&status["availableReplicas"]).into(),
            print::age(object, now),
        ];
        cells.extend(wide_cells(spec, print::label_selector(&spec["selector"])));
        cells
    }
}

fn validate_strategy(strategy: &Value, at: &At<'_>, errors: &mut Errors) {
    let rolling = &strategy["rollingUpdate"];
    let inner = at.child("rollingUpdate");
    match text(&strategy["type"]) {
        "Recreate" if !rolling.is_null() => {
            errors.forbidden(&inner, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let (surge, unavailable) = (&rolling["maxSurge"], &rolling["maxUnavailable"]);
            errors.int_or_percent(&inner.child("maxUnavailable"), unavailable);
            errors.int_or_percent(&inner.child("maxSurge"), surge);
            if is_zero(unavailable) && is_zero(surge) {
                errors.invalid(
                    &inner.child("maxUnavailable"),
                    unavailable.clone(),
                    "may not be 0 when `maxSurge` is 0",
                );
            }
            errors.at_most_100_percent(&inner.child("maxUnavailable"), unavailable);
        }
        other => {
            let shown = Shown::Text(internal_strategy(other, rolling));
            errors.not_supported(at, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

/// The strategy as upstream shows it as a whole: by the names of its own structures.
pub(super) fn internal_strategy(kind: &str, rolling: &Value) -> String {
    let or_zero = |value: &Value| if value.is_null() { Value::from(0) } else { value.clone() };
    let rolling = match rolling {
        Value::Null => "null".to_owned(),
        rolling => {
            let (unavailable, surge) = (or_zero(&rolling["maxUnavailable"]), or_zero(&rolling["maxSurge"]));
            format!(r#"{{"MaxUnavailable":{unavailable},"MaxSurge":{surge}}}"#)
        }
    };
    format!(r#"{{"Type":{},"RollingUpdate":{rolling}}}"#, Value::from(kind))
}

fn is_zero(value: &Value) -> bool {
    value.as_i64().or_else(|| percent(value)) == Some(0)
}

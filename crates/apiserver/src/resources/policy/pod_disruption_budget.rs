//! Pod disruption budgets.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, NameRule, Strategy};

/// The strategy of pod disruption budgets.
pub(crate) struct PodDisruptionBudget;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Min Available").about("The minimum number of pods that must be available."),
    Column::string("Max Unavailable").about("The maximum number of pods that may be unavailable."),
    Column::integer("Allowed Disruptions").about("Calculated number of pods that may be disrupted at this time."),
    AGE,
];

impl Strategy for PodDisruptionBudget {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        let (least, most) = (&spec["minAvailable"], &spec["maxUnavailable"]);
        if !least.is_null() && !most.is_null() {
            errors.invalid(&at, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            errors.int_or_percent(&at.child(field), &spec[field]);
            errors.at_most_100_percent(&at.child(field), &spec[field]);
        }
        errors.label_selector(&at.child("selector"), &spec["selector"]);
        errors.one_of_if_present(
            &at.child("unhealthyPodEvictionPolicy"),
            &spec["unhealthyPodEvictionPolicy"],
            &["AlwaysAllow", "IfHealthyBudget"],
        );
        errors.0
    }

    fn validate_update(&self, new: &Value, _old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
            errors.status_counts(&new["status"], &counts, &[]);
            let status = At::root("status");
            errors.conditions(&status.child("conditions"), &new["status"]["conditions"]);
        }
        errors.0
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let shown = |value: &Value| match value {
            Value::Null => "N/A".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        vec![
            print::name(object),
            shown(&spec["minAvailable"]).into(),
            shown(&spec["maxUnavailable"]).into(),
            integer(&object["status"]["disruptionsAllowed"]).into(),
            print::age(object, now),
        ]
    }
}

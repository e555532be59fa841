//! Priority levels: how many requests are served at a time.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::fairness;
use crate::resources::at::{At, Errors};
use crate::resources::checks::POSITIVE;
use crate::resources::json::{object, object_or_new, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of priority levels.
pub(crate) struct PriorityLevelConfiguration;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Type"),
    Column::string("NominalConcurrencyShares"),
    Column::string("Queues"),
    Column::string("HandSize"),
    Column::string("QueueLengthLimit"),
    AGE,
];
const MOST_QUEUES: i64 = 10_000_000;

impl Strategy for PriorityLevelConfiguration {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        if let Some(exempt) = self::object(spec, "exempt") {
            set(exempt, "nominalConcurrencyShares", 0);
            set(exempt, "lendablePercent", 0);
        }
        let Some(limited) = self::object(spec, "limited") else { return };
        set(limited, "nominalConcurrencyShares", 30);
        set(limited, "lendablePercent", 0);
        let Some(response) = self::object(limited, "limitResponse") else { return };
        if response.get("type").is_some_and(|kind| kind == "Queue")
            && let Some(queuing) = object_or_new(response, "queuing")
        {
            set_zero(queuing, "queues", 64);
            set_zero(queuing, "handSize", 8);
            set_zero(queuing, "queueLengthLimit", 50);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        let name = text(&object["metadata"]["name"]);
        let is_exempt = name == "exempt";
        match text(&spec["type"]) {
            "Exempt" => {
                if !spec["limited"].is_null() {
                    errors.forbidden(&at.child("limited"), "must be nil if the type is not Limited");
                }
                if !is_exempt {
                    errors.invalid(&at.child("type"), "Exempt", "must be 'Limited' unless the name is 'exempt'");
                }
            }
            "Limited" => {
                if is_exempt {
                    errors.invalid(&at.child("type"), "Limited", "must be 'Exempt' if the name is 'exempt'");
                }
                if !spec["exempt"].is_null() {
                    errors.forbidden(&at.child("exempt"), "must be nil if the type is Limited");
                }
                if spec["limited"].is_null() {
                    errors.required(&at.child("limited"), "must not be empty when type is Limited");
                } else {
                    validate_limited(&spec["limited"], &at.child("limited"), &mut errors);
                }
            }
            other => errors.not_supported(&at.child("type"), other, &["Exempt", "Limited"]),
        }
        if let Some(fixed) = fairness::mandatory("PriorityLevelConfiguration", name) {
            let mut compared = spec.clone();
            let mut except = "";
            if is_exempt && let Some(fields) = compared.as_object_mut() {
                fields.insert("exempt".into(), fixed["spec"]["exempt"].clone());
                except = " except the 'spec.exempt' field";
            }
            if compared != fixed["spec"] {
                errors.invalid(&at, spec.clone(), format!("spec of '{name}'{except} must equal the fixed value"));
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let shown = |value: &Value| value.as_i64().map_or_else(|| print::NONE.to_owned(), |number| number.to_string());
        let part = if text(&spec["type"]) == "Exempt" { &spec["exempt"] } else { &spec["limited"] };
        let queuing = &spec["limited"]["limitResponse"]["queuing"];
        vec![
            print::name(object),
            text(&spec["type"]).into(),
            shown(&part["nominalConcurrencyShares"]).into(),
            shown(&queuing["queues"]).into(),
            shown(&queuing["handSize"]).into(),
            shown(&queuing["queueLengthLimit"]).into(),
            print::age(object, now),
        ]
    }
}

fn validate_limited(limited: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(shares) = limited["nominalConcurrencyShares"].as_i64().filter(|shares| *shares < 0) {
        errors.invalid(&at.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    errors.within(&at.child("lendablePercent"), &limited["lendablePercent"], 0, 100);
    errors.not_negative(&at.child("borrowingLimitPercent"), &limited["borrowingLimitPercent"]);
    let (at, response) = (at.child("limitResponse"), &limited["limitResponse"]);
    match text(&response["type"]) {
        "Reject" if !response["queuing"].is_null() => {
            errors.forbidden(&at.child("queuing"), "must be nil if limited.limitResponse.type is not Limited");
        }
        "Reject" => {}
        "Queue" if response["queuing"].is_null() => {
            errors.required(&at.child("queuing"), "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => {
            let (at, queuing) = (at.child("queuing"), &response["queuing"]);
            let (queues, hand) = (integer(&queuing["queues"]), integer(&queuing["handSize"]));
            for field in ["queueLengthLimit", "queues", "handSize"] {
                if integer(&queuing[field]) <= 0 {
                    errors.invalid(&at.child(field), integer(&queuing[field]), POSITIVE);
                }
            }
            if queues > MOST_QUEUES {
                errors.invalid(&at.child("queues"), queues, format!("must not be greater than {MOST_QUEUES}"));
            }
            if hand > queues {
                let detail = format!("should not be greater than queues ({queues})");
                errors.invalid(&at.child("handSize"), hand, detail);
            }
        }
        other => errors.not_supported(&at.child("type"), other, &["Queue", "Reject"]),
    }
}

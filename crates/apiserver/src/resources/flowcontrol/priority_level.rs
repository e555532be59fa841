//! Priority levels: how many requests are served at a time.

use std::collections::HashSet;

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::fairness;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of priority levels.
pub(crate) struct PriorityLevelConfiguration;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Type").of("flowcontrol.PriorityLevelConfigurationSpec", "type"),
    Column::string("NominalConcurrencyShares")
        .of("flowcontrol.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares"),
    Column::string("Queues").of("flowcontrol.QueuingConfiguration", "queues"),
    Column::string("HandSize").of("flowcontrol.QueuingConfiguration", "handSize"),
    Column::string("QueueLengthLimit").of("flowcontrol.QueuingConfiguration", "queueLengthLimit"),
    AGE,
];
const MOST_QUEUES: i64 = 10_000_000;
/// Bits of the hash that queues are drawn by.
const MOST_BITS: i64 = 60;

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
        if let Some(queuing) = self::object(response, "queuing") {
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
        let kind = text(&spec["type"]);
        if is_exempt != (kind == "Exempt") {
            errors.invalid(&at.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'");
        }
        match kind {
            "Exempt" => {
                if !spec["limited"].is_null() {
                    errors.forbidden(&at.child("limited"), "must be nil if the type is not Limited");
                }
                let (at, exempt) = (at.child("exempt"), &spec["exempt"]);
                validate_shares(exempt, &at, &mut errors);
                validate_lent(exempt, &at, &mut errors);
            }
            "Limited" => {
                if !spec["exempt"].is_null() {
                    errors.forbidden(&at.child("exempt"), "must be nil if the type is Limited");
                }
                if spec["limited"].is_null() {
                    errors.required(&at.child("limited"), "must not be empty when type is Limited");
                } else {
                    validate_limited(&spec["limited"], &at.child("limited"), &mut errors);
                }
            }
            _ => errors.required_one_of(&at.child("type"), &spec["type"], &["Exempt", "Limited"]),
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
        validate_conditions(object, &mut errors);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let shown = |value: &Value| value.as_i64().map_or_else(|| print::NONE.into(), Value::from);
        let queuing = &spec["limited"]["limitResponse"]["queuing"];
        vec![
            print::name(object),
            text(&spec["type"]).into(),
            shown(&spec["limited"]["nominalConcurrencyShares"]),
            shown(&queuing["queues"]),
            shown(&queuing["handSize"]),
            shown(&queuing["queueLengthLimit"]),
            print::age(object, now),
        ]
    }
}

fn validate_limited(limited: &Value, at: &At<'_>, errors: &mut Errors) {
    validate_shares(limited, at, errors);
    validate_response(&limited["limitResponse"], at, errors);
    validate_lent(limited, at, errors);
    if let Some(limit) = limited["borrowingLimitPercent"].as_i64().filter(|limit| *limit < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.invalid(&at.child("borrowingLimitPercent"), limit, detail);
    }
}

fn validate_shares(level: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(shares) = level["nominalConcurrencyShares"].as_i64().filter(|shares| *shares < 0) {
        errors.invalid(&at.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
}

fn validate_lent(level: &Value, at: &At<'_>, errors: &mut Errors) {
    errors.within(&at.child("lendablePercent"), &level["lendablePercent"], 0, 100);
}

/// What becomes of requests beyond the limit.
fn validate_response(response: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("limitResponse");
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
                    errors.invalid(&at.child(field), integer(&queuing[field]), "must be positive");
                }
            }
            if queues > MOST_QUEUES {
                errors.invalid(&at.child("queues"), queues, format!("must not be greater than {MOST_QUEUES}"));
            }
            if hand > 0 && hand > queues {
                let detail = format!("should not be greater than queues ({queues})");
                errors.invalid(&at.child("handSize"), hand, detail);
            } else if hand > 0 && entropy_bits(queues, hand) > MOST_BITS {
                let detail = format!(
                    "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MOST_BITS}"
                );
                errors.invalid(&at.child("handSize"), hand, detail);
            }
        }
        _ => errors.required_one_of(&at.child("type"), &response["type"], &["Queue", "Reject"]),
    }
}

/// Bits of a hash that a hand of queues is drawn by.
fn entropy_bits(queues: i64, hand: i64) -> i64 {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "upstream rounds the same way")]
    let bits = ((queues as f64).log2() * hand as f64).ceil() as i64;
    bits
}

/// What is wrong with the conditions of a level or of a schema.
pub(super) fn validate_conditions(object: &Value, errors: &mut Errors) {
    let status = At::root("status");
    let (list, conditions) = (status.child("conditions"), items(&object["status"]["conditions"]));
    let mut kinds = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = list.index(index);
        let kind = text(&condition["type"]);
        if !kinds.insert(kind) {
            errors.duplicate(&at.child("type"), kind);
        }
        errors.present(&at.child("type"), &condition["type"]);
    }
}

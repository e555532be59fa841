//! Mutating admission policies.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use super::{match_resources, validating_policy};
use crate::admission::policy::compile::Scope;
use crate::admission::policy::{object_types, patch_types};
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object_or_new, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of mutating admission policies.
pub(crate) struct MutatingPolicy;

const COLUMNS: &[Column] = &[NAME, Column::integer("Mutations"), Column::string("ParamKind"), AGE];

impl Strategy for MutatingPolicy {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set(spec, "failurePolicy", "Fail");
        if spec.get("matchConstraints").is_some_and(Value::is_object)
            && let Some(constraints) = object_or_new(spec, "matchConstraints")
        {
            match_resources::default(constraints);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.failure_policy(&at.child("failurePolicy"), &spec["failurePolicy"]);
        errors.param_kind(&at.child("paramKind"), &spec["paramKind"]);
        validating_policy::constraints(&mut errors, &at, spec);
        // A connection has no object that could be changed.
        let list = at.child("matchConstraints");
        let list = list.child("resourceRules");
        for (index, rule) in items(&spec["matchConstraints"]["resourceRules"]).iter().enumerate() {
            let at = list.index(index);
            let operations = at.child("operations");
            for (index, operation) in items(&rule["operations"]).iter().enumerate() {
                if matches!(text(operation), "CONNECT" | "DELETE" | "*") {
                    errors.not_supported(&operations.index(index), operation.clone(), &["CREATE", "UPDATE"]);
                }
            }
        }
        let scope = Scope { params: spec["paramKind"].is_object(), authorizer: true, mutation: true };
        let environment = errors.variables(&at.child("variables"), spec, scope);
        errors.match_conditions(&at.child("matchConditions"), &spec["matchConditions"], &environment);
        errors.required_one_of(&at.child("reinvocationPolicy"), &spec["reinvocationPolicy"], &["IfNeeded", "Never"]);
        let list = at.child("mutations");
        if items(&spec["mutations"]).is_empty() {
            errors.required(&list, "mutations must contain at least one item");
        }
        for (index, mutation) in items(&spec["mutations"]).iter().enumerate() {
            let at = list.index(index);
            let fields = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
            let kind = text(&mutation["patchType"]);
            errors.required_one_of(
                &at.child("patchType"),
                &mutation["patchType"],
                &["ApplyConfiguration", "JSONPatch"],
            );
            for (wanted, field) in fields {
                let place = at.child(field);
                match (kind == wanted, mutation[field].is_object()) {
                    (true, false) => errors.required(&place, format!("must be specified when patchType is {wanted}")),
                    (false, true) => {
                        errors.invalid(
                            &place,
                            mutation[field].clone(),
                            format!("must not be specified when patchType is {kind}"),
                        );
                    }
                    (true, true) => {
                        let types = if field == "jsonPatch" { &patch_types()[..] } else { &object_types()[..] };
                        errors.expression(
                            &place.child("expression"),
                            &mutation[field]["expression"],
                            &environment,
                            types,
                        );
                    }
                    (false, false) => {}
                }
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let count = items(&spec["mutations"]).len();
        vec![print::name(object), count.into(), validating_policy::param_kind(spec), print::age(object, now)]
    }
}

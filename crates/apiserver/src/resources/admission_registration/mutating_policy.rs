//! Mutating admission policies.

use portolan_api::field;
use portolan_base::Timestamp;
use portolan_cel::Environment;
use serde_json::Value;

use super::expressions::{Asked, Blanks, environment};
use super::{match_resources, validating_policy};
use crate::admission::policy::compile::{self, Scope};
use crate::admission::policy::{object_types, patch_types};
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object_or_new, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of mutating admission policies.
pub(crate) struct MutatingPolicy;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Mutations")
        .about("Mutation indicates the number of mutations rules defined in this configuration"),
    Column::string("ParamKind").about("ParamKind specifies the kind of resources used to parameterize this policy"),
    AGE,
];

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
        errors.mutable_operations(&at.child("matchConstraints"), &spec["matchConstraints"]);
        // Only mutations build objects.
        let scope = Scope { params: spec["paramKind"].is_object(), authorizer: true, mutation: false };
        let conditions = &spec["matchConditions"];
        errors.match_conditions(&at.child("matchConditions"), conditions, &compile::environment(scope));
        errors.variables(&at.child("variables"), spec, scope);
        let list = at.child("mutations");
        if items(&spec["mutations"]).is_empty() {
            errors.required(&list, "mutations must contain at least one item");
        }
        let mut known = environment(spec, scope);
        if items(&spec["variables"]).is_empty() {
            known = compile::with_no_variables(known);
        }
        let known = known.for_mutation();
        for (index, mutation) in items(&spec["mutations"]).iter().enumerate() {
            change(&mut errors, &list.index(index), mutation, &known);
        }
        errors.required_one_of(&at.child("reinvocationPolicy"), &spec["reinvocationPolicy"], &["IfNeeded", "Never"]);
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

/// One mutation.
fn change(errors: &mut Errors, at: &At<'_>, mutation: &Value, known: &Environment) {
    let kind = text(&mutation["patchType"]);
    let (own, other) = match kind {
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        _ => {
            let kinds = ["ApplyConfiguration", "JSONPatch"];
            return errors.required_one_of(&at.child("patchType"), &mutation["patchType"], &kinds);
        }
    };
    let place = at.child(own);
    if mutation[own].is_object() {
        let types = if own == "jsonPatch" { &patch_types()[..] } else { &object_types()[..] };
        let asked = Asked { given: &mutation[own]["expression"], what: "", types };
        errors.expression(&place.child("expression"), &asked, Blanks::Dropped, known);
    } else {
        errors.required(&place, format!("must be specified when patchType is {kind}"));
    }
    if mutation[other].is_object() {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.invalid(&at.child(other), format!("{{{other}}}"), detail);
    }
}

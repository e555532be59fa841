//! Validating admission policies.

use std::collections::BTreeSet;

use portolan_api::description::builtin;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use portolan_cel::Type;
use serde_json::{Value, json};

use super::match_resources;
use crate::admission::policy::compile::Scope;
use crate::admission::policy::type_check;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The strategy of validating admission policies.
pub(crate) struct ValidatingPolicy;

const COLUMNS: &[Column] = &[NAME, Column::integer("Validations"), Column::string("ParamKind"), AGE];
const REASONS: [&str; 4] = ["Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"];
const MOST_ANNOTATIONS: usize = 20;

impl Strategy for ValidatingPolicy {
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

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        object["status"] = status(&object["spec"], 1);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
        if context.subresource.is_empty() && new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
            new["status"] = status(&new["spec"], generation + 1);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.failure_policy(&at.child("failurePolicy"), &spec["failurePolicy"]);
        errors.param_kind(&at.child("paramKind"), &spec["paramKind"]);
        constraints(&mut errors, &at, spec);
        let scope = Scope { params: spec["paramKind"].is_object(), authorizer: true, mutation: false };
        let environment = errors.variables(&at.child("variables"), spec, scope);
        errors.match_conditions(&at.child("matchConditions"), &spec["matchConditions"], &environment);
        let (validations, annotations) = (items(&spec["validations"]), items(&spec["auditAnnotations"]));
        if validations.is_empty() && annotations.is_empty() {
            for field in ["validations", "auditAnnotations"] {
                errors.required(&at.child(field), "validations or auditAnnotations must contain at least one item");
            }
            return errors.0;
        }
        let list = at.child("validations");
        for (index, validation) in validations.iter().enumerate() {
            let at = list.index(index);
            errors.expression(&at.child("expression"), &validation["expression"], &environment, &[Type::Bool]);
            message(&mut errors, &at, validation);
            let expression = &validation["messageExpression"];
            if is_set(expression) {
                let mut ignored = Errors::default();
                let scope = Scope { authorizer: false, ..scope };
                let environment = ignored.variables(&list, spec, scope);
                errors.expression(&at.child("messageExpression"), expression, &environment, &[Type::String]);
            }
            errors.one_of(&at.child("reason"), &validation["reason"], &REASONS);
        }
        let list = at.child("auditAnnotations");
        if annotations.len() > MOST_ANNOTATIONS {
            let detail = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
            errors.invalid(&list, spec["auditAnnotations"].clone(), detail);
        }
        let mut keys = BTreeSet::new();
        for (index, annotation) in annotations.iter().enumerate() {
            let at = list.index(index);
            let (place, key) = (at.child("key"), text(&annotation["key"]));
            let name = format!("{}/{key}", text(&object["metadata"]["name"]));
            if key.is_empty() {
                errors.required(&place, "key is not specified");
            } else if let Some(problem) = validation::is_qualified_name(&name).into_iter().next() {
                errors.invalid(&place, key, problem);
            } else if !keys.insert(key) {
                errors.duplicate(&place, key);
            }
            let types = [Type::String, Type::Null];
            errors.expression(&at.child("valueExpression"), &annotation["valueExpression"], &environment, &types);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        vec![print::name(object), items(&spec["validations"]).len().into(), param_kind(spec), print::age(object, now)]
    }
}

/// What is found out about a policy when it is written. Kinds that are defined later are not looked at.
fn status(spec: &Value, generation: i64) -> Value {
    let warnings = type_check::warnings(spec, builtin());
    let checked = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    json!({"observedGeneration": generation, "typeChecking": checked})
}

/// `matchConstraints` of a policy, which must be there and have rules.
pub(super) fn constraints(errors: &mut Errors, at: &At<'_>, spec: &Value) {
    let place = at.child("matchConstraints");
    let constraints = &spec["matchConstraints"];
    if !constraints.is_object() {
        return errors.required(&place, "");
    }
    errors.match_resources(&place, constraints);
    if items(&constraints["resourceRules"]).is_empty() {
        errors.required(&place.child("resourceRules"), "");
    }
}

fn message(errors: &mut Errors, at: &At<'_>, validation: &Value) {
    let place = at.child("message");
    let Some(message) = validation["message"].as_str().filter(|message| !message.is_empty()) else {
        if text(&validation["expression"]).trim().contains('\n') && !is_set(&validation["messageExpression"]) {
            errors.required(&place, "message must be specified if expression contains line breaks");
        }
        return;
    };
    let trimmed = message.trim();
    if trimmed.is_empty() {
        errors.invalid(&place, message, "message must be non-empty if specified");
    } else if trimmed.contains('\n') {
        errors.invalid(&place, message, "message must not contain line breaks");
    }
}

/// The cell of `paramKind`.
pub(super) fn param_kind(spec: &Value) -> Value {
    let kind = &spec["paramKind"];
    if kind.is_object() {
        format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])).into()
    } else {
        "<unset>".into()
    }
}

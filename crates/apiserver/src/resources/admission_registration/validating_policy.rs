//! Validating admission policies.

use std::collections::BTreeSet;

use portolan_api::description::builtin;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use portolan_cel::{Environment, Type};
use serde_json::{Value, json};

use super::expressions::{Asked, Blanks, environment};
use super::match_resources;
use crate::admission::policy::compile::{self, Scope};
use crate::admission::policy::type_check;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, set, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The strategy of validating admission policies.
pub(crate) struct ValidatingPolicy;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Validations")
        .about("Validations indicates the number of validation rules defined in this configuration"),
    Column::string("ParamKind").about("ParamKind specifies the kind of resources used to parameterize this policy"),
    AGE,
];
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MOST_ANNOTATIONS: usize = 20;
/// Longest expression of an annotation.
const ANNOTATION_LIMIT: usize = 5 * 1024;

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
        // Conditions are looked at before variables are.
        let conditions = &spec["matchConditions"];
        errors.match_conditions(&at.child("matchConditions"), conditions, &compile::environment(scope));
        errors.variables(&at.child("variables"), spec, scope);
        let (validations, annotations) = (items(&spec["validations"]), items(&spec["auditAnnotations"]));
        if validations.is_empty() && annotations.is_empty() {
            for field in ["validations", "auditAnnotations"] {
                errors.required(&at.child(field), "validations or auditAnnotations must contain at least one item");
            }
            return errors.0;
        }
        let known = environment(spec, scope);
        let known_to_messages = environment(spec, Scope { authorizer: false, ..scope });
        let list = at.child("validations");
        for (index, validation) in validations.iter().enumerate() {
            let at = list.index(index);
            let asked = Asked { given: &validation["expression"], what: "expression", types: &[Type::Bool] };
            errors.expression(&at.child("expression"), &asked, Blanks::Kept, &known);
            message(&mut errors, &at, validation, &known_to_messages);
            errors.one_of_if_present(&at.child("reason"), &validation["reason"], &REASONS);
        }
        let list = at.child("auditAnnotations");
        if annotations.len() > MOST_ANNOTATIONS {
            let detail = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
            let shown: Value = annotations.iter().map(annotation_as_shown).collect();
            errors.invalid(&list, shown, detail);
        }
        let mut keys = BTreeSet::new();
        for (index, annotation) in annotations.iter().enumerate() {
            let at = list.index(index);
            let (place, key) = (at.child("key"), text(&annotation["key"]));
            match text(&object["metadata"]["name"]) {
                "" => errors.invalid(&place, key, "requires metadata.name be non-empty"),
                name => errors.obeys(&place, &format!("{name}/{key}"), validation::is_qualified_name),
            }
            let (place, given) = (at.child("valueExpression"), &annotation["valueExpression"]);
            if text(given).trim().len() > ANNOTATION_LIMIT {
                errors.required(&place, format!("must not exceed {ANNOTATION_LIMIT} bytes in length"));
            } else {
                let asked = Asked { given, what: "valueExpression", types: &[Type::String, Type::Null] };
                errors.expression(&place, &asked, Blanks::Shown, &known);
            }
            if !keys.insert(key) {
                errors.duplicate(&at.child("key"), key);
            }
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

/// An annotation by the names of upstream's code.
fn annotation_as_shown(annotation: &Value) -> Value {
    json!({"Key": text(&annotation["key"]), "ValueExpression": text(&annotation["valueExpression"])})
}

/// What is said of an object that breaks a rule.
fn message(errors: &mut Errors, at: &At<'_>, validation: &Value, known: &Environment) {
    let given = &validation["messageExpression"];
    let place = at.child("messageExpression");
    if is_set(given) && text(given).trim().is_empty() {
        errors.invalid(&place, given.clone(), "must be non-empty if specified");
    } else if is_set(given) {
        let asked = Asked { given, what: "messageExpression", types: &[Type::String] };
        errors.expression(&place, &asked, Blanks::Kept, known);
    }
    let (place, message) = (at.child("message"), text(&validation["message"]));
    if !message.is_empty() && message.trim().is_empty() {
        errors.invalid(&place, message, "must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        errors.invalid(&place, message, "must not contain line breaks");
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

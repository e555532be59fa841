//! Bindings of admission policies.

use std::collections::BTreeSet;

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::match_resources;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of the bindings of both kinds of policy.
pub(crate) struct PolicyBinding {
    /// Whether the policies may refuse, so that the binding says what a refusal does.
    pub(crate) is_validating: bool,
}

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("PolicyName").about("PolicyName indicates the policy definition which the policy binding binded to"),
    Column::string("ParamRef").about("ParamRef indicates the param resource which sets the configuration param"),
    AGE,
];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

impl Strategy for PolicyBinding {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        if spec.get("matchResources").is_some_and(Value::is_object)
            && let Some(resources) = object_or_new(spec, "matchResources")
        {
            match_resources::default(resources);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.required_name(&at.child("policyName"), &spec["policyName"], validation::is_dns1123_subdomain);
        param_ref(&mut errors, &at.child("paramRef"), &spec["paramRef"]);
        if spec["matchResources"].is_object() {
            let at = at.child("matchResources");
            errors.match_resources(&at, &spec["matchResources"]);
            if !self.is_validating {
                errors.mutable_operations(&at, &spec["matchResources"]);
            }
        }
        if self.is_validating {
            actions(&mut errors, &at.child("validationActions"), &spec["validationActions"]);
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let reference = &spec["paramRef"];
        let name = match (is_set(&reference["name"]), is_set(&reference["selector"])) {
            _ if !reference.is_object() => "<unset>".to_owned(),
            (true, _) if is_set(&reference["namespace"]) => {
                format!("{}/{}", text(&reference["namespace"]), text(&reference["name"]))
            }
            (true, _) => format!("*/{}", text(&reference["name"])),
            (_, true) => print::label_selector(&reference["selector"]),
            _ => "*".to_owned(),
        };
        vec![print::name(object), spec["policyName"].clone(), name.into(), print::age(object, now)]
    }
}

fn param_ref(errors: &mut Errors, at: &At<'_>, reference: &Value) {
    if !reference.is_object() {
        return;
    }
    let (name, selector) = (text(&reference["name"]), &reference["selector"]);
    let (has_name, has_selector) = (!name.is_empty(), selector.is_object());
    let exclusive = "name and selector are mutually exclusive";
    if has_name {
        errors.obeys(&at.child("name"), name, validation::is_path_segment_name);
        if has_selector {
            errors.forbidden(&at.child("name"), exclusive);
        }
    }
    if has_selector {
        errors.label_selector(&at.child("selector"), selector);
        if has_name {
            errors.forbidden(&at.child("selector"), exclusive);
        }
    }
    if !has_name && !has_selector {
        errors.required(at, "one of name or selector must be specified");
    }
    let action = &reference["parameterNotFoundAction"];
    errors.required_one_of_as_listed(&at.child("parameterNotFoundAction"), action, &["Deny", "Allow"]);
}

fn actions(errors: &mut Errors, at: &At<'_>, list: &Value) {
    let actions = items(list);
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.contains(&text(action)) {
            errors.not_supported(&at.index(index), action.clone(), &ACTIONS);
        }
        if !seen.insert(text(action)) {
            errors.duplicate(&at.index(index), action.clone());
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.invalid(at, list.clone(), detail);
    }
    if actions.is_empty() {
        errors.required(at, "at least one validation action is required");
    }
}

//! Checks of the expressions of policies and conditions.

use std::collections::BTreeSet;

use portolan_api::validation;
use portolan_cel::{Environment, Type};
use serde_json::Value;

use crate::admission::policy::compile::{self, Expression, Scope};
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

const MOST_CONDITIONS: usize = 64;

impl Errors {
    /// An expression that has to be there and to give one of these types; any, if none is named.
    pub(super) fn expression(&mut self, at: &At<'_>, value: &Value, environment: &Environment, types: &[Type]) {
        let trimmed = text(value).trim();
        if trimmed.is_empty() {
            return self.required(at, format!("{} is not specified", last_name(at)));
        }
        if let Err(why) = Expression::compile(environment, trimmed, types).program {
            self.invalid(at, trimmed, why);
        }
    }

    /// `matchConditions`.
    pub(super) fn match_conditions(&mut self, at: &At<'_>, list: &Value, environment: &Environment) {
        let conditions = items(list);
        if conditions.len() > MOST_CONDITIONS {
            self.too_many(at, conditions.len(), MOST_CONDITIONS);
            return;
        }
        let mut names = BTreeSet::new();
        for (index, condition) in conditions.iter().enumerate() {
            let at = at.index(index);
            let expression = text(&condition["expression"]).trim();
            if expression.is_empty() {
                self.required(&at.child("expression"), "");
            } else if let Err(why) = Expression::compile(environment, expression, &[Type::Bool]).program {
                self.invalid(&at.child("expression"), expression, why);
            }
            let (at, name) = (at.child("name"), text(&condition["name"]));
            if name.is_empty() {
                self.required(&at, "");
            } else {
                self.obeys(&at, name, validation::is_qualified_name);
                if !names.insert(name) {
                    self.duplicate(&at, name);
                }
            }
        }
    }

    /// `variables`. What others may refer to is compiled by [`compile::variables`].
    pub(super) fn variables(&mut self, at: &At<'_>, spec: &Value, scope: Scope) -> Environment {
        let (compiled, environment) = compile::variables(compile::environment(scope), spec);
        let mut names = BTreeSet::new();
        for (index, (variable, compiled)) in items(&spec["variables"]).iter().zip(&compiled).enumerate() {
            let at = at.index(index);
            let name = text(&variable["name"]).trim();
            let place = at.child("name");
            if name.is_empty() {
                self.required(&place, "name is not specified");
            } else if !is_identifier(name) {
                self.invalid(&place, name, "must be a valid CEL identifier");
            } else if !names.insert(name) {
                self.duplicate(&place, name);
            }
            let place = at.child("expression");
            if compiled.expression.text.trim().is_empty() {
                self.required(&place, "expression is not specified");
            } else if let Err(why) = &compiled.expression.program {
                self.invalid(&place, compiled.expression.text.as_str(), why.clone());
            }
        }
        environment
    }

    /// `paramKind`, if it is there.
    pub(super) fn param_kind(&mut self, at: &At<'_>, kind: &Value) {
        if !kind.is_object() {
            return;
        }
        let (place, api_version) = (at.child("apiVersion"), text(&kind["apiVersion"]));
        if api_version.is_empty() {
            self.required(&place, "");
        } else if api_version.split('/').count() > 2 {
            self.invalid(&place, api_version, format!("unexpected GroupVersion string: {api_version}"));
        }
        let (place, name) = (at.child("kind"), text(&kind["kind"]));
        if name.is_empty() {
            self.required(&place, "");
        } else {
            let problems = validation::is_dns1035_label(&name.to_ascii_lowercase());
            if let Some(problem) = problems.first() {
                self.invalid(&place, name, format!("may have mixed case, but should otherwise match: {problem}"));
            }
        }
    }

    /// `failurePolicy`, which is defaulted.
    pub(super) fn failure_policy(&mut self, at: &At<'_>, value: &Value) {
        if is_set(value) { self.one_of(at, value, &["Fail", "Ignore"]) } else { self.required(at, "") }
    }
}

fn last_name(at: &At<'_>) -> String {
    let path = at.path().to_string();
    path.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Whether a name can be used in expressions as it is.
fn is_identifier(name: &str) -> bool {
    portolan_cel::escape(name).is_some_and(|escaped| escaped == name)
}

//! Checks of the expressions of policies and conditions.

use std::collections::BTreeSet;

use portolan_api::validation;
use portolan_cel::{Environment, Type};
use serde_json::Value;

use crate::admission::policy::compile::{self, Expression, NoProgram, Scope};
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};

const MOST_CONDITIONS: usize = 64;

/// An expression that a policy has to give.
pub(super) struct Asked<'a> {
    /// As it was given.
    pub(super) given: &'a Value,
    /// What has to be given, if errors say it.
    pub(super) what: &'a str,
    /// The types of which its value may be; any, if none is named.
    pub(super) types: &'a [Type],
}

/// Whether an expression is compiled, or shown, as it was given or without blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blanks {
    /// Columns count from the first blank.
    Kept,
    /// Columns count from the first word, but the expression is shown with its blanks.
    Shown,
    Dropped,
}

impl Errors {
    /// An expression that has to be there.
    pub(super) fn expression(&mut self, at: &At<'_>, asked: &Asked<'_>, blanks: Blanks, environment: &Environment) {
        let given = text(asked.given);
        let trimmed = given.trim();
        if trimmed.is_empty() {
            let detail = if asked.what.is_empty() { String::new() } else { format!("{} is not specified", asked.what) };
            return self.required(at, detail);
        }
        let compiled = if blanks == Blanks::Kept { given } else { trimmed };
        if let Err(why) = Expression::compile(environment, compiled, asked.types).program {
            self.no_program(at, if blanks == Blanks::Dropped { trimmed } else { given }, why);
        }
    }

    fn no_program(&mut self, at: &At<'_>, text: &str, why: NoProgram) {
        match why {
            NoProgram::Invalid(why) => self.invalid(at, text, why),
            NoProgram::Internal(why) => self.internal(at, why),
        }
    }

    /// `matchConditions`.
    pub(super) fn match_conditions(&mut self, at: &At<'_>, list: &Value, environment: &Environment) {
        let conditions = items(list);
        if conditions.len() > MOST_CONDITIONS {
            self.too_many(at, conditions.len(), MOST_CONDITIONS);
        }
        let mut names = BTreeSet::new();
        for (index, condition) in conditions.iter().enumerate() {
            let at = at.index(index);
            let expression = text(&condition["expression"]).trim();
            if expression.is_empty() {
                self.required(&at.child("expression"), "");
            } else if let Err(why) = Expression::compile(environment, expression, &[Type::Bool]).program {
                self.no_program(&at.child("expression"), expression, why);
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
    pub(super) fn variables(&mut self, at: &At<'_>, spec: &Value, scope: Scope) {
        let (compiled, _) = compile::variables(compile::environment(scope), spec);
        for (index, (variable, compiled)) in items(&spec["variables"]).iter().zip(&compiled).enumerate() {
            let at = at.index(index);
            let name = text(&variable["name"]);
            let place = at.child("name");
            if name.trim().is_empty() {
                self.required(&place, "name is not specified");
            } else if !is_identifier(name) {
                self.invalid(&place, name, "must be a valid CEL identifier");
            }
            let place = at.child("expression");
            if compiled.expression.text.trim().is_empty() {
                self.required(&place, "expression is not specified");
            } else if let Err(why) = &compiled.expression.program {
                self.no_program(&place, compiled.expression.text.as_str(), why.clone());
            }
        }
    }

    /// `paramKind`, if it is there.
    pub(super) fn param_kind(&mut self, at: &At<'_>, kind: &Value) {
        if !kind.is_object() {
            return;
        }
        let (place, api_version) = (at.child("apiVersion"), text(&kind["apiVersion"]));
        let parts: Vec<&str> = api_version.split('/').collect();
        let (group, version) = match *parts {
            _ if api_version == "/" => ("", ""),
            [version] => ("", version),
            [group, version] => (group, version),
            _ => {
                self.invalid(&place, api_version, format!("unexpected GroupVersion string: {api_version}"));
                ("", "v1")
            }
        };
        let problems = if group.is_empty() { Vec::new() } else { validation::is_dns1123_subdomain(group) };
        if !problems.is_empty() {
            self.invalid(&place, group, problems.join(","));
        }
        let problems = validation::is_dns1035_label(version);
        if api_version.is_empty() {
            self.required(&place, "");
        } else if version.is_empty() {
            self.invalid(&place, api_version, "version must be specified");
        } else if !problems.is_empty() {
            self.invalid(&place, version, problems.join(","));
        }
        let (place, name) = (at.child("kind"), text(&kind["kind"]));
        let problems = validation::is_dns1035_label(&name.to_lowercase());
        if name.is_empty() {
            self.required(&place, "");
        } else if !problems.is_empty() {
            let problems = problems.join(",");
            self.invalid(&place, name, format!("may have mixed case, but should otherwise match: {problems}"));
        }
    }

    /// `failurePolicy`, which is defaulted.
    pub(super) fn failure_policy(&mut self, at: &At<'_>, value: &Value) {
        self.one_of_if_present(at, value, &["Fail", "Ignore"]);
    }
}

/// What the expressions of a policy may refer to, the variables among it.
pub(super) fn environment(spec: &Value, scope: Scope) -> Environment {
    compile::variables(compile::environment(scope), spec).1
}

/// Whether a name can be used in expressions as it is.
fn is_identifier(name: &str) -> bool {
    portolan_cel::escape(name).is_some_and(|escaped| escaped == name)
}

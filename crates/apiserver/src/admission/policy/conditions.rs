//! `matchConditions`: boolean expressions that must all hold for a policy to be looked at.

use portolan_cel::{Environment, MATCH_CONDITIONS_LIMIT, Type};
use serde_json::Value;

use super::FailurePolicy;
use super::compile::{Expression, Variable};
use super::scene::{Evaluation, Scene};

/// Conditions, compiled.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<Expression>);

impl Conditions {
    pub(super) fn compile(environment: &Environment, spec: &Value) -> Self {
        let conditions = spec["matchConditions"].as_array().into_iter().flatten();
        let compile = |condition: &Value| {
            Expression::compile(environment, condition["expression"].as_str().unwrap_or_default(), &[Type::Bool])
        };
        Self(conditions.map(compile).collect())
    }

    /// Whether all of them hold. One that does not outweighs others that fail.
    ///
    /// The error says why nobody knows, unless that means no.
    pub(super) fn hold(
        &self,
        scene: &Scene<'_>,
        variables: &[Variable],
        failure: FailurePolicy,
    ) -> Result<bool, String> {
        let evaluation = Evaluation::new(scene, variables, MATCH_CONDITIONS_LIMIT);
        let mut problems = Vec::new();
        for condition in &self.0 {
            match evaluation.evaluate(condition) {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => return Ok(false),
                Err(why) => problems.push(why),
            }
        }
        match (problems.as_slice(), failure) {
            ([], _) => Ok(true),
            (_, FailurePolicy::Ignore) => Ok(false),
            ([one], FailurePolicy::Fail) => Err(one.clone()),
            (many, FailurePolicy::Fail) => Err(format!("[{}]", many.join(", "))),
        }
    }
}

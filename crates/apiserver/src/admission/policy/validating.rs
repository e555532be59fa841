//! Policies that may refuse.

use std::collections::BTreeMap;

use portolan_cel::{OBJECT_LIMIT, Type, Value};
use serde_json::{Value as Json, json};

use super::authorizer::OnBehalf;
use super::bindings::Binding;
use super::compile::{self, Expression, Scope, Variable};
use super::conditions::Conditions;
use super::followed::Read;
use super::matching::Constraints;
use super::params::{self, ParamKind};
use super::scene::{self, Evaluation, Scene};
use super::{FailurePolicy, is_exempt};
use crate::admission::Attributes;
use crate::status::Status;

/// Longest text that a `messageExpression` may give.
const LONGEST_MESSAGE: usize = 5 * 1024;
/// Longest value of an audit annotation.
const LONGEST_ANNOTATION: usize = 10 * 1024;
/// Most failures that the audit log gets to hear of.
const MOST_FAILURES: usize = 50;

/// A policy, compiled.
#[derive(Debug)]
pub(crate) struct ValidatingPolicy {
    pub(super) name: String,
    constraints: Constraints,
    param_kind: Option<ParamKind>,
    failure: FailurePolicy,
    conditions: Conditions,
    variables: Vec<Variable>,
    validations: Vec<Validation>,
    annotations: Vec<(String, Expression)>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

impl Read for ValidatingPolicy {
    fn read(object: &Json) -> Self {
        let spec = &object["spec"];
        let param_kind = ParamKind::read(spec);
        let scope = Scope { params: param_kind.is_some(), authorizer: true, mutation: false };
        let environment = compile::environment(scope);
        let (variables, environment) = compile::variables(environment, spec);
        let (_, without_authorizer) =
            compile::variables(compile::environment(Scope { authorizer: false, ..scope }), spec);
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        let text = |value: &Json, field: &str| value[field].as_str().unwrap_or_default().trim().to_owned();
        let validations = list("validations").map(|validation| Validation {
            expression: Expression::compile(
                &environment,
                validation["expression"].as_str().unwrap_or_default(),
                &[Type::Bool],
            ),
            message: text(validation, "message"),
            message_expression: validation["messageExpression"]
                .as_str()
                .filter(|text| !text.trim().is_empty())
                .map(|text| Expression::compile(&without_authorizer, text, &[Type::String])),
            reason: text(validation, "reason"),
        });
        let annotations = list("auditAnnotations").map(|annotation| {
            let value = annotation["valueExpression"].as_str().unwrap_or_default();
            (text(annotation, "key"), Expression::compile(&environment, value, &[Type::String, Type::Null]))
        });
        Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            constraints: Constraints::read(&spec["matchConstraints"]),
            failure: FailurePolicy::read(spec),
            conditions: Conditions::compile(&environment, spec),
            validations: validations.collect(),
            annotations: annotations.collect(),
            variables,
            param_kind,
        }
    }
}

/// A refusal.
#[derive(Debug, Clone)]
struct Denial {
    policy: String,
    /// Empty if the policy itself is at fault.
    binding: String,
    message: String,
    reason: String,
}

/// What all policies together say.
#[derive(Default)]
struct Verdict {
    denials: Vec<Denial>,
    warnings: Vec<String>,
    failures: Vec<Json>,
    annotations: BTreeMap<String, Vec<String>>,
}

/// Lets all policies look at a request.
pub(crate) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if is_exempt(attributes) {
        return Ok(());
    }
    let hooks = attributes.call.server.admission.policies().validating().await?;
    let mut verdict = Verdict::default();
    for (policy, bindings) in &hooks {
        let Some(seen) = policy.constraints.matched(attributes).await? else { continue };
        let place = match params::place(policy.param_kind.as_ref(), attributes) {
            Ok(place) => place,
            Err(why) => {
                verdict.misconfigured(policy, "", format!("failed to configure policy: {why}"));
                continue;
            }
        };
        let namespace = scene::namespace(attributes).await?;
        let request = scene::request(attributes, &seen);
        let object = seen.shown(attributes, &attributes.new).await?;
        let old = seen.shown(attributes, attributes.old).await?;
        let authorizer = OnBehalf { server: attributes.call.server, user: attributes.call.user };
        for binding in bindings {
            if binding.constraints.matched(attributes).await?.is_none() {
                continue;
            }
            let params = match params::collect(place.as_ref(), binding.params.as_ref(), attributes).await? {
                Ok(params) => params,
                Err(why) => {
                    verdict.misconfigured(policy, &binding.name, format!("failed to configure binding: {why}"));
                    continue;
                }
            };
            for params in &params {
                let scene = Scene {
                    object: &object,
                    old: &old,
                    request: &request,
                    namespace: &namespace,
                    params,
                    authorizer: &authorizer,
                    asked: scene::asked(attributes),
                };
                policy.decide(binding, &scene, &mut verdict);
            }
        }
    }
    verdict.deliver(attributes)
}

impl ValidatingPolicy {
    fn decide(&self, binding: &Binding, scene: &Scene<'_>, verdict: &mut Verdict) {
        match self.conditions.hold(scene, &self.variables, self.failure) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return verdict.add(self, binding, 0, why, String::new()),
        }
        let evaluation = Evaluation::new(scene, &self.variables, OBJECT_LIMIT);
        let outcomes: Vec<_> = self.validations.iter().map(|it| evaluation.evaluate(&it.expression)).collect();
        for (index, (validation, outcome)) in self.validations.iter().zip(outcomes).enumerate() {
            match outcome {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => {
                    let message = validation.failed(&evaluation);
                    verdict.add(self, binding, index, message, validation.reason.clone());
                }
                Err(_) if self.failure == FailurePolicy::Ignore => {}
                Err(why) => verdict.add(self, binding, index, why, String::new()),
            }
        }
        let evaluation = Evaluation::new(scene, &self.variables, OBJECT_LIMIT);
        for (key, expression) in &self.annotations {
            match evaluation.evaluate(expression) {
                Ok(Value::String(text)) if !text.trim().is_empty() => {
                    let mut text = text.trim().to_owned();
                    text.truncate(text.floor_char_boundary(LONGEST_ANNOTATION));
                    let values = verdict.annotations.entry(format!("{}/{key}", self.name)).or_default();
                    if !values.contains(&text) {
                        values.push(text);
                    }
                }
                Ok(_) => {}
                Err(_) if self.failure == FailurePolicy::Ignore => {}
                Err(message) => verdict.denials.push(Denial {
                    policy: self.name.clone(),
                    binding: binding.name.clone(),
                    message,
                    reason: String::new(),
                }),
            }
        }
    }
}

impl Validation {
    /// What the client reads if the validation says no.
    fn failed(&self, evaluation: &Evaluation<'_, '_>) -> String {
        let computed = self.message_expression.as_ref().and_then(|expression| match evaluation.evaluate(expression) {
            Ok(value) => value.as_str().map(|text| text.trim().to_owned()),
            Err(why) => {
                tracing::debug!(why, "a message cannot be computed");
                None
            }
        });
        let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n');
        match computed.filter(fits) {
            Some(text) => text,
            None if !self.message.is_empty() => self.message.clone(),
            None => format!("failed expression: {}", self.expression.text.trim()),
        }
    }
}

impl Verdict {
    /// A policy or binding is such that it cannot be asked.
    fn misconfigured(&mut self, policy: &ValidatingPolicy, binding: &str, message: String) {
        if policy.failure == FailurePolicy::Fail {
            let (policy, binding) = (policy.name.clone(), binding.to_owned());
            self.denials.push(Denial { policy, binding, message, reason: String::new() });
        }
    }

    /// Does with a failure what the binding says.
    fn add(&mut self, policy: &ValidatingPolicy, binding: &Binding, index: usize, message: String, reason: String) {
        for action in &binding.actions {
            match action.as_str() {
                "Deny" => self.denials.push(Denial {
                    policy: policy.name.clone(),
                    binding: binding.name.clone(),
                    message: message.clone(),
                    reason: reason.clone(),
                }),
                "Warn" => self.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                    policy.name, binding.name
                )),
                "Audit" => self.failures.push(json!({
                    "message": message, "policy": policy.name, "binding": binding.name,
                    "expressionIndex": index, "validationActions": binding.actions,
                })),
                _ => {}
            }
        }
    }

    fn deliver(mut self, attributes: &mut Attributes<'_>) -> Result<(), Status> {
        attributes.warnings.append(&mut self.warnings);
        for (key, values) in self.annotations {
            attributes.annotate(key, values.join(", "));
        }
        if !self.failures.is_empty() {
            self.failures.truncate(MOST_FAILURES);
            attributes.annotate(
                "validation.policy.admission.k8s.io/validation_failure",
                Json::Array(self.failures).to_string(),
            );
        }
        let Some(denial) = self.denials.first() else { return Ok(()) };
        let Denial { policy, binding, message, reason } = denial;
        let message = if binding.is_empty() {
            format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}")
        } else {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
        };
        let (code, reason) = match reason.as_str() {
            "Unauthorized" => (401, "Unauthorized"),
            "Forbidden" => (403, "Forbidden"),
            "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
            _ => (422, "Invalid"),
        };
        let status = attributes.forbidden(&message).with_reason(code, reason).because_of([message.as_str()]);
        Err(status.warning(std::mem::take(&mut attributes.warnings)))
    }
}

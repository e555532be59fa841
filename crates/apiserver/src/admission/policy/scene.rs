//! What expressions see of one request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use portolan_api::description::{GroupVersionKind, Resource};
use portolan_base::go;
use portolan_cel::{Asked, Authorizer, Bindings, Budget, EvaluationError, Value, What};
use serde_json::{Value as Json, json};

use super::authorizer::OnBehalf;
use super::compile::{self, Expression, Variable};
use crate::admission::Attributes;
use crate::admission::webhook::select::Seen;
use crate::request::Target;
use crate::status::Status;
use crate::storage;
use crate::subresource::user_info;

/// What stays the same while the expressions of one policy, binding and parameter are evaluated.
pub(super) struct Scene<'a> {
    pub(super) object: &'a Json,
    pub(super) old: &'a Json,
    pub(super) request: &'a Json,
    /// Null for what lives in no namespace.
    pub(super) namespace: &'a Json,
    pub(super) params: &'a Json,
    pub(super) authorizer: &'a OnBehalf<'a>,
    /// What `authorizer.requestResource` asks about.
    pub(super) asked: Arc<Asked>,
}

/// Evaluation of expressions that share their variables and a budget.
pub(super) struct Evaluation<'e, 'a> {
    scene: &'e Scene<'a>,
    variables: &'e [Variable],
    /// Values of variables that have been asked for.
    known: RefCell<HashMap<usize, Result<Value<'a>, EvaluationError>>>,
    remaining: Cell<u64>,
}

impl<'e, 'a> Evaluation<'e, 'a> {
    pub(super) fn new(scene: &'e Scene<'a>, variables: &'e [Variable], budget: u64) -> Self {
        Self { scene, variables, known: RefCell::default(), remaining: Cell::new(budget) }
    }

    /// The value of an expression; the error is upstream's text.
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Value<'a>, String> {
        let program = expression.program.as_ref().map_err(|why| format!("compilation error: {why}"))?;
        if self.remaining.get() == 0 {
            return Err(
                "validation failed due to running out of cost budget, no further validation rules will be run".into()
            );
        }
        self.run(program).map_err(|error| format!("expression '{}' resulted in error: {error}", expression.text))
    }

    fn run(&self, program: &portolan_cel::Program) -> Result<Value<'a>, EvaluationError> {
        let before = self.remaining.get();
        let mut budget = Budget::new(before);
        let outcome = program.evaluate(self, &mut budget);
        // Variables that were evaluated on the way have taken their part already.
        self.remaining.set(self.remaining.get().saturating_sub(before - budget.remaining));
        outcome
    }

    fn variable(&self, index: usize) -> Result<Value<'a>, EvaluationError> {
        if let Some(known) = self.known.borrow().get(&index) {
            return known.clone();
        }
        let variable = &self.variables[index];
        let failed = |what: &str| {
            let name = go::quote(variable.name.trim_start_matches("variables."));
            EvaluationError::Other(format!("composited variable {name} fails to {what}").into())
        };
        let value = match &variable.expression.program {
            Ok(program) => self.run(program).map_err(|error| match error {
                // Too expensive is too expensive, wherever.
                EvaluationError::CostExceeded => error,
                error => failed(&format!("evaluate: {error}")),
            }),
            Err(why) => Err(failed(&format!("compile: {why}"))),
        };
        self.known.borrow_mut().insert(index, value.clone());
        value
    }
}

impl<'a> Bindings<'a> for Evaluation<'_, 'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvaluationError>> {
        let scene = self.scene;
        Some(Ok(match name {
            "object" => Value::any(scene.object),
            "oldObject" => Value::any(scene.old),
            "request" => Value::of(scene.request, &compile::REQUEST),
            "namespaceObject" => Value::of(scene.namespace, &compile::NAMESPACE),
            "params" => Value::any(scene.params),
            "authorizer" => Value::Authorizer(scene.authorizer as &dyn Authorizer),
            "authorizer.requestResource" => Value::Asked(scene.authorizer as &dyn Authorizer, scene.asked.clone()),
            _ => {
                let index = self.variables.iter().position(|variable| variable.name == name)?;
                return Some(self.variable(index));
            }
        }))
    }
}

/// The request, as expressions see it.
pub(super) fn request(attributes: &Attributes<'_>, seen: &Seen) -> Json {
    let kind_of = |it: GroupVersionKind<'_>| json!({"group": it.group, "version": it.version, "kind": it.kind});
    let resource_of = |it: &Resource| json!({"group": it.group, "version": it.version, "resource": it.name});
    json!({
        "kind": kind_of(seen.kind(attributes)), "resource": resource_of(&seen.resource),
        "subResource": attributes.subresource(),
        "requestKind": kind_of(attributes.kind), "requestResource": resource_of(attributes.call.resource),
        "requestSubResource": attributes.subresource(),
        "name": attributes.name, "namespace": attributes.namespace(),
        "operation": attributes.operation.name(), "userInfo": user_info(attributes.call.user),
        "dryRun": attributes.dry_run, "options": attributes.options,
    })
}

/// What `authorizer.requestResource` asks about.
pub(super) fn asked(attributes: &Attributes<'_>) -> Arc<Asked> {
    let resource = portolan_cel::Resource {
        group: attributes.call.resource.group.to_string(),
        resource: attributes.call.resource.name.to_string(),
        subresource: attributes.subresource().to_owned(),
        namespace: attributes.namespace().to_owned(),
        name: attributes.name.clone(),
        ..portolan_cel::Resource::default()
    };
    Arc::new(Asked { what: What::Resource(resource), ..Asked::default() })
}

/// The namespace of the object; null if it has none.
pub(super) async fn namespace(attributes: &Attributes<'_>) -> Result<Json, Status> {
    let name = attributes.call.namespace();
    if name.is_empty() || attributes.is_namespace() {
        return Ok(Json::Null);
    }
    storage::decode(&*storage::entry(attributes.call.server, &Target::NAMESPACES, "", name).await?)
}

//! Policies that may change the object.

use std::collections::BTreeSet;

use portolan_cel::{List, Map, OBJECT_LIMIT, Type, Value};
use serde_json::{Value as Json, json};

use super::authorizer::OnBehalf;
use super::compile::{self, Expression, Scope, Variable};
use super::conditions::Conditions;
use super::followed::Read;
use super::matching::Constraints;
use super::params::{self, ParamKind};
use super::scene::{self, Evaluation, Scene};
use super::{FailurePolicy, is_exempt, merge};
use crate::admission::webhook::select::Seen;
use crate::admission::{Attributes, Operation};
use crate::status::Status;

/// A policy, compiled.
#[derive(Debug)]
pub(crate) struct MutatingPolicy {
    pub(super) name: String,
    constraints: Constraints,
    param_kind: Option<ParamKind>,
    failure: FailurePolicy,
    conditions: Conditions,
    variables: Vec<Variable>,
    mutations: Vec<Mutation>,
    is_reinvocable: bool,
}

#[derive(Debug)]
enum Mutation {
    /// An object whose fields are merged in.
    Apply(Expression),
    /// A list of operations.
    Patch(Expression),
}

impl Read for MutatingPolicy {
    fn read(object: &Json) -> Self {
        let spec = &object["spec"];
        let param_kind = ParamKind::read(spec);
        let scope = Scope { params: param_kind.is_some(), authorizer: true, mutation: true };
        let (variables, environment) = compile::variables(compile::environment(scope), spec);
        let mutations = spec["mutations"].as_array().into_iter().flatten().map(|mutation| {
            let text = |field: &str| mutation[field]["expression"].as_str().unwrap_or_default();
            match mutation["patchType"].as_str() {
                Some("JSONPatch") => {
                    Mutation::Patch(Expression::compile(&environment, text("jsonPatch"), &patch_types()))
                }
                _ => Mutation::Apply(Expression::compile(&environment, text("applyConfiguration"), &object_types())),
            }
        });
        Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            constraints: Constraints::read(&spec["matchConstraints"]),
            failure: FailurePolicy::read(spec),
            conditions: Conditions::compile(&environment, spec),
            mutations: mutations.collect(),
            is_reinvocable: spec["reinvocationPolicy"] == "IfNeeded",
            variables,
            param_kind,
        }
    }
}

/// What an apply configuration gives.
pub(crate) fn object_types() -> [Type; 1] {
    [Type::Struct("Object".into())]
}

/// What a patch gives.
pub(crate) fn patch_types() -> [Type; 1] {
    [Type::list(Type::Struct("JSONPatch".into()))]
}

/// Policy, binding and parameter.
type Id = (String, String, String);

/// What is remembered from the first round for the second one.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Policies that were asked and want to be asked again, should somebody behind them change the object.
    asked: BTreeSet<Id>,
    /// Policies that are asked in the next round.
    due: BTreeSet<Id>,
    /// The object as the policies left it.
    output: Option<Json>,
}

/// Why the request is refused.
struct Refusal {
    policy: String,
    binding: String,
    message: String,
    /// The policy is at fault, not its binding.
    reason: &'static str,
}

/// Lets all policies change the object; tells whether one did. `again`: this is the second round.
pub(crate) async fn mutate(attributes: &mut Attributes<'_>, rounds: &mut Rounds, again: bool) -> Result<bool, Status> {
    if is_exempt(attributes) || matches!(attributes.operation, Operation::Delete | Operation::Connect) {
        return Ok(false);
    }
    let hooks = attributes.call.server.admission.policies().mutating().await?;
    if hooks.is_empty() {
        return Ok(false);
    }
    if again && rounds.output.as_ref() != Some(&attributes.new) {
        rounds.due.append(&mut rounds.asked);
    }
    let due = std::mem::take(&mut rounds.due);
    let mut changed = false;
    let mut refusals = Vec::new();
    for (policy, bindings) in &hooks {
        let Some(seen) = policy.constraints.matched(attributes).await? else { continue };
        for binding in bindings {
            if binding.constraints.matched(attributes).await?.is_none() {
                continue;
            }
            let refuse = |message: String, reason| Refusal {
                policy: policy.name.clone(),
                binding: binding.name.clone(),
                message,
                reason,
            };
            let params = params::collect(policy.param_kind.as_ref(), binding.params.as_ref(), attributes).await?;
            let params = match params {
                Ok(params) => params,
                Err(_) if policy.failure == FailurePolicy::Ignore => continue,
                Err(why) => {
                    refusals.push(refuse(format!("failed to configure binding: {why}"), "Forbidden"));
                    continue;
                }
            };
            for params in &params {
                let param = format!("{}/{}", text(&params["metadata"]["namespace"]), text(&params["metadata"]["name"]));
                let id = (policy.name.clone(), binding.name.clone(), param);
                if again && !due.contains(&id) && !rounds.due.contains(&id) {
                    continue;
                }
                match policy.invoke(attributes, &seen, params).await? {
                    Ok(Outcome::Skipped) => continue,
                    Ok(Outcome::Same) => {}
                    Ok(Outcome::Changed) => {
                        rounds.due.append(&mut rounds.asked);
                        changed = true;
                    }
                    Err(_) if policy.failure == FailurePolicy::Ignore => {}
                    Err(why) => refusals.push(refuse(why, "Invalid")),
                }
                if policy.is_reinvocable {
                    rounds.asked.insert(id);
                }
            }
        }
    }
    rounds.output = Some(attributes.new.clone());
    match refusals.first() {
        None => Ok(changed),
        Some(first) => {
            let Refusal { policy, binding, message, reason } = first;
            let message = format!("policy '{policy}' with binding '{binding}' denied request: {message}");
            let status = Status::new(403, reason, message.clone());
            let status = status.about(&attributes.call.target(), &attributes.name).because_of(&message);
            Err(status.warning(std::mem::take(&mut attributes.warnings)))
        }
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

/// What came of a policy.
enum Outcome {
    Skipped,
    Same,
    Changed,
}

impl MutatingPolicy {
    /// Evaluates all mutations, each on what the one before it left.
    async fn invoke(
        &self,
        attributes: &mut Attributes<'_>,
        seen: &Seen,
        params: &Json,
    ) -> Result<Result<Outcome, String>, Status> {
        let namespace = scene::namespace(attributes).await?;
        let request = scene::request(attributes, seen);
        let old = seen.shown(attributes, attributes.old).await?;
        let mut failed = None;
        let mut changed = false;
        for (index, mutation) in self.mutations.iter().enumerate() {
            let object = seen.shown(attributes, &attributes.new).await?;
            let patched = {
                let authorizer = OnBehalf { server: attributes.call.server, user: attributes.call.user };
                let scene = Scene {
                    object: &object,
                    old: &old,
                    request: &request,
                    namespace: &namespace,
                    params,
                    authorizer: &authorizer,
                    asked: scene::asked(attributes),
                };
                if index == 0 {
                    match self.conditions.hold(&scene, &self.variables, self.failure) {
                        Ok(true) => {}
                        Ok(false) => return Ok(Ok(Outcome::Skipped)),
                        Err(why) => return Ok(Err(why)),
                    }
                }
                let evaluation = Evaluation::new(&scene, &self.variables, OBJECT_LIMIT);
                mutation.patched(&object, &evaluation, attributes, seen)
            };
            let outcome = match patched {
                Ok(patched) if patched == *object => Ok(false),
                Ok(patched) => {
                    let patched = seen.back(attributes, patched).await?;
                    merge::accept(attributes, patched)
                }
                Err(why) => Err(why),
            };
            match outcome {
                Ok(did) => changed |= did,
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        Ok(match failed {
            Some(why) => Err(why),
            None if changed => Ok(Outcome::Changed),
            None => Ok(Outcome::Same),
        })
    }
}

impl Mutation {
    fn patched(
        &self,
        object: &Json,
        evaluation: &Evaluation<'_, '_>,
        attributes: &Attributes<'_>,
        seen: &Seen,
    ) -> Result<Json, String> {
        match self {
            Self::Apply(expression) => {
                let value = evaluation.evaluate(expression)?;
                check_names(&value, "Object")?;
                merge::apply(object, value.to_json()?, attributes, seen)
            }
            Self::Patch(expression) => match evaluation.evaluate(expression)? {
                Value::List(list) => patch(object, &list),
                other => Err(format!(
                    "type mismatch: JSONPatchType.expression should evaluate to array, got {}",
                    other.type_name()
                )),
            },
        }
    }
}

/// Objects must be named after the fields that they stand in: `Object.spec.template` in `spec.template`.
fn check_names(value: &Value<'_>, path: &str) -> Result<(), String> {
    match value {
        Value::Map(Map::Struct(name, entries)) => {
            if **name != *path {
                return Err(format!(
                    "unexpected type name \"{name}\", expected \"{path}\", which matches field name path from root Object type"
                ));
            }
            entries.values().try_for_each(|(field, value)| {
                let path = format!("{path}.{}", field.as_str().unwrap_or_default());
                check_names(value, &path)
            })
        }
        Value::Map(Map::Made(entries)) => entries.values().try_for_each(|(_, value)| check_names(value, path)),
        Value::List(list @ List::Made(..)) => list.iter().try_for_each(|item| check_names(&item, path)),
        _ => Ok(()),
    }
}

/// Applies the operations that an expression gave.
fn patch(object: &Json, operations: &List<'_>) -> Result<Json, String> {
    let mut patched = object.clone();
    for operation in operations.iter() {
        let Value::Map(fields) = &operation else {
            let found = operation.type_name();
            return Err(format!(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {found}"
            ));
        };
        if let Some(value) = fields.field("value") {
            let name = value.type_name().to_owned();
            if name.starts_with("Object") {
                check_names(&value, &name)?;
            }
        }
        let operation = operation.to_json()?;
        let outcome = portolan_api::patch::json::apply(&mut patched, &json!([operation]));
        match outcome {
            Ok(()) => {}
            // A test that fails means that the patch is not for this object.
            Err(_) if operation["op"] == "test" => return Ok(object.clone()),
            Err(error) => return Err(format!("JSON Patch: {error}")),
        }
    }
    Ok(patched)
}

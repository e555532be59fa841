//! Policies that may change the object.

use std::collections::BTreeSet;

use portolan_base::go;
use portolan_cel::{OBJECT_LIMIT, Type, Value};
use serde_json::Value as Json;

use super::authorizer::OnBehalf;
use super::compile::{self, Expression, Scope, Variable};
use super::conditions::Conditions;
use super::followed::Read;
use super::matching::Constraints;
use super::params::{self, ParamKind};
use super::scene::{self, Evaluation, Scene};
use super::{FailurePolicy, is_exempt, made, merge};
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

/// What keeps a mutation from being made.
pub(super) enum Failure {
    /// The failure policy says what follows.
    Refused(String),
    /// The request fails whatever that says.
    Broken(Status),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Why the request is refused.
struct Refusal {
    message: String,
    reason: &'static str,
}

impl Refusal {
    /// A policy cannot be asked at all, or not where a binding says.
    fn of_setup(policy: &str, binding: Option<&str>, why: &str) -> Self {
        let message = match binding {
            Some(binding) => {
                format!("policy '{policy}' with binding '{binding}' denied request: failed to configure binding: {why}")
            }
            None => format!("policy {} denied request: failed to configure policy: {why}", go::quote(policy)),
        };
        Self { message, reason: "Forbidden" }
    }
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
    // What is set up wrongly is told before what mutations fail at.
    let (mut setups, mut refusals) = (Vec::new(), Vec::new());
    for (policy, bindings) in &hooks {
        let Some(seen) = policy.constraints.matched(attributes).await? else { continue };
        let mut misconfigured = |binding, why: &str| {
            if policy.failure == FailurePolicy::Fail {
                setups.push(Refusal::of_setup(&policy.name, binding, why));
            }
        };
        let place = match params::place(policy.param_kind.as_ref(), attributes) {
            Ok(place) => place,
            Err(why) => {
                misconfigured(None, &why);
                continue;
            }
        };
        for binding in bindings {
            if binding.constraints.matched(attributes).await?.is_none() {
                continue;
            }
            let params = match params::collect(place.as_ref(), binding.params.as_ref(), attributes).await? {
                Ok(params) => params,
                Err(why) => {
                    misconfigured(Some(&binding.name), &why);
                    continue;
                }
            };
            for params in &params {
                let param = format!("{}/{}", text(&params["metadata"]["namespace"]), text(&params["metadata"]["name"]));
                let id = (policy.name.clone(), binding.name.clone(), param);
                if again && !due.contains(&id) && !rounds.due.contains(&id) {
                    continue;
                }
                let Some(made) = policy.invoke(attributes, &seen, params).await? else { continue };
                if made.changed {
                    rounds.due.append(&mut rounds.asked);
                    changed = true;
                }
                if policy.failure == FailurePolicy::Fail {
                    let (policy, binding) = (&policy.name, &binding.name);
                    refusals.extend(made.failures.iter().map(|why| Refusal {
                        message: format!("policy '{policy}' with binding '{binding}' denied request: {why}"),
                        reason: "Invalid",
                    }));
                }
                if policy.is_reinvocable {
                    rounds.asked.insert(id);
                }
            }
        }
    }
    rounds.output = Some(attributes.new.clone());
    setups.append(&mut refusals);
    let Some(Refusal { message, reason }) = setups.first() else { return Ok(changed) };
    let status = Status::new(403, reason, message.clone()).about(&attributes.call.target(), &attributes.name);
    let status = status.because_of(setups.iter().map(|refusal| refusal.message.as_str()));
    Err(status.warning(std::mem::take(&mut attributes.warnings)))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

/// What came of a policy.
#[derive(Default)]
struct Made {
    changed: bool,
    /// Why mutations were not made; those behind them may have been.
    failures: Vec<String>,
}

impl MutatingPolicy {
    /// Evaluates all mutations, each on what the one before it left. `None` if the conditions do not hold.
    async fn invoke(
        &self,
        attributes: &mut Attributes<'_>,
        seen: &Seen,
        params: &Json,
    ) -> Result<Option<Made>, Status> {
        let namespace = scene::namespace(attributes).await?;
        let request = scene::request(attributes, seen);
        let old = seen.shown(attributes, attributes.old).await?;
        let mut made = Made::default();
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
                        Ok(false) => return Ok(None),
                        Err(why) => return Ok(Some(Made { changed: false, failures: vec![why] })),
                    }
                }
                let evaluation = Evaluation::new(&scene, &self.variables, OBJECT_LIMIT);
                mutation.patched(&object, &evaluation, attributes, seen)
            };
            let outcome = match patched {
                Ok(patched) if patched == *object => Ok(false),
                Ok(patched) => {
                    let patched = seen.back(attributes, patched).await?;
                    merge::accept(attributes, patched, matches!(mutation, Mutation::Apply(_)))
                }
                Err(why) => Err(why),
            };
            match outcome {
                Ok(did) => made.changed |= did,
                Err(Failure::Refused(why)) => made.failures.push(why),
                Err(Failure::Broken(status)) => return Err(status),
            }
        }
        Ok(Some(made))
    }
}

impl Mutation {
    fn patched(
        &self,
        object: &Json,
        evaluation: &Evaluation<'_, '_>,
        attributes: &Attributes<'_>,
        seen: &Seen,
    ) -> Result<Json, Failure> {
        match self {
            Self::Apply(expression) => {
                let value = evaluation.evaluate(expression)?;
                made::check_names(&value, "Object")?;
                merge::apply(object, value.to_json()?, attributes, seen)
            }
            Self::Patch(expression) => match evaluation.evaluate(expression)? {
                Value::List(list) => Ok(made::patch(object, &list)?),
                other => Err(Failure::Refused(format!(
                    "type mismatch: JSONPatchType.expression should evaluate to array, got {}",
                    other.type_name()
                ))),
            },
        }
    }
}

//! Transactions.
//!
//! Steps on keys and values are one transaction of the store. Nodes, services and checks are objects of
//! the API; [`objects`] says how they take part.

mod journal;
mod objects;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use portolan_registrar::access::{Resource, Verb as Right};
use portolan_registrar::http::{Body, Request};
use portolan_registrar::limits::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::acl::{Access, Authorizer};
use crate::body::Fields;
use crate::kv::steps::{Committed, Footprint, Found, Refused, Step, Verb};
use crate::kv::{self, Answered, MOST_VALUE_BYTES};
use crate::parameters::{Consistency, Parameters};
use crate::route::Routed;
use crate::state::State;
use crate::{Error, answer, fold};

pub(crate) use self::journal::Journal;
pub(crate) use self::queue::Queue;

/// Steps of one transaction.
const MOST_STEPS: usize = 128;
/// Largest body.
const MOST_BODY_BYTES: usize = 512 << 10;

const FIELDS: [&str; 10] = ["KV", "Node", "Service", "Check", "Verb", "Key", "Value", "Flags", "Index", "Session"];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Operation {
    #[serde(rename = "KV")]
    kv: Option<KeyOperation>,
    node: Option<Map<String, Value>>,
    service: Option<Map<String, Value>>,
    check: Option<Map<String, Value>>,
}

/// A transaction: its steps with their numbers.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    count: usize,
    keys: Vec<Step>,
    /// The numbers of `keys`.
    key_numbers: Vec<usize>,
    objects: Vec<(usize, objects::Step)>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct KeyOperation {
    verb: String,
    key: String,
    value: Option<String>,
    flags: u64,
    index: u64,
    session: String,
}

/// Answers `/v1/txn`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    match segments {
        [] if request.method == Method::PUT => Some(commit(state, request).await),
        [] => Some(Err(Error::method(&request.method, "PUT"))),
        _ => None,
    }
}

/// Reads the body of a transaction. `address` tells what a node is reached by.
pub(crate) fn parse(body: &[u8], address: impl Fn(&str) -> String) -> Result<Steps, Error> {
    if body.len() > MOST_BODY_BYTES {
        return Err(Error::TooLarge(format!(
            "Request body({} bytes) too large, max size: {MOST_BODY_BYTES} bytes. See \
             https://developer.hashicorp.com/docs/agent/config/config-files#txn_max_req_len.",
            body.len()
        )));
    }
    let failed = |error: String| Error::BadRequest(format!("Failed to parse body: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(|error| failed(error.to_string()))?;
    // What stands in nodes, services and checks is read by its own rules.
    let untouched = ["Node", "Service", "Check"];
    let operations: Vec<Operation> = serde_json::from_value(fold::canonical(value, &FIELDS, &untouched))
        .map_err(|error| failed(error.to_string()))?;
    if operations.len() > MOST_STEPS {
        let text = format!("Transaction contains too many operations ({} > {MOST_STEPS})", operations.len());
        return Err(Error::TooLarge(text));
    }
    let mut steps = Steps { count: operations.len(), ..Steps::default() };
    for (number, operation) in operations.into_iter().enumerate() {
        let object = if let Some(node) = &operation.node {
            objects::Step::node(&Fields::of(node))?
        } else if let Some(service) = &operation.service {
            objects::Step::service(&Fields::of(service), &address)?
        } else if let Some(check) = &operation.check {
            objects::Step::check(&Fields::of(check))?
        } else {
            steps.keys.push(step(operation)?);
            steps.key_numbers.push(number);
            continue;
        };
        steps.objects.push((number, object));
    }
    Ok(steps)
}

fn read(state: &State, request: &Request) -> Result<Steps, Error> {
    let machines = state.machines(&state.snapshot());
    parse(&request.body, |node| machines.get(node).map(|machine| machine.address.clone()).unwrap_or_default())
}

/// What the cluster's rules must allow for a transaction.
pub(crate) fn rights(state: &State, request: &Request) -> Result<Vec<(Right, Resource)>, Error> {
    let steps = read(state, request)?;
    let mut rights: Vec<_> = steps.objects.iter().flat_map(|(_, step)| step.rights(state)).collect();
    if !steps.keys.is_empty() {
        let reads = Footprint::of(&steps.keys).reads_only();
        rights.push((if reads { Right::Get } else { Right::Update }, Resource::Keys));
    }
    rights.dedup();
    Ok(rights)
}

fn step(operation: Operation) -> Result<Step, Error> {
    let Some(KeyOperation { verb, key, value, flags, index, session }) = operation.kv else {
        return Err(Error::BadRequest("Failed to parse body: an operation names no KV".into()));
    };
    let value = decode(value.as_deref().unwrap_or_default())
        .ok_or_else(|| Error::BadRequest(format!("Failed to parse body: the value of key {key:?} is not base 64")))?;
    if value.len() > MOST_VALUE_BYTES {
        let text = format!("Value for key {key:?} is too large ({} > {MOST_VALUE_BYTES} bytes)", value.len());
        return Err(Error::TooLarge(text));
    }
    let verb = match verb.as_str() {
        "set" => Verb::Set,
        "cas" => Verb::Cas(index),
        "lock" => Verb::Lock(session),
        "unlock" => Verb::Unlock(session),
        "get" => Verb::Get,
        "get-or-empty" => Verb::GetOrEmpty,
        "get-tree" => Verb::GetTree,
        "check-index" => Verb::CheckIndex(index),
        "check-session" => Verb::CheckSession(session),
        "check-not-exists" => Verb::CheckNotExists,
        "delete" => Verb::Delete,
        "delete-tree" => Verb::DeleteTree,
        "delete-cas" => Verb::DeleteCas(index),
        other => return Err(Error::BadRequest(format!("unknown KV verb {other:?}"))),
    };
    if !matches!(verb, Verb::GetTree | Verb::DeleteTree) {
        kv::check_key(&key)?;
    }
    Ok(Step { key, verb, value, flags })
}

fn decode(value: &str) -> Option<Bytes> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(value).ok().map(Bytes::from)
}

async fn commit(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    let parameters = Parameters::of(request);
    state.check_datacenter(&parameters)?;
    let steps = Arc::new(read(state, request)?);
    let pretty = parameters.has("pretty");
    let authorizer = state.authorizer(request, &parameters).await?;
    let denied = denied(state, &steps, &authorizer);
    if !denied.is_empty() {
        return refused(denied, pretty);
    }
    let registrations = steps.objects.iter().filter(|(_, step)| step.writes()).count();
    state.limiter.take(&request.client(), 0, u32::try_from(registrations).unwrap_or(u32::MAX), Instant::now())?;
    let Done { results, index } = match write(state, request.client(), &steps, &authorizer).await? {
        Ok(done) => done,
        Err(errors) => return refused(errors, pretty),
    };
    let mut told: Vec<Vec<Value>> = (0..steps.count).map(|_| Vec::new()).collect();
    // Trees are read without being asked whether one may.
    let readable = results.iter().filter(|found| !found.with_value || authorizer.allows(Access::KeyRead, &found.key));
    for found in readable {
        told[steps.key_numbers[found.step]].push(match &found.current {
            Some(current) => json!({"KV": Answered::of(&found.key, current, found.with_value)}),
            None => json!({"KV": Answered::absent(&found.key)}),
        });
    }
    // Earlier steps, and others, may have made something else of what a step reads.
    let hidden = objects::denied(state, &authorizer, &steps.objects);
    for (number, step) in steps.objects.iter().filter(|(number, _)| !hidden.contains(number)) {
        told[*number].extend(step.result(state));
    }
    let results: Vec<Value> = told.into_iter().flatten().collect();
    let response = answer::json(&json!({"Results": results, "Errors": null}), pretty)?;
    let consistency = if parameters.has("stale") { Consistency::Stale } else { Consistency::Leader };
    let reads_only = Footprint::of(&steps.keys).reads_only() && !steps.objects.iter().any(|(_, step)| step.writes());
    Ok(if reads_only { answer::with_index(response, index, consistency) } else { response })
}

/// What the steps on keys found, and the index of the answer.
struct Done {
    results: Vec<Found>,
    index: u64,
}

type Errors = Vec<(usize, String)>;

fn denied(state: &State, steps: &Steps, authorizer: &Authorizer) -> Errors {
    let keys = steps.key_numbers.iter().zip(&steps.keys);
    let of_keys = keys.filter(|(_, step)| kv::permit(authorizer, &step.key, &step.verb).is_err());
    let of_objects = objects::denied(state, authorizer, &steps.objects);
    let numbers = of_keys.map(|(number, _)| *number).chain(of_objects);
    numbers.map(|number| (number, "Permission denied".to_owned())).collect()
}

/// Does all steps or none; says which were refused.
async fn write(
    state: &State,
    client: Client,
    steps: &Arc<Steps>,
    authorizer: &Arc<Authorizer>,
) -> Result<Result<Done, Errors>, Error> {
    if !steps.objects.is_empty() {
        return state.transactions.write(client, steps.clone(), authorizer.clone()).await;
    }
    Ok(match state.space.apply(&steps.keys).await? {
        Ok(Committed { results, index }) => Ok(Done { results, index }),
        Err(errors) => Err(numbered(steps, errors)),
    })
}

/// Does all steps of a transaction with objects, or none. It must not be dropped half way.
async fn write_objects(
    state: &State,
    client: &Client,
    steps: &Steps,
    authorizer: &Authorizer,
) -> Result<Result<Done, Errors>, Error> {
    // Those before it may have made another service's of what it touches.
    let denied = denied(state, steps, authorizer);
    if !denied.is_empty() {
        return Ok(Err(denied));
    }
    let mut errors = objects::refusals(state, &steps.objects);
    errors.extend(numbered(steps, state.space.refusals(&steps.keys).await?));
    if !errors.is_empty() {
        return Ok(Err(errors));
    }
    let now = Instant::now();
    for key in steps.objects.iter().filter_map(|(_, step)| step.registers(state)) {
        state.limiter.hold(client, &key, now, |key| state.registrar.instance(key).is_some())?;
    }
    let mut journal = Journal::default();
    if let Err(error) = objects::apply(state, client, &steps.objects, &mut journal).await {
        return Ok(Err(vec![error]));
    }
    // Without steps on keys there is nothing to commit, and the catalog's index is that of the answer.
    if steps.keys.is_empty() {
        return Ok(Ok(Done { results: Vec::new(), index: state.snapshot().index() }));
    }
    let committed = state.space.apply(&steps.keys).await;
    if !matches!(committed, Ok(Ok(_))) {
        journal.put_back(state).await;
    }
    Ok(match committed? {
        Ok(Committed { results, index }) => Ok(Done { results, index }),
        Err(errors) => Err(numbered(steps, errors)),
    })
}

fn numbered(steps: &Steps, refused: Vec<(usize, Refused)>) -> Errors {
    refused.into_iter().map(|(step, refused)| (steps.key_numbers[step], refused.to_string())).collect()
}

fn refused(mut errors: Errors, pretty: bool) -> Result<Response<Body>, Error> {
    errors.sort();
    let errors: Vec<Value> =
        errors.into_iter().map(|(number, what)| json!({"OpIndex": number, "What": what})).collect();
    let mut response = answer::json(&json!({"Results": null, "Errors": errors}), pretty)?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

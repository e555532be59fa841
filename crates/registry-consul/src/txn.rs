//! Transactions.
//!
//! Steps on keys and values are one transaction of the store. Nodes, services and checks are objects
//! of the API, each written by itself, so a transaction that touches them cannot be atomic; such a
//! transaction is refused rather than half done.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use portolan_registrar::http::{Body, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::acl::Access;
use crate::kv::steps::{Footprint, Refused, Step, Verb};
use crate::kv::{self, Answered, MOST_VALUE_BYTES};
use crate::parameters::{Consistency, Parameters};
use crate::route::Routed;
use crate::state::State;
use crate::{Error, answer, fold};

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
    node: Option<Value>,
    service: Option<Value>,
    check: Option<Value>,
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

/// Reads the body of a transaction.
fn parse(body: &[u8]) -> Result<Vec<Step>, Error> {
    if body.len() > MOST_BODY_BYTES {
        return Err(Error::TooLarge(format!(
            "Request body({} bytes) too large, max size: {MOST_BODY_BYTES} bytes. See \
             https://developer.hashicorp.com/docs/agent/config/config-files#txn_max_req_len.",
            body.len()
        )));
    }
    let failed = |error: String| Error::BadRequest(format!("Failed to parse body: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(|error| failed(error.to_string()))?;
    let operations: Vec<Operation> =
        serde_json::from_value(fold::canonical(value, &FIELDS, &[])).map_err(|error| failed(error.to_string()))?;
    if operations.len() > MOST_STEPS {
        let text = format!("Transaction contains too many operations ({} > {MOST_STEPS})", operations.len());
        return Err(Error::TooLarge(text));
    }
    operations.into_iter().map(step).collect()
}

fn step(operation: Operation) -> Result<Step, Error> {
    let others = [("node", &operation.node), ("service", &operation.service), ("check", &operation.check)];
    if let Some((kind, _)) = others.iter().find(|(_, value)| value.is_some()) {
        return Err(Error::BadRequest(format!(
            "{kind} operations are not possible in a transaction: they are objects that are written one by one; use \
             /v1/catalog/register and /v1/catalog/deregister"
        )));
    }
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
    state.refuse_namespace(request, &parameters)?;
    state.check_datacenter(&parameters)?;
    let steps = parse(&request.body)?;
    let pretty = parameters.has("pretty");
    let authorizer = state.authorizer(request, &parameters).await?;
    let denied: Vec<Value> = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| kv::permit(&authorizer, &step.key, &step.verb).is_err())
        .map(|(index, _)| json!({"OpIndex": index, "What": "Permission denied"}))
        .collect();
    if !denied.is_empty() {
        return refused(denied, pretty);
    }
    let committed = match state.space.apply(&steps).await? {
        Ok(committed) => committed,
        Err(errors) => return refused(errors.iter().map(what).collect(), pretty),
    };
    let readable = committed.results.iter().filter(|found| {
        // Trees are read without being asked whether one may.
        !found.with_value || authorizer.allows(Access::KeyRead, &found.key)
    });
    let results: Vec<Value> = readable
        .map(|found| match &found.current {
            Some(current) => json!({"KV": Answered::of(&found.key, current, found.with_value)}),
            None => json!({"KV": Answered::absent(&found.key)}),
        })
        .collect();
    let response = answer::json(&json!({"Results": results, "Errors": null}), pretty)?;
    let consistency = if parameters.has("stale") { Consistency::Stale } else { Consistency::Leader };
    Ok(if Footprint::of(&steps).reads_only() {
        answer::with_index(response, committed.index, consistency)
    } else {
        response
    })
}

fn what((index, refused): &(usize, Refused)) -> Value {
    json!({"OpIndex": index, "What": refused.to_string()})
}

fn refused(errors: Vec<Value>, pretty: bool) -> Result<Response<Body>, Error> {
    let mut response = answer::json(&json!({"Results": null, "Errors": errors}), pretty)?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

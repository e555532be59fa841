//! Prepared queries.

mod model;
mod publish;
#[cfg(test)]
mod tests;

use http::{Method, Response};
use portolan_catalog::query::{execute, nearest_as_named};
use portolan_registrar::http::{Body, Request};
use portolan_store::Operation;
use rand::seq::SliceRandom;
use serde_json::json;
use uuid::Uuid;

pub(crate) use publish::publish;

pub use model::{DnsOptions, Failover, FailoverTarget, PreparedQuery, QueryTemplate, ServiceQuery, find};

use crate::acl::{Access, Authorizer};
use crate::parameters::{Parameters, ReadOptions};
use crate::route::Routed;
use crate::session::keeper::Keeper;
use crate::space::{Record, Records, Space, WriteError, poll};
use crate::state::State;
use crate::{Error, acl, answer, fold};

/// Everything about queries is below this prefix.
const AREA: &str = "/consul/query/";
/// What stands where a token would.
const HIDDEN: &str = "<hidden>";

const FIELDS: [&str; 27] = [
    "ID",
    "Name",
    "Session",
    "Token",
    "Template",
    "Type",
    "Regexp",
    "RemoveEmptyTags",
    "Service",
    "Failover",
    "NearestN",
    "Datacenters",
    "Targets",
    "Datacenter",
    "Peer",
    "OnlyPassing",
    "IgnoreCheckIDs",
    "Near",
    "Tags",
    "NodeMeta",
    "ServiceMeta",
    "Connect",
    "DNS",
    "TTL",
    "Namespace",
    "Partition",
    "Limit",
];

fn records(space: &Space) -> Records<'_, PreparedQuery> {
    space.records("query")
}

/// The steps that delete the queries of a session.
pub(crate) async fn deletions(space: &Space, session: &str) -> Result<Vec<Operation>, Error> {
    let records = records(space);
    let found = records.list().await?;
    let ending = found.iter().filter(|record| record.value.session == session);
    Ok(ending.flat_map(|record| records.deletion(&record.value.id, record.value.unique_name())).collect())
}

/// All prepared queries, for who answers them by other ways than HTTP.
pub(crate) async fn all(space: &Space) -> Result<Vec<PreparedQuery>, Error> {
    Ok(records(space).list().await?.into_iter().map(|record| record.value).collect())
}

/// Reads a definition as a request would.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_body(bytes: &[u8]) {
    let read: Result<PreparedQuery, _> = fold::read(bytes, &FIELDS, &["NodeMeta", "ServiceMeta"]);
    if let Ok(query) = read
        && query.check().is_ok()
    {
        let _ = (query.spec(), find(std::slice::from_ref(&query), &format!("{}-x", query.name)));
    }
}

/// Answers what is below `/v1/query`.
pub(crate) async fn route(state: &State, request: &Request, segments: &[&str]) -> Routed {
    let parameters = Parameters::of(request);
    if let Err(error) = state.check_datacenter(&parameters) {
        return Some(Err(error));
    }
    let method = &request.method;
    Some(match segments {
        [] | [""] if method == Method::POST => write(state, request, &parameters, None).await,
        [] | [""] if method == Method::GET => read(state, request, &parameters, None).await,
        [] | [""] => Err(Error::method(method, "GET,POST")),
        [name, "execute"] if method == Method::GET => run(state, request, &parameters, name).await,
        [name, "explain"] if method == Method::GET => explain(state, request, &parameters, name).await,
        [_, "execute" | "explain"] => Err(Error::method(method, "GET")),
        [id] if method == Method::GET => read(state, request, &parameters, Some(id)).await,
        [id] if method == Method::PUT => write(state, request, &parameters, Some(id)).await,
        [id] if method == Method::DELETE => delete(state, request, &parameters, id).await,
        [_] => Err(Error::method(method, "GET,PUT,DELETE")),
        _ => return None,
    })
}

fn missing(id: &str) -> Error {
    Error::NotFound(format!("Query not found: no prepared query is {id:?}"))
}

/// Whoever knows the id of a query without a name may use it; to find it in lists needs all rights.
fn readable(authorizer: &Authorizer, query: &PreparedQuery, asked: Option<&str>) -> bool {
    match query.unique_name() {
        Some(name) => authorizer.allows(Access::QueryRead, name),
        None => asked.is_some() || authorizer.allows(Access::AclWrite, ""),
    }
}

async fn write(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    id: Option<&str>,
) -> Result<Response<Body>, Error> {
    let authorizer = state.authorizer(request, parameters).await?;
    let mut query: PreparedQuery = fold::read(&request.body, &FIELDS, &["NodeMeta", "ServiceMeta"])?;
    query.check().map_err(Error::BadRequest)?;
    let space = &state.space;
    let before = match id {
        Some(id) => Some(records(space).get(id).await?.ok_or_else(|| missing(id))?),
        None if !query.id.is_empty() => {
            return Err(Error::BadRequest("ID must be empty when creating a new prepared query".into()));
        }
        None => None,
    };
    for name in
        [query.unique_name(), before.as_ref().and_then(|before| before.value.unique_name())].into_iter().flatten()
    {
        authorizer.require(Access::QueryWrite, name)?;
    }
    if !query.session.is_empty() && Keeper::get(space, &query.session).await?.is_none() {
        return Err(Error::BadRequest(format!("invalid session {:?}", query.session)));
    }
    query.id = id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    query.token = match (query.token.as_str(), &before) {
        (HIDDEN, Some(before)) => before.value.token.clone(),
        ("", _) => String::new(),
        (token, _) => acl::token_hash(token),
    };
    let replaced = before.as_ref().map(|before| (before.modified, before.value.unique_name()));
    match records(space).put(&query.id, query.unique_name(), &query, replaced).await {
        Ok(_) if id.is_some() => answer::json(&true, parameters.has("pretty")),
        Ok(_) => answer::json(&json!({"ID": query.id}), parameters.has("pretty")),
        Err(WriteError::Taken) => {
            Err(Error::BadRequest(format!("name '{}' aliases an existing query name", query.name)))
        }
        Err(error) => Err(error.into()),
    }
}

async fn read(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    id: Option<&str>,
) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    let space = &state.space;
    let waiter = || space.feed().prefix(&records(space).prefix());
    let read = || async {
        let found = match id {
            Some(id) => records(space).get(id).await?.into_iter().collect(),
            None => records(space).list().await?,
        };
        let newest = found.iter().map(|record: &Record<PreparedQuery>| record.modified).max().unwrap_or(0);
        Ok((found, newest.max(space.feed().table_index(AREA))))
    };
    let (mut found, index) = poll(waiter, options.index, options.wait, &state.shutdown, read).await?;
    if let Some(id) = id.filter(|_| found.is_empty()) {
        return Err(missing(id));
    }
    let before = found.len();
    found.retain(|record| readable(&authorizer, &record.value, id));
    let filtered = found.len() < before;
    if filtered && id.is_some() {
        return Err(Error::Forbidden("Permission denied".into()));
    }
    for record in found.iter_mut().filter(|record| !record.value.token.is_empty()) {
        HIDDEN.clone_into(&mut record.value.token);
    }
    let response = answer::with_index(answer::json(&found, options.pretty)?, index, options.consistency);
    Ok(acl::marked(response, filtered))
}

async fn delete(state: &State, request: &Request, parameters: &Parameters, id: &str) -> Result<Response<Body>, Error> {
    let authorizer = state.authorizer(request, parameters).await?;
    let records = records(&state.space);
    let record = records.get(id).await?.ok_or_else(|| missing(id))?;
    if let Some(name) = record.value.unique_name() {
        authorizer.require(Access::QueryWrite, name)?;
    }
    let done = records.delete(id, record.modified, record.value.unique_name()).await?;
    if done { answer::json(&true, parameters.has("pretty")) } else { Err(WriteError::Stale.into()) }
}

async fn rendered(state: &State, wanted: &str) -> Result<PreparedQuery, Error> {
    let found = find(&all(&state.space).await?, wanted).ok_or_else(|| missing(wanted))?;
    found.map_err(Error::BadRequest)
}

async fn explain(
    state: &State,
    request: &Request,
    parameters: &Parameters,
    name: &str,
) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let authorizer = state.authorizer(request, parameters).await?;
    let mut query = rendered(state, name).await?;
    if !readable(&authorizer, &query, Some(name)) {
        return Err(Error::Forbidden("Permission denied".into()));
    }
    if !query.token.is_empty() {
        HIDDEN.clone_into(&mut query.token);
    }
    let response = answer::json(&json!({"Query": query}), options.pretty)?;
    Ok(answer::with_index(response, state.space.feed().table_index(AREA), options.consistency))
}

async fn run(state: &State, request: &Request, parameters: &Parameters, name: &str) -> Result<Response<Body>, Error> {
    let options = ReadOptions::of(state, request, parameters)?;
    let limit: usize = match parameters.text("limit") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Error::BadRequest(format!("Invalid limit {text:?}")))?,
    };
    let query = rendered(state, name).await?;
    let authorizer = match query.token.as_str() {
        "" => state.authorizer(request, parameters).await?,
        hashed => state.acl.by_hash(&state.space, hashed).await?,
    };
    let snapshot = state.snapshot();
    let mut instances = execute(&snapshot, &query.spec());
    let before = instances.len();
    let name_of = |instance: &portolan_catalog::Instance| crate::entry::service_name(instance);
    instances.retain(|instance| {
        authorizer.allows(Access::ServiceRead, &name_of(instance))
            && authorizer.allows(Access::NodeRead, &instance.node)
    });
    let filtered = instances.len() < before;
    instances.shuffle(&mut rand::rng());
    let near = options.near.as_deref().unwrap_or(&query.service.near);
    nearest_as_named(&snapshot, &mut instances, near, &state.identity.node);
    if limit > 0 {
        instances.truncate(limit);
    }
    let machines = state.machines(&snapshot);
    let nodes: Vec<_> = instances
        .iter()
        .map(|instance| crate::health::with_checks(state, &(instance.clone(), machines.of_instance(instance))))
        .collect();
    let body = json!({
        "Service": query.service.service,
        "Namespace": "",
        "Nodes": nodes,
        "DNS": query.dns,
        "Datacenter": state.identity.datacenter,
        "Failovers": 0,
    });
    let response = answer::with_index(answer::json(&body, options.pretty)?, snapshot.index(), options.consistency);
    Ok(acl::marked(response, filtered))
}

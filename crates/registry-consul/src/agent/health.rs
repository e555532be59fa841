//! Health by status code, for load balancers.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use portolan_catalog::{Instance, Snapshot};
use portolan_registrar::http::{Body, Request};
use serde_json::{Value, json};

use super::check::{newest, node_checks};
use super::service::{described, local_instances, shown};
use crate::machine::NODE_MAINTENANCE;
use crate::parameters::Parameters;
use crate::state::State;
use crate::{Error, answer, entry};

/// The status of several checks at once; the last is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aggregate {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Aggregate {
    fn of<'a>(checks: impl Iterator<Item = &'a Value>) -> Self {
        let one = |check: &Value| {
            let id = check["CheckID"].as_str().unwrap_or_default();
            if id == NODE_MAINTENANCE || id.starts_with("_service_maintenance:") {
                return Self::Maintenance;
            }
            match check["Status"].as_str() {
                Some("passing") => Self::Passing,
                Some("warning") => Self::Warning,
                _ => Self::Critical,
            }
        };
        checks.map(one).max().unwrap_or(Self::Passing)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Self::Passing => StatusCode::OK,
            Self::Warning => StatusCode::TOO_MANY_REQUESTS,
            Self::Critical | Self::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn describe(state: &State, snapshot: &Snapshot, instance: &Instance) -> (Aggregate, Value) {
    let mut checks = node_checks(state, snapshot);
    checks.extend(newest(state, instance));
    let aggregate = Aggregate::of(checks.iter());
    (aggregate, described(instance, &state.identity.datacenter, checks, aggregate.as_str()))
}

fn respond(request: &Request, status: StatusCode, words: &str, value: &Value) -> Result<Response<Body>, Error> {
    let parameters = Parameters::of(request);
    let accepts = request.headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if parameters.get("format") == Some("text") || accepts == Some("text/plain") {
        return Ok(answer::text(status, words.to_owned()));
    }
    let mut response = answer::json(value, parameters.has("pretty"))?;
    *response.status_mut() = status;
    Ok(response)
}

/// `GET /v1/agent/health/service/id/ID`
pub(super) fn by_id(state: &State, request: &Request, id: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    if id.is_empty() {
        return Err(Error::BadRequest("Missing serviceID".into()));
    }
    let snapshot = state.snapshot();
    match state.local(id).and_then(|object| shown(&snapshot, &object)) {
        Some(instance) => {
            let (aggregate, value) = describe(state, &snapshot, &instance);
            respond(request, aggregate.code(), aggregate.as_str(), &value)
        }
        None => {
            let value = json!({"AggregatedStatus": "critical", "Service": null, "Checks": null});
            respond(request, StatusCode::NOT_FOUND, &format!("ServiceId {id} not found"), &value)
        }
    }
}

/// `GET /v1/agent/health/service/name/NAME`: the worst of all.
pub(super) fn by_name(state: &State, request: &Request, name: &str) -> Result<Response<Body>, Error> {
    if request.method != Method::GET {
        return Err(Error::method(&request.method, "GET"));
    }
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service Name".into()));
    }
    let snapshot = state.snapshot();
    let mut named = local_instances(state, &snapshot);
    named.retain(|instance: &Arc<Instance>| entry::service_name(instance) == name);
    let described: Vec<(Aggregate, Value)> =
        named.iter().map(|instance| describe(state, &snapshot, instance)).collect();
    let worst = described.iter().map(|(aggregate, _)| *aggregate).max();
    let values: Value = described.into_iter().map(|(_, value)| value).collect();
    match worst {
        Some(worst) => respond(request, worst.code(), worst.as_str(), &values),
        None => respond(request, StatusCode::NOT_FOUND, &format!("ServiceName {name} Not Found"), &values),
    }
}

//! From a path to the area that answers it.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, Uri};
use portolan_registrar::access::authorization;
use portolan_registrar::http::{Body, Handler, Refusal, Request};
use portolan_registrar::{SegmentError, decode_segment};
use tokio::time::Instant;

use crate::parameters::Parameters;
use crate::state::State;
use crate::{
    Error, acl, agent, answer, catalog, config, coordinate, event, gate, health, kv, operator, query, session, status,
    txn,
};

/// What an area makes of a request; `None` if the path is not its own.
pub(crate) type Routed = Option<Result<Response<Body>, Error>>;

/// Answers requests.
pub(crate) struct Consul {
    state: Arc<State>,
}

impl Consul {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    async fn route(&self, request: &Request) -> Result<Response<Body>, Error> {
        if request.path() == "/" {
            // Something helpful, and something that a check of this very server finds passing.
            return Ok(answer::text(StatusCode::OK, "Consul's HTTP interface, served by Portolan; ask below /v1/"));
        }
        let unknown = || Error::NotFound("Invalid URL path: not a recognized HTTP API endpoint".into());
        let elsewhere = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'";
        let path = request.path().strip_prefix("/v1/").ok_or_else(|| Error::NotFound(elsewhere.into()))?;
        let decoded: Vec<Cow<'_, str>> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let Some((area, rest)) = segments.split_first() else { return Err(unknown()) };
        let state = &*self.state;
        state.refuse_tenancy(request, &Parameters::of(request))?;
        let passed = gate::pass(state, request, area, rest).await?;
        let _waiting = waits(request).then(|| state.limiter.wait(&request.client())).transpose()?;
        let routed = match *area {
            "agent" => agent::route(state, request, &passed.sight, rest).await,
            "catalog" => catalog::route(state, request, passed, rest).await,
            "health" => health::route(state, request, &passed.sight, rest).await,
            "operator" => operator::route(state, request, rest).await,
            "status" => status::route(state, request, rest).await,
            "event" => event::route(state, request, rest).await,
            "config" => config::route(state, request, rest).await,
            "coordinate" => coordinate::route(state, request, rest).await,
            "kv" => kv::route(state, request, rest).await,
            "session" => session::route(state, request, rest).await,
            "txn" => txn::route(state, request, rest).await,
            "acl" => acl::route(state, request, rest).await,
            "query" => query::route(state, request, rest).await,
            _ => None,
        };
        routed.unwrap_or_else(|| Err(unknown()))
    }
}

impl Handler for Consul {
    /// The largest value of a key is 512 KiB, in a transaction written in base 64.
    const BODY_LIMIT: usize = 2 << 20;

    async fn answer(&self, request: Request) -> Response<Body> {
        let begun = Instant::now();
        let routed = match self.route(&request).await {
            // What a path can do is what it says to a method that it cannot.
            Err(Error::MethodNotAllowed { method: Method::OPTIONS, allowed }) => Ok(answer::options(allowed)),
            routed => routed,
        };
        let response = routed.unwrap_or_else(|error| {
            if error.status().is_server_error() {
                tracing::warn!(method = %request.method, path = request.path(), %error, "a request failed");
            }
            error.response()
        });
        self.state.requests.count(&request.method, request.path(), begun.elapsed());
        answer::with_default_policy(response, self.state.acl.default_policy())
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        Error::from(refusal).response()
    }

    fn token(&self, headers: &HeaderMap, uri: &Uri) -> Option<String> {
        let header = headers.get("x-consul-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let parameter = || Parameters::parse(uri.query().unwrap_or_default()).text("token").map(str::to_owned);
        header.filter(|token| !token.is_empty()).or_else(parameter).or_else(|| authorization(headers))
    }

    /// Consul's tokens are not the cluster's.
    fn knows_others(&self) -> bool {
        self.state.acl.is_enabled()
    }
}

/// Whether a request may wait for a change.
fn waits(request: &Request) -> bool {
    let parameters = Parameters::of(request);
    parameters.text("index").is_some_and(|index| index != "0") || parameters.text("hash").is_some()
}

/// Decodes one segment of a path.
pub(crate) fn decode(segment: &str) -> Result<Cow<'_, str>, Error> {
    decode_segment(segment).map_err(|error| match error {
        SegmentError::Encoding => Error::BadRequest(format!("the path {segment:?} is not UTF-8")),
        _ => Error::BadRequest(format!("invalid URL escape in {segment:?}")),
    })
}

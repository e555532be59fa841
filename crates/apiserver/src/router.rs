//! From a path to its handler.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Method, Request, Response, Uri, header};
use portolan_api::description::{Description, Resource};
use portolan_base::{Timestamp, go};
use portolan_identity::User;

use crate::audit::{self, Kept, Notes, Record};
use crate::authentication::{Refused, Requester, impersonation};
use crate::authorization::{Action, Unpermitted};
use crate::body::{Body, empty};
use crate::endpoint::{self, Call, Delivery};
use crate::fairness::Turn;
use crate::metrics::Label;
use crate::request::{Info, Query};
use crate::server::{Peer, Server};
use crate::status::Status;
use crate::transcode::Wanted;
use crate::{
    aggregation, authentication, authorization, backup, discovery, extensions, fairness, flagz, health, request,
    respond, statusz,
};

/// Paths that are not authorized, as upstream: who watches over the server must see it when roles
/// cannot be read.
const ALWAYS_ALLOWED: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    peer: &'a Peer,
    /// The request's name in the audit log, or nothing.
    pub(crate) audit_id: &'a str,
}

impl Origin<'_> {
    /// The client; nothing for parts of this process.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self.peer {
            Peer::Tls { address, .. } => Some(address.ip().to_canonical()),
            Peer::Trusted(_) => None,
        }
    }

    fn is_from_inside(self) -> bool {
        matches!(self.peer, Peer::Trusted(_))
    }
}

/// What a request asks for, as far as its first line tells.
pub(crate) struct Asked {
    query: Query,
    info: Option<Info>,
}

impl Asked {
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        let query = Query::parse(uri.query().unwrap_or_default());
        let info = Info::parse(method, uri.path(), &query);
        Self { query, info }
    }

    /// How long the request may take: as long as the server lets it, or less if the client says so.
    fn allotted(&self, most: Duration) -> Result<Duration, Status> {
        let text = self.query.get("timeout");
        if text.is_empty() || self.lasts() {
            return Ok(most);
        }
        // What is not above zero is no limit of its own.
        match go::parse_duration(text).map(u64::try_from) {
            Ok(Ok(0) | Err(_)) => Ok(most),
            Ok(Ok(nanoseconds)) => Ok(Duration::from_nanos(nanoseconds).min(most)),
            Err(why) => Err(Status::bad_request(format!("invalid timeout specified in the request URL - time: {why}"))),
        }
    }

    /// Whether the answer goes on until somebody ends it.
    pub(crate) fn lasts(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.verb == "watch" || crate::subresource::is_stream(info))
    }

    /// What the request is counted under.
    pub(crate) fn label(&self, description: &Description) -> Label {
        Label::of(self.info.as_ref(), description).with_dry_run(self.query.all("dryRun"))
    }
}

/// Answers a request.
pub(crate) async fn route(server: &Server, request: Request<Body>, asked: Asked, peer: Peer) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let wanted = Wanted::of(request.headers(), &asked.query);
    let (mut parts, body) = request.into_parts();
    let now = server.config.clock.now();
    let requester = match asked.allotted(server.config.access.request_timeout) {
        Ok(allotted) => admit(server, &parts, &asked, &peer, now).await.map(|requester| (requester, allotted)),
        Err(status) => Err(status.into()),
    };
    if let Ok((Requester { impersonated: Some(_), .. }, _)) = &requester {
        impersonation::forget(&mut parts.headers);
    }
    let user = match &requester {
        Ok((requester, _)) => Some(&requester.real),
        Err(refused) => refused.real.as_ref(),
    };
    let auditor = server.auditor.as_ref();
    // Parts of this process do not look at it.
    let is_asked_for = !matches!(peer, Peer::Trusted(_)) || parts.headers.contains_key(&audit::ID);
    let id = if auditor.is_some() || is_asked_for { audit::id_of(&parts.headers) } else { String::new() };
    let record = auditor.and_then(|auditor| auditor.begin(user, &parts, asked.info.as_ref(), &peer, &id, now));
    let origin = Origin { peer: &peer, audit_id: &id };
    let response = match (record, requester) {
        (None, requester) => answer(server, parts, body, &asked, origin, requester, &mut None).await,
        (Some(record), Err(Refused { status, real: None })) => {
            let response = respond::status(&status);
            let why = match status.code() {
                401 => authentication::attempted(&parts, &asked.query, &peer),
                _ => status.message().to_owned(),
            };
            record.unknown(response.status(), &why).await;
            response
        }
        (Some(mut record), requester) => {
            if record.received().await == Kept::NotAsWanted {
                if let Some(auditor) = auditor {
                    auditor.reject();
                }
                return named(unrecorded(&parts.uri), &id);
            }
            let body = match record.sent(&parts, body).await {
                Ok(body) => body,
                Err(status) => return named(record.answered(respond::status(&status)).await, &id),
            };
            if let Ok((Requester { impersonated: Some(impersonated), .. }, _)) = &requester {
                record.impersonated(impersonated);
            }
            let mut record = Some(record);
            let response = answer(server, parts, body, &asked, origin, requester, &mut record).await;
            match record {
                Some(record) => record.answered(response).await,
                None => response,
            }
        }
    };
    named(if is_head { response.map(|_| empty()) } else { wanted.apply(response).await }, &id)
}

/// The answer to a request that must be recorded, and is not; in upstream's words.
fn unrecorded(uri: &Uri) -> Response<Body> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = go::without_markup(&go::quote(path));
    crate::server::text(500, format!("Internal Server Error: {path}: failed to store audit event\n"))
}

/// An answer that says which request it is for, if that has a name.
fn named(mut response: Response<Body>, id: &str) -> Response<Body> {
    if let Some(mut id) = http::HeaderValue::from_str(id).ok().filter(|id| !id.is_empty()) {
        // No two are the same: none is worth its place in the table of what a connection has had before.
        id.set_sensitive(true);
        response.headers_mut().insert(&audit::ID, id);
    }
    response
}

/// Finds out who asks.
async fn admit(
    server: &Server,
    parts: &Parts,
    asked: &Asked,
    peer: &Peer,
    now: Timestamp,
) -> Result<Requester, Refused> {
    server.authorizer.refresh().await?;
    server.extensions.refresh().await?;
    server.aggregation.refresh().await?;
    let (path, verb) = (parts.uri.path(), audit::verb_of(&parts.method));
    let action = asked.info.as_ref().map_or(Action::Path { verb: &verb, path }, Action::Resource);
    authentication::requester(server, path, action, &parts.headers, peer, now).await
}

/// Waits for the request's turn and answers it in time.
async fn answer(
    server: &Server,
    parts: Parts,
    body: Body,
    asked: &Asked,
    origin: Origin<'_>,
    requester: Result<(Requester, Duration), Refused>,
    record: &mut Option<Record>,
) -> Response<Body> {
    let (requester, allotted) = match requester {
        Ok(requester) => requester,
        // Whoever cannot be somebody else is told so as is who may not do something.
        Err(Refused { status, real: Some(_) }) => return respond::plainly(respond::status(&status)),
        Err(refused) => return respond::status(&refused.status),
    };
    let turn = match turn(server, &parts, asked, origin, requester.user()).await {
        Ok(turn) => turn,
        Err(refused) => return *refused,
    };
    let is_long = asked.lasts();
    // In its place, as it is large to be moved.
    let work = std::pin::pin!(routed(server, parts, body, asked, origin, &requester, record));
    // Parts of this process have their own patience.
    let outcome = if is_long || origin.is_from_inside() {
        work.await
    } else {
        let outcome = tokio::time::timeout(allotted, work).await;
        outcome
            .unwrap_or_else(|_| Err(Status::timeout("Timeout: request did not complete within the allotted timeout")))
    };
    let mut response = outcome.unwrap_or_else(|status| respond::status(&status));
    if let Some(turn) = &turn {
        turn.mark(&mut response);
    }
    response
}

async fn turn(
    server: &Server,
    parts: &Parts,
    asked: &Asked,
    origin: Origin<'_>,
    user: &User,
) -> Result<Option<Turn>, Box<Response<Body>>> {
    let Some(fairness) = server.fairness.as_ref().filter(|_| !origin.is_from_inside()) else { return Ok(None) };
    let info = asked.info.as_ref();
    // What is only passed on holds nothing here.
    if info.is_some_and(crate::subresource::is_stream) {
        return Ok(None);
    }
    let method = audit::verb_of(&parts.method);
    let verb = info.map_or(&*method, |info| info.verb);
    fairness.turn(user, verb, parts.uri.path(), info, &*server.config.clock).await
}

async fn routed(
    server: &Server,
    parts: Parts,
    body: Body,
    asked: &Asked,
    origin: Origin<'_>,
    requester: &Requester,
    record: &mut Option<Record>,
) -> Result<Response<Body>, Status> {
    let now = server.config.clock.now();
    let user = requester.user();
    let Asked { query, info } = asked;
    if request::names_nothing(parts.uri.path()) {
        return Ok(unclear(&parts));
    }
    let Some(info) = info else {
        return Box::pin(plain(server, user, &parts, query, origin, record)).await;
    };
    server.authorizer.refresh_reach(user, info).await?;
    let begun = Instant::now();
    let permitted = authorization::permitted(server, user, info).await;
    note(server, origin, record, &permitted, begun);
    if let Err(unpermitted) = permitted {
        return unallowed(&parts, unpermitted);
    }
    if let Some(service) = server.aggregation.remote(&info.group, &info.version) {
        let request = Request::from_parts(parts, body);
        return Ok(Box::pin(aggregation::pass_on(server, &service, user, origin, request)).await);
    }
    let description = server.extensions.description();
    let description = &*description;
    let nothing = || discovery::nothing_at(&request::percent_decode(parts.uri.path(), false));
    let Some(resource) = description.resource(&info.group, &info.version, &info.resource) else { return nothing() };
    let strategy = extensions::strategy_of(resource);
    let delivery = if origin.is_from_inside() { Delivery::Shared } else { Delivery::Copied };
    let headers = &parts.headers;
    let notes = Notes::new(record.is_some());
    let call =
        Call { server, description, resource, strategy, info, query, headers, user, now, delivery, notes: &notes };
    if !resource.is_namespaced() && info.namespace != info.name && !info.namespace.is_empty() {
        return nothing();
    }
    let has_namespace = !resource.is_namespaced() || !info.namespace.is_empty();
    if !has_namespace && info.is_in_namespace {
        // Lists and watches are of all namespaces then, and who creates is told what the object lacks.
        if !matches!(info.verb, "list" | "watch") && (info.verb != "create" || !info.name.is_empty()) {
            return Err(Status::bad_request("Namespace parameter required."));
        }
    } else if !has_namespace && !matches!(info.verb, "list" | "watch") {
        // What is listed across all namespaces has a path.
        let is_listed = resource.custom.is_none() && info.name.is_empty() && resource.verbs.contains(&"list");
        return if is_listed { Err(Status::method_not_allowed()) } else { nothing() };
    }
    if !has_route(resource, info) {
        return nothing();
    }
    if parts.method == Method::HEAD && !endpoint::answers_head(resource, info) {
        return Err(Status::method_not_allowed());
    }
    let outcome = if crate::subresource::is_stream(info) {
        let request = Request::from_parts(parts.clone(), body);
        Box::pin(crate::subresource::stream(&call, origin, request)).await
    } else {
        endpoint::serve(&call, body).await
    };
    if let Some(record) = record {
        record.noted(&notes);
    }
    outcome
}

/// The answer to a path of which nobody can tell what it is about.
fn unclear(parts: &Parts) -> Response<Body> {
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let path = request::percent_decode(parts.uri.path(), false);
    let why = "failed to create RequestInfo: unable to determine kind and namespace from url";
    let text = go::without_markup(&format!("Internal Server Error: {}: {why}, {path}\n", go::quote(uri)));
    let mut response = respond::plainly(crate::server::text(500, text));
    response.headers_mut().remove(header::CACHE_CONTROL);
    response
}

/// Whether upstream's router knows the path of what is built in, whatever the method: there is none for single objects
/// that nobody can do anything with, nor below subresources but those that pass requests on.
fn has_route(resource: &Resource, info: &Info) -> bool {
    if resource.custom.is_some() || info.name.is_empty() {
        return true;
    }
    if info.subresource.is_empty() {
        return ["get", "update", "patch", "delete"].iter().any(|verb| resource.verbs.contains(verb));
    }
    info.rest.is_empty() || info.subresource == "proxy"
}

/// Records and counts whether a request is allowed, which was asked at `begun`.
fn note(
    server: &Server,
    origin: Origin<'_>,
    record: &mut Option<Record>,
    permitted: &Result<String, Unpermitted>,
    begun: Instant,
) {
    if !origin.is_from_inside() {
        let result = match permitted {
            Ok(_) => "allowed",
            Err(Unpermitted { is_denied: true, .. }) => "denied",
            Err(Unpermitted { error: Some(_), .. }) => "error",
            Err(_) => "no-opinion",
        };
        server.metrics.attempts.authorized(result, begun.elapsed());
    }
    if let Some(record) = record {
        match permitted {
            Ok(reason) => record.authorized(Some("allow"), reason),
            Err(Unpermitted { error: Some(_), .. }) => record.authorized(None, "internal error"),
            Err(Unpermitted { reason, .. }) => record.authorized(Some("forbid"), reason),
        }
    }
}

/// The answer to what is not allowed. That nobody could decide is no object, as upstream's filter says it.
fn unallowed(parts: &Parts, unpermitted: Unpermitted) -> Result<Response<Body>, Status> {
    let Some(error) = unpermitted.error else {
        return Ok(respond::plainly(respond::status(&unpermitted.status)));
    };
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let text = go::without_markup(&format!("Internal Server Error: {}: {error}", go::quote(uri)));
    Ok(respond::plainly(crate::server::text(500, format!("{text}\n"))))
}

/// Paths that are no resource's.
async fn plain(
    server: &Server,
    user: &User,
    parts: &Parts,
    query: &Query,
    origin: Origin<'_>,
    record: &mut Option<Record>,
) -> Result<Response<Body>, Status> {
    let path = &*request::percent_decode(parts.uri.path(), false);
    if !ALWAYS_ALLOWED.contains(&path) {
        let begun = Instant::now();
        let permitted = authorization::authorize_path(server, user, &audit::verb_of(&parts.method), path).await;
        note(server, origin, record, &permitted, begun);
        if let Err(unpermitted) = permitted {
            return unallowed(parts, unpermitted);
        }
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    match first {
        "healthz" | "livez" | "readyz" => Ok(health::serve(server, path, query).await),
        "portolan" if path == backup::PATH && parts.method == Method::GET => backup::serve(server, query).await,
        "debug" => match (&server.fairness, path) {
            (Some(fairness), fairness::LEVELS_PATH) => Ok(crate::server::text(200, fairness.dump_levels().await?)),
            (Some(fairness), fairness::QUEUES_PATH) => Ok(crate::server::text(200, fairness.dump_queues().await?)),
            (Some(fairness), fairness::REQUESTS_PATH) => {
                let has_details = !query.get(fairness::DETAILS).is_empty();
                Ok(crate::server::text(200, fairness.dump_requests(has_details).await?))
            }
            _ => Ok(respond::not_found()),
        },
        "flagz" if path == flagz::PATH => flagz::serve(server, &parts.headers),
        "statusz" if path == statusz::PATH => statusz::serve(server, &parts.headers),
        "metrics" if path == "/metrics/slis" => Ok(health::results(server, &parts.method)),
        "metrics" if path == "/metrics" => Ok(health::metrics(server).await),
        _ => match aggregation::documented(server, path.trim_end_matches('/')) {
            Some(_) if !matches!(parts.method, Method::GET | Method::HEAD) => Err(Status::method_not_allowed()),
            Some((service, is_document)) => {
                Ok(Box::pin(aggregation::describe(server, &service, user, origin, parts, is_document)).await)
            }
            None => discovery::serve(server, &parts.method, path, query, &parts.headers),
        },
    }
}

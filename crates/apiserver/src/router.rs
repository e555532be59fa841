//! From a path to its handler.

use http::request::Parts;
use http::{Method, Request, Response, Uri};
use portolan_api::description::builtin;
use portolan_identity::User;

use crate::body::{Body, empty};
use crate::endpoint::{self, Call, Delivery};
use crate::metrics::Label;
use crate::request::{Info, Query};
use crate::server::{Peer, Server};
use crate::status::Status;
use crate::{authentication, authorization, backup, discovery, health, resources, respond};

/// Paths that are not authorized, as upstream: who watches over the server must see it when roles
/// cannot be read.
const ALWAYS_ALLOWED: [&str; 3] = ["/healthz", "/livez", "/readyz"];

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

    /// What the request is counted under.
    pub(crate) fn label(&self) -> Label {
        Label::of(self.info.as_ref())
    }
}

/// Answers a request.
pub(crate) async fn route(server: &Server, request: Request<Body>, asked: Asked, peer: Peer) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let response = match routed(server, request, &asked, &peer).await {
        Ok(response) => response,
        Err(status) => respond::status(&status),
    };
    if is_head { response.map(|_| empty()) } else { response }
}

async fn routed(server: &Server, request: Request<Body>, asked: &Asked, peer: &Peer) -> Result<Response<Body>, Status> {
    let now = server.config.clock.now();
    let (parts, body) = request.into_parts();
    server.authorizer.refresh().await?;
    let requester = authentication::requester(server, parts.uri.path(), &parts.headers, peer, now).await?;
    let user = requester.user();
    let Asked { query, info } = asked;
    let Some(info) = info else {
        return plain(server, user, &parts, query).await;
    };
    server.authorizer.refresh_reach(user, info).await?;
    authorization::authorize(server, user, info).await?;
    let resource = builtin().resource(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
    let strategy = resources::strategy(resource.group, resource.name);
    let delivery = match peer {
        Peer::Trusted(_) => Delivery::Shared,
        Peer::Tls { .. } => Delivery::Copied,
    };
    let headers = &parts.headers;
    let call = Call { server, resource, strategy, info, query, headers, user, now, delivery };
    if !resource.is_namespaced() && info.namespace != info.name && !info.namespace.is_empty() {
        return Err(Status::no_such_path());
    }
    if resource.is_namespaced() && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch") {
        return Err(match info.verb {
            "create" => Status::method_not_allowed(),
            _ => Status::no_such_path(),
        });
    }
    if crate::subresource::is_stream(info) {
        return crate::subresource::stream(&call, Request::from_parts(parts.clone(), body)).await;
    }
    endpoint::serve(&call, body).await
}

/// Paths that are no resource's.
async fn plain(server: &Server, user: &User, parts: &Parts, query: &Query) -> Result<Response<Body>, Status> {
    let path = match parts.uri.path() {
        "/" => "/",
        path => path.trim_end_matches('/'),
    };
    let first = path.split('/').nth(1).unwrap_or_default();
    if !ALWAYS_ALLOWED.contains(&path) {
        let verb = parts.method.as_str().to_ascii_lowercase();
        authorization::authorize_path(server, user, if verb == "head" { "get" } else { &verb }, path).await?;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    match first {
        "healthz" | "livez" | "readyz" => Ok(health::serve(server, path, query).await),
        "version" if path == "/version" => Ok(discovery::version()),
        "portolan" if path == backup::PATH && parts.method == Method::GET => backup::serve(server).await,
        "metrics" if path == "/metrics" => Ok(health::metrics(server).await),
        _ => discovery::serve(server, path, query, &parts.headers),
    }
}

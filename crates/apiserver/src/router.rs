//! From a path to its handler.

use http::request::Parts;
use http::{Method, Request, Response, Uri};
use portolan_api::description::Description;
use portolan_identity::User;

use crate::body::{Body, empty};
use crate::endpoint::{self, Call, Delivery};
use crate::metrics::Label;
use crate::request::{Info, Query};
use crate::server::{Peer, Server};
use crate::status::Status;
use crate::transcode::Wanted;
use crate::{authentication, authorization, backup, discovery, extensions, health, respond};

/// Paths that anyone may see.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

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
    pub(crate) fn label(&self, description: &Description) -> Label {
        Label::of(self.info.as_ref(), description)
    }
}

/// Answers a request.
pub(crate) async fn route(server: &Server, request: Request<Body>, asked: Asked, peer: Peer) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let wanted = Wanted::of(request.headers(), &asked.query);
    let response = match routed(server, request, &asked, &peer).await {
        Ok(response) => response,
        Err(status) => respond::status(&status),
    };
    if is_head { response.map(|_| empty()) } else { wanted.apply(response).await }
}

async fn routed(server: &Server, request: Request<Body>, asked: &Asked, peer: &Peer) -> Result<Response<Body>, Status> {
    let now = server.config.clock.now();
    let (parts, body) = request.into_parts();
    server.authorizer.refresh().await?;
    server.extensions.refresh().await?;
    let user = authentication::user(server, &parts.headers, peer, now).await?;
    let Asked { query, info } = asked;
    let Some(info) = info else {
        return Box::pin(plain(server, &user, &parts, query)).await;
    };
    if is_anonymous(&user) {
        return Err(Status::unauthorized());
    }
    server.authorizer.refresh_reach(&user, info).await?;
    authorization::authorize(server, &user, info)?;
    let description = server.extensions.description();
    let description = &*description;
    let resource = description.resource(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
    let strategy = extensions::strategy_of(resource);
    let delivery = match peer {
        Peer::Trusted(_) => Delivery::Shared,
        Peer::Tls { .. } => Delivery::Copied,
    };
    let headers = &parts.headers;
    let call = Call { server, description, resource, strategy, info, query, headers, user: &user, now, delivery };
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
        let request = Request::from_parts(parts.clone(), body);
        return Box::pin(crate::subresource::stream(&call, request)).await;
    }
    endpoint::serve(&call, body).await
}

fn is_anonymous(user: &User) -> bool {
    user.is_in("system:unauthenticated")
}

/// Paths that are no resource's.
async fn plain(server: &Server, user: &User, parts: &Parts, query: &Query) -> Result<Response<Body>, Status> {
    let path = match parts.uri.path() {
        "/" => "/",
        path => path.trim_end_matches('/'),
    };
    let first = path.split('/').nth(1).unwrap_or_default();
    let open = OPEN_PATHS.iter().any(|known| known[1..] == *first);
    if !open {
        if is_anonymous(user) {
            return Err(Status::unauthorized());
        }
        let verb = parts.method.as_str().to_ascii_lowercase();
        authorization::authorize_path(server, user, if verb == "head" { "get" } else { &verb }, path)?;
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

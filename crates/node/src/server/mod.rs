//! The node's HTTP API over TLS: logs, exec, attach, port-forward, statistics.
//!
//! Paths are the kubelet's. The stream protocols of `kubectl` end here; the API server passes them
//! through unchanged.

mod channels;
mod command;
mod find;
mod log;
mod port_forward;
mod protocol;
mod spdy_command;
mod stats;
mod upgrade;
mod websocket_command;
mod websocket_log;
mod websocket_ports;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::Pod;
use portolan_base::liveness::Liveness;
use portolan_base::{Patience, Shutdown};
use portolan_client::Informer;
use portolan_identity::{User, user_of_certificate};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::usage::Meter;
use crate::worker::Context;

/// A peer that opens a connection and says nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that does not finish the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after the listener failed, for example for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Open streams get this long to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// The API server's own client certificate.
const API_SERVER: &str = "kube-apiserver-kubelet-client";

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The listening server.
pub(crate) struct Server {
    listener: TcpListener,
    port: u16,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
}

/// What requests look at.
struct Shared {
    context: Arc<Context>,
    pods: Informer<Pod>,
    meter: Meter,
    /// Streams that outlive their request.
    streams: TaskTracker,
    stop: Shutdown,
}

impl Server {
    pub(crate) async fn bind(config: &ServerConfig, context: Arc<Context>, pods: Informer<Pod>) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: config.bind, source };
        let listener = TcpListener::bind(config.bind).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let meter = Meter::new(context.config.runtime.clone(), context.config.clock.clone());
        let shared = Shared { context, pods, meter, streams: TaskTracker::new(), stop: Shutdown::default() };
        Ok(Self { listener, port, tls: TlsAcceptor::from(config.tls.clone()), shared: Arc::new(shared) })
    }

    /// The port that was taken.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        shutdown.run(self.accept()).await;
        self.shared.stop.request();
        self.shared.streams.close();
        if tokio::time::timeout(DRAIN, self.shared.streams.wait()).await.is_err() {
            tracing::warn!("streams of the node's API did not end in time");
        }
    }

    async fn accept(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (tls, shared) = (self.tls.clone(), self.shared.clone());
                    self.shared.streams.spawn(async move {
                        let stop = shared.stop.clone();
                        if let Some(Err(error)) = stop.run(serve(stream, tls, shared)).await {
                            tracing::debug!(%peer, "connection to the node's API ended: {error}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("accept a connection to the node's API: {error}");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Keystrokes of an interactive session are small and must not wait for more.
    stream.set_nodelay(true)?;
    Liveness::SERVER.watch(&stream)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let access = access(certificate.map(|certificate| user_of_certificate(certificate)));
    let patience = Patience::default();
    let watched = patience.clone();
    let service = service_fn(move |request| {
        patience.asked();
        let (shared, access) = (shared.clone(), access.clone());
        async move { Ok::<_, Infallible>(handle(&shared, &access, request).await) }
    });
    let mut server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    tokio::select! {
        ended = server.serve_connection_with_upgrades(TokioIo::new(stream), service) => ended,
        // The timeout of a head starts only once the protocol's version is known.
        () = watched.lost(HEAD_TIMEOUT) => Ok(()),
    }
}

/// Whether the peer may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Granted,
    Unknown,
    Forbidden(String),
}

fn access(user: Option<Result<User, portolan_identity::Error>>) -> Access {
    match user {
        Some(Ok(user)) if user.name == API_SERVER || user.is_in("system:masters") => Access::Granted,
        Some(Ok(user)) => Access::Forbidden(user.name),
        Some(Err(_)) | None => Access::Unknown,
    }
}

async fn handle(shared: &Arc<Shared>, access: &Access, request: Request<Incoming>) -> Response<Body> {
    let refusal = match access {
        Access::Granted => None,
        Access::Unknown => Some(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized")),
        Access::Forbidden(user) => {
            let text = format!("Forbidden (user={user}, verb={}, resource=nodes)", request.method());
            Some(Refusal::new(StatusCode::FORBIDDEN, text))
        }
    };
    let outcome = match refusal {
        Some(refusal) => Err(refusal),
        None => route(shared, request).await,
    };
    outcome.unwrap_or_else(Refusal::into_response)
}

async fn route(shared: &Arc<Shared>, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let query = Query::of(request.uri());
    let get = request.method() == Method::GET;
    let stream = get || request.method() == Method::POST;
    match segments.as_slice() {
        ["healthz"] if get => Ok(text(StatusCode::OK, "ok")),
        ["pods"] if get => Ok(json_answer(&pods(shared))),
        ["stats", "summary"] if get => stats::summary(shared).await.map(|value| json_answer(&value)),
        ["stats", "usage"] if get => stats::usage(shared).await.map(|value| json_answer(&value)),
        ["metrics", "resource"] if get => stats::resource_metrics(shared).await,
        ["containerLogs", namespace, pod, container] if get => {
            let answer = log::logs(shared, namespace, pod, container, &query).await?;
            if websocket_log::is_asked(request.headers()) {
                return websocket_log::send(shared, answer, &mut request);
            }
            Ok(answer)
        }
        // The longer form names the pod's UID too, which its name already decides.
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] if stream => {
            command::exec(shared, namespace, pod, container, &query, &mut request).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] if stream => {
            command::attach(shared, namespace, pod, container, &query, &mut request).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] if stream => {
            port_forward::start(shared, namespace, pod, &query, &mut request).await
        }
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "404 page not found")),
    }
}

fn pods(shared: &Shared) -> serde_json::Value {
    let items: Vec<Arc<Pod>> = shared.pods.list();
    let items: Vec<&Pod> = items.iter().map(AsRef::as_ref).collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    code: StatusCode,
    message: String,
}

impl Refusal {
    fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn into_response(self) -> Response<Body> {
        text(self.code, self.message)
    }
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &http::Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether any of the names is set to something true.
    fn flag(&self, names: &[&str]) -> bool {
        names.iter().any(|name| matches!(self.get(name), Some("true" | "1" | "True" | "t" | "T")))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let bad = |_| Refusal::new(StatusCode::BAD_REQUEST, format!("{name} {text:?} is not a whole number"));
        text.parse().map(Some).map_err(bad)
    }
}

fn text(code: StatusCode, message: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(message.into())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn json_answer(value: &serde_json::Value) -> Response<Body> {
    let mut response = text(StatusCode::OK, value.to_string());
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

//! Asks a webhook: one HTTPS request to a URL, or to a Service of the cluster.
//!
//! Source of the behaviour and of the texts: `k8s.io/apiserver/pkg/util/webhook`.

mod service;
pub(crate) mod tls;
mod users;

pub(crate) use users::Shown;
pub use users::{WebhookUser, WebhookUsers};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_base::go;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::server::Server;

/// Longest answer that is read, as upstream.
const ANSWER_LIMIT: usize = 3 << 20;

/// How much of a refusal is told.
const REFUSAL_LIMIT: usize = 2048;

const USER_AGENT: &str = "kube-apiserver-admission";

/// Where a webhook is, and whom to trust there: a `clientConfig`.
#[derive(Debug)]
pub(crate) struct Endpoint {
    place: Place,
    /// Settings of the connection, or why there are none.
    tls: Result<Arc<ClientConfig>, String>,
}

#[derive(Debug)]
enum Place {
    Url(String),
    Service { namespace: String, name: String, port: u16, path: String },
}

impl Endpoint {
    /// Reads a `clientConfig`.
    pub(crate) fn read(config: &Value) -> Self {
        let service = &config["service"];
        let text = |field: &str| service[field].as_str().unwrap_or_default().to_owned();
        let place = if service.is_object() {
            let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
            Place::Service { namespace: text("namespace"), name: text("name"), port, path: text("path") }
        } else {
            Place::Url(config["url"].as_str().unwrap_or_default().to_owned())
        };
        Self { place, tls: tls::client(config["caBundle"].as_str().unwrap_or_default()) }
    }

    /// The address of the webhook, as it is told: with the timeout in its query.
    fn url(&self, timeout: Duration) -> String {
        let base = match &self.place {
            Place::Url(url) => url.clone(),
            Place::Service { namespace, name, port, path } => {
                format!("https://{name}.{namespace}.svc:{port}/{}", path.trim_start_matches('/'))
            }
        };
        let separator = if base.contains('?') { '&' } else { '?' };
        format!("{base}{separator}timeout={}s", timeout.as_secs())
    }

    /// Host and port, as users of a kubeconfig are named for them.
    pub(crate) fn target(&self) -> String {
        match &self.place {
            Place::Service { namespace, name, port, .. } => format!("{name}.{namespace}.svc:{port}"),
            Place::Url(url) => {
                let uri = url.parse::<Uri>().unwrap_or_default();
                format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443))
            }
        }
    }

    /// Sends `body`, as `user` if one is given, and returns what comes back with a code of success.
    ///
    /// # Errors
    /// Why there is no answer, in words for whoever waits for it.
    pub(crate) async fn post(
        &self,
        server: &Server,
        user: Option<&Shown>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, String> {
        let url = self.url(timeout);
        let told = |why: String| format!("Post \"{url}\": {why}");
        // Boxed: whatever might ask a webhook need not make room for it until it does.
        match tokio::time::timeout(timeout, Box::pin(self.exchange(server, user, &url, body))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Problem::Sending(why))) => Err(told(why)),
            Ok(Err(Problem::Answer(why))) => Err(why),
            Err(_) => Err(told("context deadline exceeded".into())),
        }
    }

    async fn exchange(&self, server: &Server, user: Option<&Shown>, url: &str, body: Bytes) -> Result<Bytes, Problem> {
        let sending = |error: &dyn std::fmt::Display| Problem::Sending(error.to_string());
        let tls = self.tls.clone().map_err(Problem::Sending)?;
        let tls = user.map_or_else(|| tls.clone(), |user| user.on(tls.clone()));
        let uri: Uri = url.parse().map_err(|error| sending(&error))?;
        if uri.scheme_str() != Some("https") {
            return Err(Problem::Sending("only https is served".into()));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let stream = match &self.place {
            Place::Url(_) => connect(&host, port).await,
            Place::Service { namespace, name, port, .. } => to_service(server, namespace, name, *port).await,
        };
        let stream = stream.map_err(Problem::Sending)?;
        // The name of the service, whatever endpoint answers for it.
        let server_name = match &self.place {
            Place::Url(_) => host.clone(),
            Place::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        };
        let server_name = ServerName::try_from(server_name).map_err(|error| sending(&error))?;
        let connector = TlsConnector::from(tls);
        let stream = connector.connect(server_name, stream).await;
        let stream = stream.map_err(|error| Problem::Sending(tls::told(&error)))?;
        let mut request = Request::post(uri.path_and_query().map_or("/", |it| it.as_str()))
            .header(header::HOST, uri.authority().map_or("", |it| it.as_str()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(body))
            .map_err(|error| sending(&error))?;
        request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        if let Some(authorization) = user.and_then(|user| user.authorization.clone()) {
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        send(stream, request).await
    }
}

/// Why there is no answer.
enum Problem {
    /// The request did not get through.
    Sending(String),
    /// What came back is no answer.
    Answer(String),
}

/// A connection to one endpoint of a Service.
pub(crate) async fn to_service(server: &Server, namespace: &str, name: &str, port: u16) -> Result<TcpStream, String> {
    match service::address(server, namespace, name, port).await? {
        service::Address::Endpoint(address) => dial(address).await,
        service::Address::External(host, port) => connect(&host, port).await,
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|error| format!("dial tcp: lookup {host}: {error}"))?.collect();
    let mut last = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match dial(address).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// A connection; a failure reads as Go words it.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
            std::io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {address}: connect: {why}")
    })?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Sends a request over a connection that is driven here, and ends with it.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, Problem> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| Problem::Sending(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| Problem::Sending(error.to_string()))?;
        read(response).await
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The other side may close before its answer was read to the end here.
        _ = connection => exchange.await,
    }
}

async fn read(response: http::Response<Incoming>) -> Result<Bytes, Problem> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| Problem::Answer(error.to_string()))?.to_bytes();
    // Whatever it is said to be, it is read as JSON: many answer without a type, which Go calls plain text then.
    if status.is_success() {
        return Ok(body);
    }
    if let Some(message) = failure(&body) {
        return Err(Problem::Answer(message));
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_LIMIT)]).trim().to_owned();
    Err(Problem::Answer(match status {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials".to_owned(),
        StatusCode::FORBIDDEN => text,
        status if status.is_server_error() => {
            let text = go::quote(if text.is_empty() { "unknown" } else { &text });
            format!("an error on the server ({text}) has prevented the request from succeeding")
        }
        _ => {
            format!("the server responded with the status code {} but did not return more information", status.as_u16())
        }
    }))
}

/// What a refusal says if it is a Status.
fn failure(body: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| status[name].as_str().unwrap_or_default();
    let is_failure = text("kind") == "Status" && matches!(text("apiVersion"), "" | "v1") && text("status") == "Failure";
    is_failure.then(|| text("message").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_address_is_told_with_its_timeout() {
        let cases = [
            (json!({"url": "https://example.com/hook"}), "https://example.com/hook?timeout=5s", "example.com:443"),
            (json!({"url": "https://[::1]:84/?a=b"}), "https://[::1]:84/?a=b&timeout=5s", "[::1]:84"),
            (
                json!({"service": {"namespace": "ns", "name": "hook", "path": "/deny", "port": 8443}}),
                "https://hook.ns.svc:8443/deny?timeout=5s",
                "hook.ns.svc:8443",
            ),
            (
                json!({"service": {"namespace": "ns", "name": "hook"}}),
                "https://hook.ns.svc:443/?timeout=5s",
                "hook.ns.svc:443",
            ),
        ];
        for (config, url, target) in cases {
            let endpoint = Endpoint::read(&config);
            assert_eq!((&*endpoint.url(Duration::from_secs(5)), &*endpoint.target()), (url, target));
        }
    }
}

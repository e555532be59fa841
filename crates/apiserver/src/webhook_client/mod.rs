//! Asks a webhook: one HTTPS request to a URL, or to a Service of the cluster.
//!
//! Source of the behaviour and of the texts: `k8s.io/apiserver/pkg/util/webhook`.

mod answer;
mod media_type;
mod redirect;
pub(crate) mod review;
mod service;
pub(crate) mod tls;
mod users;

pub(crate) use users::Shown;
pub use users::{WebhookUser, WebhookUsers};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::answer::Answer;
use self::redirect::{MOST_REDIRECTS, redirected};
use crate::server::Server;

/// How often a webhook that asks for it is asked once more, as upstream.
const MOST_RETRIES: usize = 10;

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
        // Boxed: whatever might ask a webhook need not make room for it until it does.
        match tokio::time::timeout(timeout, Box::pin(self.ask(server, user, &url, body))).await {
            Ok(Ok(answer)) => answer.into_body(),
            Ok(Err(Problem::Sending { url, why })) => Err(format!("Post \"{url}\": {why}")),
            Ok(Err(Problem::Answer(why))) => Err(why),
            Err(_) => Err(format!("Post \"{url}\": context deadline exceeded")),
        }
    }

    /// Asks until the webhook does not want to be asked again later.
    async fn ask(&self, server: &Server, user: Option<&Shown>, url: &str, body: Bytes) -> Result<Answer, Problem> {
        for _ in 0..MOST_RETRIES {
            let answer = self.follow(server, user, url, body.clone()).await?;
            let Some(seconds) = answer.retry_after() else { return Ok(answer) };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
        self.follow(server, user, url, body).await
    }

    /// Asks where the webhook says that it should be asked.
    async fn follow(&self, server: &Server, user: Option<&Shown>, url: &str, body: Bytes) -> Result<Answer, Problem> {
        let home = url.parse::<Uri>().ok().and_then(|uri| uri.into_parts().authority);
        let mut question = Question { url: url.to_owned(), method: Method::POST, body };
        let mut location = String::new();
        for _ in 0..MOST_REDIRECTS {
            let sending = |why: String| Problem::Sending { url: question.url.clone(), why };
            let uri: Uri = question.url.parse().map_err(|error: http::uri::InvalidUri| sending(error.to_string()))?;
            let is_home = uri.authority() == home.as_ref();
            // Nobody else is told who asks.
            let answer = self.exchange(server, user.filter(|_| is_home), &uri, is_home, &question).await;
            let answer = answer.map_err(|error| match error {
                Failed::Sending(why) => sending(why),
                Failed::Reading(why) => Problem::Answer(why),
            })?;
            let Some(next) = redirected(&uri, &question, &answer) else { return Ok(answer) };
            (question, location) = next;
        }
        Err(Problem::Sending { url: location, why: format!("stopped after {MOST_REDIRECTS} redirects") })
    }

    async fn exchange(
        &self,
        server: &Server,
        user: Option<&Shown>,
        uri: &Uri,
        is_home: bool,
        question: &Question,
    ) -> Result<Answer, Failed> {
        let sending = |error: &dyn std::fmt::Display| Failed::Sending(error.to_string());
        let tls = self.tls.clone().map_err(Failed::Sending)?;
        let tls = user.map_or_else(|| tls.clone(), |user| user.on(tls.clone()));
        if uri.scheme_str() != Some("https") {
            return Err(Failed::Sending("only https is served".into()));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(443);
        // The name of the service, whatever endpoint answers for it.
        let (stream, server_name) = match &self.place {
            Place::Service { namespace, name, port, .. } if is_home => {
                (to_service(server, namespace, name, *port).await, format!("{name}.{namespace}.svc"))
            }
            _ => (connect(&host, port).await, host),
        };
        let stream = stream.map_err(Failed::Sending)?;
        let server_name = ServerName::try_from(server_name).map_err(|error| sending(&error))?;
        let connector = TlsConnector::from(tls);
        let stream = connector.connect(server_name, stream).await;
        let stream = stream.map_err(|error| Failed::Sending(tls::told(&error)))?;
        let mut request = Request::builder()
            .method(&question.method)
            .uri(uri.path_and_query().map_or("/", |it| it.as_str()))
            .header(header::HOST, uri.authority().map_or("", |it| it.as_str()))
            .header(header::ACCEPT, "application/json, */*")
            .header(header::ACCEPT_ENCODING, "gzip")
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .body(Full::new(question.body.clone()))
            .map_err(|error| sending(&error))?;
        if question.method == Method::POST {
            request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = user.and_then(|user| user.authorization.clone()) {
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        send(stream, request).await
    }
}

/// What is sent, and where.
struct Question {
    url: String,
    method: Method,
    body: Bytes,
}

/// Why there is no answer.
enum Problem {
    /// The request did not get through.
    Sending { url: String, why: String },
    /// What came back is no answer.
    Answer(String),
}

/// At what one exchange failed.
enum Failed {
    Sending(String),
    Reading(String),
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
) -> Result<Answer, Failed> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| Failed::Sending(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| {
            // The words of Go for a connection that ends without an answer.
            Failed::Sending(if error.is_incomplete_message() { "EOF".into() } else { error.to_string() })
        })?;
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

async fn read(response: http::Response<Incoming>) -> Result<Answer, Failed> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, answer::LIMIT).collect().await.map_err(|error| {
        let is_cut = error.downcast_ref::<hyper::Error>().is_some();
        Failed::Reading(answer::unreadable(if is_cut { "unexpected EOF" } else { "it is too long" }))
    })?;
    let answer = Answer { status: head.status, headers: head.headers, body: body.to_bytes() };
    answer.unpacked().map_err(Failed::Reading)
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

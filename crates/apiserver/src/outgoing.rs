//! Requests to services that the operator named: webhooks and token issuers.
//!
//! Each is sent over a connection of its own, which lives as long as the call; answers are cached by
//! who asks.

mod retry;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use portolan_identity::{KeyPairPem, client_tls};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) use retry::Tries;

use crate::webhook_client::tls;

/// How long a call may take, its connection included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer that is read.
const ANSWER_LIMIT: usize = 3 * 1024 * 1024;

/// A service that the operator named, usually in a kubeconfig file.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// Its URL, `https://...` or `http://...`.
    pub url: String,
    /// Authorities that its certificate may come from, PEM; those of the system if there are none.
    pub authority_pem: Option<String>,
    /// The client certificate to show.
    pub certificate: Option<KeyPairPem>,
    /// The bearer token to show.
    pub token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a service cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("use {url}: {reason}")]
pub struct Unusable {
    url: String,
    reason: String,
}

/// Sends requests to one service.
#[derive(Clone)]
pub(crate) struct Client {
    endpoint: Endpoint,
    tls: TlsConnector,
    timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    why: String,
    /// Whether it did not come in time.
    pub(crate) is_late: bool,
    /// Whether the next try may fare better.
    pub(crate) is_passing: bool,
}

impl Failed {
    fn new(why: impl std::fmt::Display) -> Self {
        Self { why: why.to_string(), is_late: false, is_passing: false }
    }
}

/// A request or a connection that broke.
impl<E: std::error::Error + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { is_passing: retry::is_cut(&error), ..Self::new(&error) }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.why
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.endpoint.fmt(formatter)
    }
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, Unusable> {
        let unusable = |reason: String| Unusable { url: endpoint.url.clone(), reason };
        let uri: Uri = endpoint.url.parse().map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(unusable("it is not a URL that begins with https:// or http://".into()));
        }
        let system = || portolan_base::trust::system_bundle().and_then(|path| std::fs::read_to_string(path).ok());
        let authorities = match &endpoint.authority_pem {
            Some(pem) => pem.clone(),
            None if uri.scheme_str() == Some("http") => String::new(),
            None => system().ok_or_else(|| {
                unusable("no authority was given for its certificate, and the system has none".into())
            })?,
        };
        let tls = if authorities.is_empty() {
            // Nothing is trusted; plain connections need no trust.
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(error.to_string()))?;
            Arc::new(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        } else {
            let tls = client_tls(&authorities, endpoint.certificate.as_ref());
            let mut tls = Arc::unwrap_or_clone(tls.map_err(|error| unusable(error.to_string()))?);
            let were_named = endpoint.authority_pem.is_some();
            let verifier = tls::verifier(authorities.as_bytes(), were_named).map_err(&unusable)?;
            tls.dangerous().set_certificate_verifier(verifier);
            Arc::new(tls)
        };
        Ok(Self { tls: TlsConnector::from(tls), endpoint, timeout: TIMEOUT })
    }

    /// The same with another time that a call may take.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The URL it was made with.
    pub(crate) fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Asks for a document.
    pub(crate) async fn get(&self, url: &str) -> Result<(StatusCode, Bytes), String> {
        let request = Request::builder().method(Method::GET).body(Full::default());
        let response = self.send(url, request.map_err(|error| error.to_string())?).await?;
        Ok((response.status(), response.into_body()))
    }

    /// Posts an object to the service's own URL and reads the one that comes back.
    pub(crate) async fn ask(&self, object: &Value) -> Result<Value, Failed> {
        let body = self.post(object).await?;
        let read = serde_json::from_slice(&body);
        read.map_err(|error| Failed::new(format!("{} sent no JSON: {error}", self.endpoint.url)))
    }

    /// The same, again after failures that may pass.
    pub(crate) async fn ask_persistently(&self, object: &Value) -> Result<Value, Failed> {
        Tries::new(Tries::OF_ACCESS).run(|| self.ask(object), |failed| failed.is_passing).await
    }

    /// Posts an object to the service's own URL; whatever it answers is enough if it is no refusal.
    pub(crate) async fn deliver(&self, object: &Value) -> Result<(), String> {
        self.post(object).await.map(drop).map_err(String::from)
    }

    async fn post(&self, object: &Value) -> Result<Bytes, Failed> {
        let request = Request::builder()
            .method(Method::POST)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(object.to_string()))?;
        let response = self.send(&self.endpoint.url, request).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(response.into_body());
        }
        Err(Failed {
            is_late: code == StatusCode::GATEWAY_TIMEOUT,
            is_passing: retry::is_passing(code, response.headers()),
            ..Failed::new(format!("{} answered {code}", self.endpoint.url))
        })
    }

    async fn send(&self, url: &str, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed> {
        // Boxed: whoever might ask somebody need not make room for it until it does, which few requests do.
        match tokio::time::timeout(self.timeout, Box::pin(self.exchange(url, request))).await {
            Ok(outcome) => outcome.map_err(|failed| Failed { why: format!("{url}: {}", failed.why), ..failed }),
            Err(_) => {
                let why = format!("{url}: no answer within {:?}", self.timeout);
                Err(Failed { is_late: true, ..Failed::new(why) })
            }
        }
    }

    async fn exchange(&self, url: &str, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed> {
        let uri: Uri = url.parse()?;
        let host = uri.host().ok_or_else(|| Failed::new("it names no host"))?.trim_matches(['[', ']']).to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        *request.uri_mut() = uri
            .path_and_query()
            .map_or("/", |path| if path.as_str().is_empty() { "/" } else { path.as_str() })
            .parse()?;
        let text = |value: &str| http::HeaderValue::from_str(value);
        let authority = uri.authority().map_or(host.clone(), ToString::to_string);
        request.headers_mut().insert(header::HOST, text(&authority)?);
        request.headers_mut().insert(header::USER_AGENT, http::HeaderValue::from_static("kube-apiserver"));
        if let Some(token) = &self.endpoint.token {
            request.headers_mut().insert(header::AUTHORIZATION, text(&format!("Bearer {token}"))?);
        }
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        if !secure {
            return talk(TokioIo::new(stream), request).await;
        }
        let name = ServerName::try_from(host)?;
        let stream = self.tls.connect(name, stream).await?;
        talk(TokioIo::new(stream), request).await
    }
}

async fn talk<I>(io: I, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| Failed { is_passing: retry::is_cut(&*error), ..Failed::new(&error) })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        outcome = &mut answer => outcome,
        // The connection may end before the last of the answer was taken out of it.
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.into()),
        },
    }
}

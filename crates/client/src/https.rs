//! Requests over the network.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::kubeconfig::{Kubeconfig, KubeconfigError};
use crate::transport::{Body, BoxError, Transport};

/// A server that does not accept in this time is down or unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Watches are silent for long; pings notice a peer that vanished without a word.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an API server is and how to prove who we are.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// For example `https://127.0.0.1:6443`.
    pub server: String,
    /// Certificates that the server's certificate must chain to, PEM.
    pub certificate_authority: String,
    /// Client certificate and its chain, PEM.
    pub client_certificate: Option<String>,
    /// Key of the client certificate, PEM.
    pub client_key: Option<String>,
    /// Bearer token.
    pub token: Option<String>,
    /// Name to expect in the server's certificate, if not the host of `server`.
    pub tls_server_name: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys and tokens stay out of logs.
        formatter.debug_struct("Endpoint").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A [`Transport`] over TCP and TLS with connections kept alive; HTTP/2 if the server offers it.
pub struct HttpsTransport {
    pool: Pool<Connector, Full<Bytes>>,
    connector: Connector,
    server: Uri,
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for HttpsTransport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HttpsTransport").field("server", &self.server).finish_non_exhaustive()
    }
}

impl HttpsTransport {
    /// A transport to an endpoint. Connects with the first request.
    ///
    /// # Errors
    /// [`Error::Setup`] if the address, certificates, key or token are malformed.
    pub fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let server: Uri = endpoint
            .server
            .parse()
            .map_err(|error| Error::Setup(format!("server address {:?}: {error}", endpoint.server)))?;
        let tls = match server.scheme_str() {
            Some("https") => Some(Arc::new(tls_config(endpoint)?)),
            Some("http") => None,
            _ => {
                return Err(Error::Setup(format!(
                    "server address {:?}: begins with neither https:// nor http://",
                    endpoint.server
                )));
            }
        };
        let authorization = endpoint
            .token
            .as_ref()
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                    .map_err(|_| Error::Setup("the bearer token has forbidden characters".to_owned()))?;
                value.set_sensitive(true);
                Ok::<_, Error>(value)
            })
            .transpose()?;
        let connector = Connector { tls, name: endpoint.tls_server_name.clone() };
        let pool = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .http2_adaptive_window(true)
            .build(connector.clone());
        Ok(Self { pool, connector, server, authorization })
    }

    /// A transport to the current context of a kubeconfig file.
    ///
    /// # Errors
    /// The file cannot be read, has no current context, or its credentials are unusable.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, KubeconfigError> {
        let endpoint = Kubeconfig::load(path)?.endpoint()?;
        Self::new(&endpoint)
            .map_err(|error| KubeconfigError::Unusable { path: path.to_owned(), source: Box::new(error) })
    }

    /// Sends a request that asks its connection to become something else, over a connection of its
    /// own: HTTP/2 has no upgrades (RFC 9113, section 8.6).
    ///
    /// # Errors
    /// [`Error::Transport`] if no answer arrived. An answer that says failure is not an error here.
    pub async fn upgrade(&self, request: Request<Bytes>) -> Result<Upgrade, Error> {
        let (mut head, body) = request.into_parts();
        let method = head.method.clone();
        let path = head.uri.path().to_owned();
        // Only the path, as to any origin server (RFC 9112, section 3.2.1).
        let absolute = self.absolute(&head.uri).map_err(|source| Error::Request { path: path.clone(), source })?;
        head.uri = absolute.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        if let Some(authorization) = &self.authorization {
            head.headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(authority) = self.server.authority() {
            let host = HeaderValue::from_str(authority.as_str())
                .map_err(|error| Error::Request { path: path.clone(), source: error.into() })?;
            head.headers.insert(HOST, host);
        }
        let request = Request::from_parts(head, Full::new(body));
        self.switch(request).await.map_err(|source| Error::Transport { method, path, source })
    }

    async fn switch(&self, request: Request<Full<Bytes>>) -> Result<Upgrade, BoxError> {
        let stream = self.connector.http1().dial(&self.server).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let headers = answer.headers().clone();
                return Ok(Upgrade::Switched(headers, hyper::upgrade::on(answer).await?));
            }
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            drop(sender);
            Ok::<_, hyper::Error>(Upgrade::Refused(Response::from_parts(head, body)))
        };
        let (upgrade, ()) = tokio::try_join!(exchange, connection.with_upgrades())?;
        Ok(upgrade)
    }

    fn absolute(&self, path: &Uri) -> Result<Uri, http::Error> {
        let mut parts = self.server.clone().into_parts();
        let base = self.server.path().trim_end_matches('/');
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        parts.path_and_query = Some(format!("{base}{path}").parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// What became of a connection that was asked to become something else.
#[derive(Debug)]
pub enum Upgrade {
    /// It speaks the other protocol now; these are the headers of the answer.
    Switched(HeaderMap, Upgraded),
    /// It did not.
    Refused(Response<Bytes>),
}

#[async_trait]
impl Transport for HttpsTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let (mut head, body) = request.into_parts();
        let method = head.method.clone();
        let path = head.uri.path().to_owned();
        head.uri = self.absolute(&head.uri).map_err(|source| Error::Request { path: path.clone(), source })?;
        if let Some(authorization) = &self.authorization {
            head.headers.insert(AUTHORIZATION, authorization.clone());
        }
        let answer = self
            .pool
            .request(Request::from_parts(head, Full::new(body)))
            .await
            .map_err(|error| Error::Transport { method, path, source: error.into() })?;
        Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }
}

fn tls_config(endpoint: &Endpoint) -> Result<ClientConfig, Error> {
    let setup = |what: &str, error: &dyn std::fmt::Display| Error::Setup(format!("{what}: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(endpoint.certificate_authority.as_bytes()) {
        let certificate = certificate.map_err(|error| setup("certificate authority", &error))?;
        roots.add(certificate).map_err(|error| setup("certificate authority", &error))?;
    }
    if roots.is_empty() {
        return Err(Error::Setup("no certificate authority is given to check the server against".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup("TLS versions", &error))?
        .with_root_certificates(roots);
    let mut config = match (&endpoint.client_certificate, &endpoint.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| setup("client certificate", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| setup("client key", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| setup("client certificate", &error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(Error::Setup("client certificate and client key must be given together".to_owned())),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Clone)]
struct Connector {
    tls: Option<Arc<ClientConfig>>,
    name: Option<String>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.dial(&server).await })
    }
}

impl Connector {
    /// The same connections, but HTTP/1.1 whatever the server offers.
    fn http1(&self) -> Self {
        let tls = self.tls.as_ref().map(|config| {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        });
        Self { tls, name: self.name.clone() }
    }

    async fn dial(&self, server: &Uri) -> io::Result<Stream> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect(server))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection within 10 s")))
    }

    async fn connect(&self, server: &Uri) -> io::Result<Stream> {
        let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = server.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(TokioIo::new(tcp))) };
        let name = ServerName::try_from(self.name.clone().unwrap_or_else(|| host.to_owned()))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(tls.clone()).connect(name, tcp).await?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

//! Connections to node agents and to pods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_identity::client_tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::config::{Config, Error};
use crate::webhook_client::dial;

/// How long a node or pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reaches node agents over TLS with the server's client certificate.
#[derive(Clone)]
pub(crate) struct NodeDialer {
    connector: TlsConnector,
    to_anyone: TlsConnector,
    /// The tasks that move the bytes of connections.
    pub(crate) tasks: TaskTracker,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS with our certificate; the other side must have one of the cluster.
    Node,
    /// Plain TCP, to a port of a pod.
    Plain,
    /// TLS to a port of a pod, whoever answers: its certificate is the user's own affair, as upstream.
    Unverified,
}

impl NodeDialer {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let tls = client_tls(config.authority.certificate_pem(), Some(&config.node_client))
            .map_err(|source| Error::NodeTls { source })?;
        // Upgrades (exec, port-forward) exist in HTTP/1.1 only.
        let mut tls = (*tls).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let to_anyone = to_anyone().map_err(|source| Error::UserTls { source })?;
        Ok(Self { connector: TlsConnector::from(Arc::new(tls)), to_anyone, tasks: TaskTracker::new() })
    }

    /// Sends a request over a connection of its own, or says as Go does why it cannot.
    pub(super) async fn send(
        &self,
        address: SocketAddr,
        security: Security,
        request: Request<Body>,
    ) -> Result<http::Response<Incoming>, String> {
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, dial(address)).await;
        let stream = dialled.map_err(|_| format!("dial tcp {address}: i/o timeout"))??;
        match security {
            Security::Plain => self.exchange(TokioIo::new(stream), request).await,
            Security::Node | Security::Unverified => {
                let name = ServerName::IpAddress(address.ip().into());
                let connector = if security == Security::Node { &self.connector } else { &self.to_anyone };
                let stream = connector.connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
                self.exchange(TokioIo::new(stream), request).await
            }
        }
        .map_err(|error| if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() })
    }

    /// Sends a request over a connection that is its own from now on.
    pub(crate) async fn exchange<I>(
        &self,
        io: I,
        request: Request<Body>,
    ) -> Result<http::Response<Incoming>, hyper::Error>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a proxied connection ended");
            }
        });
        sender.send_request(request).await
    }
}

/// TLS without our certificate towards servers whose certificate nobody can check: the pods of users.
fn to_anyone() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anyone(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes every certificate; that the other side holds its key is still checked.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

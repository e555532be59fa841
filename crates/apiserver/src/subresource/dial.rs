//! Connections to node agents and to pods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_identity::client_tls;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::config::{Config, Error};
use crate::status::Status;

/// How long a node or pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reaches node agents over TLS with the server's client certificate.
#[derive(Clone)]
pub(crate) struct NodeDialer {
    connector: TlsConnector,
    /// The tasks that move the bytes of connections.
    pub(super) tasks: TaskTracker,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS with our certificate; the other side must have one of the cluster.
    Node,
    /// Plain TCP, to a port of a pod.
    Plain,
}

impl NodeDialer {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let tls = client_tls(config.authority.certificate_pem(), Some(&config.node_client))
            .map_err(|source| Error::NodeTls { source })?;
        // Upgrades (exec, port-forward) exist in HTTP/1.1 only.
        let mut tls = (*tls).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(tls)), tasks: TaskTracker::new() })
    }

    /// Sends a request over a connection of its own.
    pub(super) async fn send(
        &self,
        address: SocketAddr,
        security: Security,
        request: Request<Body>,
    ) -> Result<http::Response<Incoming>, Status> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Status::new(502, "ServiceUnavailable", format!("error dialing backend {address}: {what}: {error}"))
        };
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let stream = match connect.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed("connect", &error)),
            Err(_) => return Err(failed("connect", &"timed out")),
        };
        let _ = stream.set_nodelay(true);
        match security {
            Security::Plain => self.exchange(TokioIo::new(stream), request).await,
            Security::Node => {
                let name = ServerName::IpAddress(address.ip().into());
                let stream = self.connector.connect(name, stream).await.map_err(|error| failed("TLS", &error))?;
                self.exchange(TokioIo::new(stream), request).await
            }
        }
        .map_err(|error| failed("request", &error))
    }

    async fn exchange<I>(&self, io: I, request: Request<Body>) -> Result<http::Response<Incoming>, hyper::Error>
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

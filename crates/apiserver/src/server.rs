//! The server: from connections to requests to answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use portolan_base::liveness::Liveness;
use portolan_base::{Patience, Shutdown, Timestamp};
use portolan_identity::User;
use portolan_store::Store;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::aggregation::{self, Aggregation};
use crate::audit::{Auditor, deliver};
use crate::authentication::{Authenticator, Shown};
use crate::authorization::{Authorizer, Ways};
use crate::body::{Body, full};
use crate::config::{Config, Error};
use crate::cork::Cork;
use crate::encryption::{self, EncryptedStore};
use crate::event_leases::EventLeases;
use crate::extensions::{Converters, Extensions};
use crate::fairness::{self, Fairness};
use crate::heartbeats::Heartbeats;
use crate::metrics::Metrics;
use crate::resources::core::service_allocation::Allocator;
use crate::service_addresses::{self, Reports, ServiceRanges};
use crate::status::Status;
use crate::streams::{Driven, Streams};
use crate::{bootstrap, followed_file, own_service, respond, router, subresource};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long open requests may go on once the server drains.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of an HTTP/2 request; HTTP/1 uses the same for its read buffer.
const HEADER_LIMIT: u32 = 64 * 1024;

/// Most requests at a time on one HTTP/2 connection: client-go keeps a watch per kind on one.
const STREAM_LIMIT: u32 = 1000;

/// Where a request comes from.
#[derive(Debug, Clone)]
pub enum Peer {
    /// From inside the process, on behalf of this user.
    Trusted(Arc<User>),
    /// Over the network.
    Tls {
        /// The certificates that the client showed, if any.
        shown: Option<Arc<Shown>>,
        /// Where the client is.
        address: SocketAddr,
    },
}

impl Peer {
    /// A client over the network that proved to hold the first of these certificates, if there are any. Who vouches
    /// for them is checked with each request.
    pub fn tls(chain: &[CertificateDer<'_>], address: SocketAddr) -> Self {
        Self::Tls { shown: Shown::of(chain).map(Arc::new), address }
    }
}

/// The API server.
pub struct Server {
    /// Itself, for answers and writes that outlive their request.
    pub(crate) this: Weak<Self>,
    pub(crate) config: Config,
    pub(crate) started: Timestamp,
    pub(crate) authenticator: Authenticator,
    pub(crate) audiences: Vec<String>,
    pub(crate) admission: Admission,
    pub(crate) authorizer: Authorizer,
    pub(crate) ways: Ways,
    pub(crate) auditor: Option<Arc<Auditor>>,
    pub(crate) fairness: Option<Fairness>,
    /// The store again, if it encrypts.
    pub(crate) encrypted: Option<Arc<EncryptedStore>>,
    pub(crate) extensions: Extensions,
    pub(crate) converters: Converters,
    pub(crate) aggregation: Aggregation,
    pub(crate) event_leases: EventLeases,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) metrics: Metrics,
    pub(crate) nodes: subresource::NodeDialer,
    pub(crate) allocator: Mutex<Allocator>,
    pub(crate) service_ranges: ServiceRanges,
    pub(crate) reports: Mutex<Reports>,
    /// Writes that the store may have done, with what follows them.
    pub(crate) writes: TaskTracker,
    /// Cancelled when the server drains: watches end then, so that clients go elsewhere.
    pub(crate) draining: CancellationToken,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("advertise", &self.config.advertise).finish_non_exhaustive()
    }
}

impl Server {
    /// Makes a server and writes what every cluster has from the start: namespaces, roles, the
    /// `kubernetes` Service.
    ///
    /// # Errors
    /// The store refuses, or TLS towards the nodes cannot be set up.
    pub async fn start(mut config: Config) -> Result<Arc<Self>, Error> {
        let encrypted = config.access.encryption.clone().map(|settings| {
            let store = Arc::new(EncryptedStore::new(config.store.clone(), settings));
            config.store = store.clone();
            store
        });
        // An object that cannot be decrypted grants nothing and is not served, but no other is worse off. What
        // admits objects is strict: a rule that cannot be read might have refused them.
        let readable = encrypted.as_ref().map_or(config.store.clone(), |store| Arc::new(store.readable()));
        let auditor = config.access.audit.clone().map(|settings| Auditor::open(settings, config.clock.clone()));
        let auditor = auditor.transpose()?;
        let fairness = config.access.most_requests.map(|total| Fairness::new(readable.clone(), total));
        let nodes = subresource::NodeDialer::new(&config)?;
        let authorizer = Authorizer::new(readable.clone());
        let authenticator =
            Authenticator::new(config.access.authentication.clone(), config.authority.certificate_pem())?;
        let metrics = Metrics::default();
        let ways = Ways::new(config.access.authorization.clone(), &metrics.authorizations);
        let ways = ways.map_err(|source| Error::Outgoing { source })?;
        let mut audiences = config.access.authentication.api_audiences.clone();
        if audiences.is_empty() {
            audiences.extend_from_slice(config.tokens.issuers());
        }
        let event_leases = EventLeases::new(config.access.event_ttl);
        let extensions = Extensions::new(readable.clone());
        let aggregation = Aggregation::new(readable.clone());
        let allocator = Allocator::new(config.networks.node_ports.clone());
        let service_ranges = ServiceRanges::new(readable);
        let server = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            admission: Admission::new(&config.store),
            started: config.clock.now(),
            config,
            allocator: Mutex::new(allocator),
            service_ranges,
            reports: Mutex::default(),
            converters: Converters::default(),
            authenticator,
            audiences,
            event_leases,
            authorizer,
            ways,
            auditor,
            fairness,
            encrypted,
            extensions,
            aggregation,
            heartbeats: Heartbeats::default(),
            metrics,
            nodes,
            writes: TaskTracker::new(),
            draining: CancellationToken::new(),
        });
        bootstrap::run(&server).await?;
        Ok(server)
    }

    /// Asks the servers of API extensions whether they are there, and what they serve; [`Self::serve`] does it
    /// again and again.
    pub async fn check_extension_servers(&self) {
        aggregation::check(self).await;
        aggregation::refresh_documents(self).await;
    }

    /// Takes over new keys by which objects are encrypted, if their file is followed and says others;
    /// [`Self::serve`] does it again and again.
    pub async fn reload_encryption(&self) {
        if let Some(encrypted) = &self.encrypted {
            encrypted.reload(self.config.clock.now()).await;
        }
    }

    /// Takes over what the files of authentication and authorization say now, if they are followed;
    /// [`Self::serve`] does it again and again.
    pub async fn reload_access(&self) {
        let now = self.config.clock.now();
        tokio::join!(
            self.authenticator.reload(self.config.tokens.issuers(), now),
            self.ways.reload(&self.metrics.authorizations, now),
        );
    }

    /// The server for what may outlive its request.
    pub(crate) fn shared(&self) -> Arc<Self> {
        self.this.upgrade().expect("whoever calls it holds it: it is only made shared")
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.config.store
    }

    /// Answers one request. Never fails and never panics: whatever goes wrong is an answer.
    pub async fn handle(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let started = Instant::now();
        let asked = router::Asked::of(request.method(), request.uri());
        let label = asked.label(&self.extensions.description());
        // What this process asks itself ends with it.
        let lasting = (asked.lasts() && matches!(peer, Peer::Tls { .. })).then(|| label.clone());
        let _in_flight = self.metrics.begin(request.method());
        let work = std::pin::pin!(router::route(self, request, asked, peer));
        let response = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no text");
                tracing::error!(panic = text, request = %label, "a request handler panicked");
                respond::status(&Status::internal("the server failed to answer; its log has the cause"))
            }
        };
        let status = response.status();
        self.metrics.record(label, status, started.elapsed());
        match lasting.filter(|_| !status.is_client_error() && !status.is_server_error()) {
            Some(label) => self.metrics.long_running.count(label, response),
            None => response,
        }
    }

    /// Serves clients until `shutdown`, then lets open requests finish. Watches are ended.
    ///
    /// `tls` may let clients show any certificate: whom they name is believed only if they are of an authority that
    /// [`Config`] names.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Arc<rustls::ServerConfig>, shutdown: Shutdown) {
        let connections = TaskTracker::new();
        let acceptor = TlsAcceptor::from(tls);
        let stop = CancellationToken::new();
        connections.spawn(aggregation::run(self.clone(), stop.clone()));
        connections.spawn(own_service::keep(self.clone(), stop.clone()));
        connections.spawn(encryption::reload::follow(self.clone(), stop.clone()));
        connections.spawn(fairness::keep(self.clone(), stop.clone()));
        connections.spawn(service_addresses::keep(self.clone(), stop.clone()));
        connections.spawn(followed_file::follow(self.clone(), stop.clone()));
        // It ends after all that it may have to record.
        let (mut auditing, recorded) = (JoinSet::new(), CancellationToken::new());
        if let Some(auditor) = &self.auditor {
            auditing.spawn(deliver::run(auditor.clone(), recorded.clone()));
        }
        while let Some(accepted) = shutdown.run(listener.accept()).await {
            match accepted {
                Ok((stream, address)) => {
                    let connection = Connection {
                        server: self.clone(),
                        acceptor: acceptor.clone(),
                        tasks: connections.clone(),
                        stop: stop.clone(),
                        address,
                    };
                    connections.spawn(connection.run(stream));
                }
                Err(error) => {
                    // Most often the process ran out of file descriptors: let some be closed first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        self.draining.cancel();
        stop.cancel();
        connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "some requests did not end while draining");
        }
        self.writes.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.writes.wait()).await.is_err() {
            tracing::warn!(writes = self.writes.len(), "some writes did not end while draining");
        }
        recorded.cancel();
        if tokio::time::timeout(DRAIN_TIMEOUT, auditing.join_all()).await.is_err() {
            tracing::warn!("some records of the audit log did not get away while draining");
        }
    }
}

/// One client's connection.
struct Connection {
    server: Arc<Server>,
    acceptor: TlsAcceptor,
    tasks: TaskTracker,
    stop: CancellationToken,
    address: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        // An interactive session may be silent for hours, and its client gone.
        let _ = Liveness::SERVER.watch(&stream);
        let (stream, socket) = Cork::new(stream);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.address, %error, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        // What a connection in HTTP/1 is upgraded to has another driver.
        let socket = Some(socket).filter(|_| stream.get_ref().1.alpn_protocol() == Some(b"h2"));
        let peer = Peer::tls(stream.get_ref().1.peer_certificates().unwrap_or_default(), self.address);
        let server = self.server.clone();
        let streams = Streams::new(self.tasks.clone());
        let patience = Patience::default();
        let watched = patience.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            patience.asked();
            let (server, peer) = (server.clone(), peer.clone());
            async move {
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                Ok::<_, Infallible>(server.handle(request, peer).await)
            }
        });
        let mut builder = auto::Builder::new(streams.clone());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_LIMIT as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_LIMIT)
            .max_concurrent_streams(STREAM_LIMIT)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = Driven::new(connection, streams, socket);
        let outcome = tokio::select! {
            biased;
            outcome = &mut connection => outcome,
            // The timeout of a head starts only once the protocol's version is known.
            () = watched.lost(HEADER_TIMEOUT) => return,
            () = self.stop.cancelled() => {
                connection.connection().graceful_shutdown();
                match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
                    Ok(outcome) => outcome,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(peer = %self.address, %error, "connection ended");
        }
    }
}

/// An answer without content, for paths that only say that they are there.
pub(crate) fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    respond::with_body(code, "text/plain; charset=utf-8", full(text))
}

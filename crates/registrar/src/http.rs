//! The listener of a dialect: connections, limits, who may talk.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parking_lot::Mutex;
use portolan_base::liveness::Liveness;
use portolan_base::timer::sleep_until;
use portolan_base::{Patience, Shutdown};
use portolan_identity::{User, user_of_certificate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::{Caller, Denied, Gate, Pod, authorization};
pub use crate::body::{Body, full};
use crate::front::{self, Left, Rest, Stop};
use crate::half_closed::{Asked, Lingering};
use crate::limits::Client;
use crate::places::Places;
use crate::refusals::Refusals;

/// When a client is gone. A registration that lives by a connection would be listed for as long.
const CLIENT: Liveness = Liveness {
    idle: Duration::from_secs(10),
    interval: Duration::from_secs(5),
    probes: 3,
    unacknowledged: Some(Duration::from_secs(30)),
};

/// A client that has not sent its request's head by then is cut off.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Nor its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that has not agreed on TLS by then is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of a refused request's body is read and forgotten.
const REFUSED_BODY: usize = 8 << 20;
/// Requests at the same time over one connection of HTTP/2; watches are such.
const MOST_STREAMS: u32 = 1024;
/// A connection of HTTP/2 on which a question whether the client is there gets no answer is closed.
const PING: Duration = Duration::from_secs(30);
/// How long requests under way get at shutdown; watches never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);

/// Who a peer of a plain-HTTP listener is.
#[derive(Clone)]
pub enum Peer {
    /// Nobody who is served without TLS.
    Stranger,
    /// A process of this machine.
    Machine,
    /// A pod.
    Pod(Pod),
}

/// Tells who a peer is, once for each connection.
pub type Peers = Arc<dyn Fn(IpAddr) -> Pin<Box<dyn Future<Output = Peer> + Send>> + Send + Sync>;

/// Whom a listener serves, and how it knows.
#[derive(Clone)]
pub enum Security {
    /// Plain HTTP, to those peers only that it knows.
    Plain(Peers),
    /// TLS, to whoever shows credentials of the cluster.
    Tls {
        /// Certificate of the listener; asks for, and does not require, one of the client.
        config: Arc<rustls::ServerConfig>,
        /// Knows users by their credentials.
        gate: Arc<Gate>,
    },
}

/// A place where a dialect is served.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// Whom it serves.
    pub security: Security,
}

impl Listener {
    /// Plain HTTP for peers that are treated as this machine is.
    pub fn plain(socket: TcpListener, trusted: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>) -> Self {
        let peers: Peers = Arc::new(move |peer| {
            let peer = if trusted(peer) { Peer::Machine } else { Peer::Stranger };
            Box::pin(std::future::ready(peer))
        });
        Self { socket, security: Security::Plain(peers) }
    }
}

/// A request whose body was read.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query as sent.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Who asks, and what they may.
    pub caller: Caller,
}

impl Request {
    /// Whose limits the request counts against.
    pub fn client(&self) -> Client {
        match &self.caller {
            Caller::Known(known) => Client::User(known.user.name.as_str().into()),
            Caller::Trusted | Caller::Pod(_) | Caller::Unknown(_) => Client::Address(self.peer),
        }
    }

    /// The path, percent-encoded as sent.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query, or `""`.
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// Why the listener itself refuses a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer may not talk plain HTTP.
    #[error("plain HTTP is served to this machine and to pods only, and {0} is neither; ask over TLS with a token")]
    Untrusted(IpAddr),
    /// The caller is not known, or nobody can tell.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The request does not say for whom it is, or says it twice.
    #[error("{0}")]
    Host(&'static str),
    /// The body is larger than the dialect takes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not arrive.
    #[error("{0}")]
    Body(String),
}

/// A dialect: answers whole requests.
pub trait Handler: Send + Sync + 'static {
    /// The largest body that it takes, in bytes.
    const BODY_LIMIT: usize;

    /// Answers a request. Long polls and streams may take their time.
    fn answer(&self, request: Request) -> impl Future<Output = Response<Body>> + Send;

    /// Puts a refusal of the listener into the dialect's own words.
    fn refuse(&self, refusal: Refusal) -> Response<Body>;

    /// The token that a request shows.
    fn token(&self, headers: &HeaderMap, _uri: &Uri) -> Option<String> {
        authorization(headers)
    }

    /// Whether callers whom the cluster does not know come as far as [`Handler::answer`], since the dialect
    /// has credentials of its own and asks for them.
    fn knows_others(&self) -> bool {
        false
    }
}

/// Serves one listener until shutdown is requested.
pub async fn serve<H: Handler>(listener: Listener, handler: Arc<H>, shutdown: Shutdown) {
    let Listener { socket, security } = listener;
    let (servers, stop) = (Arc::new(Servers::default()), Arc::new(Stop::default()));
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Places::default()));
    let (mut connections, mut refusals) = (JoinSet::new(), Refusals::default());
    loop {
        if let Some(count) = refusals.take(Instant::now()) {
            tracing::warn!(count, "too many connections to the registry; refused some");
        }
        let due = refusals.due();
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = sleep_until(due) => continue,
            () = shutdown.requested() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; a busy loop would not free one.
                tracing::warn!(%error, "cannot accept a connection to the registry");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        // An event of a watch would wait until the client has said that it has the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection to the registry ended at once");
            continue;
        }
        if let Err(error) = CLIENT.watch(&stream) {
            tracing::debug!(%peer, %error, "cannot tell whether a client is there");
        }
        let Some(place) = places.take(peer.ip()) else {
            tracing::debug!(%peer, "too many connections to the registry; refused one");
            refusals.note();
            continue;
        };
        let (servers, handler, stop) = (servers.clone(), handler.clone(), stop.clone());
        let (security, watcher) = (security.clone(), graceful.watcher());
        connections.spawn(async move {
            let ended = match security {
                Security::Plain(peers) => {
                    let door = Door::Plain(peers(peer.ip()).await);
                    connection(&servers, stream, Way::Short(&stop), handler, door, peer, watcher).await
                }
                Security::Tls { config, gate } => match handshake(config, stream).await {
                    Ok((stream, user)) => {
                        let way = if speaks_http2(&stream) { Way::Long } else { Way::Short(&stop) };
                        connection(&servers, stream, way, handler, Door::Tls(gate, user), peer, watcher).await
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, error, "connection to the registry ended");
            }
            drop(place);
        });
    }
    drop(socket);
    stop.request();
    let ended = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    };
    let _ = tokio::time::timeout(DRAIN, ended).await;
}

/// Hyper's ways to serve a connection.
pub(crate) struct Servers {
    /// In the version of HTTP that the client begins to speak.
    any: auto::Builder<TokioExecutor>,
    /// On a connection that was asked over HTTP/1.1 before.
    http1: auto::Builder<TokioExecutor>,
}

impl Default for Servers {
    fn default() -> Self {
        let mut any = auto::Builder::new(TokioExecutor::new());
        any.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        any.http2().timer(TokioTimer::new()).max_concurrent_streams(MOST_STREAMS).keep_alive_interval(PING);
        Self { http1: any.clone().http1_only(), any }
    }
}

/// How a connection is served.
pub(crate) enum Way<'a> {
    /// What is ordinary by the shortest way, the rest by hyper.
    Short(&'a Stop),
    /// All by hyper.
    Long,
}

/// Whom a connection serves.
pub(crate) enum Door {
    /// Plain HTTP.
    Plain(Peer),
    /// TLS, perhaps with a certificate that says who the client is.
    Tls(Arc<Gate>, Option<Arc<User>>),
}

impl Door {
    pub(crate) async fn caller<H: Handler>(
        &self,
        handler: &H,
        peer: IpAddr,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Caller, Refusal> {
        match self {
            Self::Plain(Peer::Machine) => Ok(Caller::Trusted),
            Self::Plain(Peer::Pod(pod)) => Ok(Caller::Pod(pod.clone())),
            Self::Plain(Peer::Stranger) => Err(Refusal::Untrusted(peer)),
            Self::Tls(gate, certified) => {
                let token = handler.token(headers, uri);
                match gate.caller(certified.as_ref(), token.as_deref()).await? {
                    Caller::Unknown(why) if !handler.knows_others() => Err(Denied::Unauthenticated(why).into()),
                    caller => Ok(caller),
                }
            }
        }
    }
}

/// Agrees on TLS; the client's certificate, if it has one, is of the cluster's authority.
async fn handshake(
    config: Arc<rustls::ServerConfig>,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Option<Arc<User>>), String> {
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await;
    let stream = accepted.map_err(|_| "no TLS handshake in time".to_owned())?.map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let user = certificate.map(|certificate| user_of_certificate(certificate)).transpose();
    let user = user.map_err(|error| portolan_base::error::chain(&error).to_string())?;
    Ok((stream, user.map(Arc::new)))
}

fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

pub(crate) async fn connection<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    servers: &Servers,
    mut stream: S,
    way: Way<'_>,
    handler: Arc<H>,
    door: Door,
    peer: SocketAddr,
    watcher: Watcher,
) -> Result<(), String> {
    let rest = match way {
        Way::Long => Rest::default(),
        Way::Short(stop) => match front::serve(&mut stream, &*handler, &door, peer.ip(), stop).await {
            Ok(Left::Over) => return Ok(()),
            Ok(Left::Unusual(rest)) => rest,
            Err(error) => return Err(error.to_string()),
        },
    };
    // An idle connection of the short way has no room for this.
    Box::pin(long_way(servers, stream, rest, handler, door, peer, watcher)).await
}

/// Serves what is left of a connection by hyper.
async fn long_way<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    servers: &Servers,
    stream: S,
    rest: Rest,
    handler: Arc<H>,
    door: Door,
    peer: SocketAddr,
    watcher: Watcher,
) -> Result<(), String> {
    let (patience, door, asked) = (Patience::default(), Arc::new(door), Asked::default());
    let server = if rest.asked { &servers.http1 } else { &servers.any };
    if rest.asked {
        patience.asked();
    }
    let (watched, stream) = (patience.clone(), Lingering::new(rest.unread, stream, asked.clone()));
    let known = Mutex::new(rest.answer);
    let service = hyper::service::service_fn(move |request| {
        patience.asked();
        let (handler, door, open, known) = (handler.clone(), door.clone(), asked.one(), known.lock().take());
        async move {
            let answer = match known {
                Some(answer) => {
                    discard(request.into_body()).await;
                    answer
                }
                None => respond(&*handler, &door, peer.ip(), request).await,
            };
            Ok::<_, Infallible>(open.until_written(answer))
        }
    });
    let connection = watcher.watch(server.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::select! {
        ended = connection => ended.map_err(|error| error.to_string()),
        // The timeout of a head starts only once the protocol's version is known.
        () = watched.lost(HEAD_TIMEOUT) => Ok(()),
    }
}

async fn respond<H: Handler>(
    handler: &H,
    door: &Door,
    peer: IpAddr,
    request: http::Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_host(head.version, &head.headers) {
        discard(body).await;
        return handler.refuse(refusal);
    }
    let caller = match door.caller(handler, peer, &head.headers, &head.uri).await {
        Ok(caller) => caller,
        Err(refusal) => {
            discard(body).await;
            return handler.refuse(refusal);
        }
    };
    match read(body, H::BODY_LIMIT).await {
        Ok(body) => {
            let request = Request { method: head.method, uri: head.uri, headers: head.headers, body, peer, caller };
            handler.answer(request).await
        }
        Err(refusal) => handler.refuse(refusal),
    }
}

/// RFC 9112, section 3.2; what is wrong is said as Go's server says it.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let count = headers.get_all(http::header::HOST).iter().count();
    match version {
        Version::HTTP_11 if count == 0 => Err(Refusal::Host("missing required Host header")),
        Version::HTTP_10 | Version::HTTP_11 if count > 1 => Err(Refusal::Host("too many Host headers")),
        _ => Ok(()),
    }
}

/// Reads what a client still sends: many read no answer before they have sent all, and over HTTP/2 some
/// take an early one for a broken stream. A stranger is not listened to for long.
async fn discard(mut body: Incoming) {
    let reading = async {
        let mut left = REFUSED_BODY;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // Whatever became of it, the answer is the same.
    let _ = tokio::time::timeout(BODY_TIMEOUT, reading).await;
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(&mut body, limit).collect()).await;
    if matches!(&collected, Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>()) {
        discard(body).await;
        return Err(Refusal::TooLarge(limit));
    }
    match collected {
        Err(_) => Err(Refusal::Body(format!("the body did not arrive within {BODY_TIMEOUT:?}"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Refusal::Body(format!("the body cannot be read: {error}"))),
    }
}

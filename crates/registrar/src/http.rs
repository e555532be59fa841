//! The listener of a dialect: connections, limits, who may talk.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use portolan_base::{Patience, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A client that has not sent its request's head by then is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Nor its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at the same time per listener; watchers keep theirs.
const MOST_CONNECTIONS: usize = 8192;
/// How long requests under way get at shutdown; watches never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);

/// Body of an answer; may go on for ever.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Which peers a plain-HTTP listener serves.
pub type Trusted = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

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
    /// Who asks.
    pub peer: IpAddr,
}

impl Request {
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
}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// Serves one listener until shutdown is requested.
pub async fn serve<H: Handler>(listener: TcpListener, handler: Arc<H>, trusted: Trusted, shutdown: Shutdown) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MOST_CONNECTIONS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
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
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(%peer, limit = MOST_CONNECTIONS, "too many connections to the registry; refused one");
            continue;
        };
        let (handler, trusted) = (handler.clone(), trusted.clone());
        let patience = Patience::default();
        let watched = patience.clone();
        let service = hyper::service::service_fn(move |request| {
            patience.asked();
            let (handler, trusted) = (handler.clone(), trusted.clone());
            async move { Ok::<_, Infallible>(respond(&*handler, &trusted, peer, request).await) }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection to the registry ended");
                },
                // The timeout of a head starts only once the protocol's version is known.
                () = watched.lost(HEAD_TIMEOUT) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

async fn respond<H: Handler>(
    handler: &H,
    trusted: &Trusted,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> Response<Body> {
    let peer = peer.ip().to_canonical();
    if !trusted(peer) {
        return handler.refuse(Refusal::Untrusted(peer));
    }
    let (head, body) = request.into_parts();
    match read(body, H::BODY_LIMIT).await {
        Ok(body) => {
            let request = Request { method: head.method, uri: head.uri, headers: head.headers, body, peer };
            handler.answer(request).await
        }
        Err(refusal) => handler.refuse(refusal),
    }
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    match collected {
        Err(_) => Err(Refusal::Body(format!("the body did not arrive within {BODY_TIMEOUT:?}"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::TooLarge(limit)),
        Ok(Err(error)) => Err(Refusal::Body(format!("the body cannot be read: {error}"))),
    }
}

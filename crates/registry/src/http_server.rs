//! The listener: connections, limits, who may talk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use portolan_base::{Patience, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::routes::{Body, Registry, Request, json_answer};
use crate::{Error, Trusted};

/// No registration is larger.
const BODY_LIMIT: usize = 64 << 10;
/// A client that has not sent its request's head by then is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Nor its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at the same time per listener; watchers keep theirs.
const MOST_CONNECTIONS: usize = 8192;
/// How long requests under way get at shutdown; watches never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one listener until shutdown is requested.
pub(crate) async fn serve(listener: TcpListener, registry: Arc<Registry>, trusted: Trusted, shutdown: Shutdown) {
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
        let (registry, trusted) = (registry.clone(), trusted.clone());
        let patience = Patience::default();
        let watched = patience.clone();
        let service = hyper::service::service_fn(move |request| {
            patience.asked();
            let (registry, trusted) = (registry.clone(), trusted.clone());
            async move { Ok::<_, std::convert::Infallible>(respond(&registry, &trusted, peer, request).await) }
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

async fn respond(
    registry: &Registry,
    trusted: &Trusted,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> Response<Body> {
    match answer(registry, trusted, peer, request).await {
        Ok(response) => response,
        Err(error) => json_answer(error.status(), &error.body()),
    }
}

async fn answer(
    registry: &Registry,
    trusted: &Trusted,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let peer = peer.ip().to_canonical();
    if !trusted(peer) {
        return Err(Error::Forbidden(format!(
            "plain HTTP is served to this machine and to pods only, and {peer} is neither; use the API server, over TLS and with a token"
        )));
    }
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let path = head.uri.path().trim_end_matches('/');
    let query = head.uri.query().unwrap_or_default();
    registry.answer(Request { method: &head.method, path, query, body, peer }).await
}

async fn read(body: Incoming) -> Result<Bytes, Error> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect()).await;
    match collected {
        Err(_) => Err(Error::BadRequest(format!("the body did not arrive within {BODY_TIMEOUT:?}"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Error::TooLarge { limit: BODY_LIMIT }),
        Ok(Err(error)) => Err(Error::BadRequest(format!("the body cannot be read: {error}"))),
    }
}

//! Logs over WebSocket, for clients that read no other kind of stream, such as browsers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::channels::{drain, hang_up};
use super::protocol::{goodbye, negotiate};
use super::upgrade::{self, Offer};
use super::{Body, Refusal, Shared};

/// Messages of bytes, or of text that holds them.
const SUPPORTED: &[&str] = &["binary.k8s.io", "base64.binary.k8s.io"];

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let offered = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    offered.is_some_and(|offered| offered.eq_ignore_ascii_case("websocket"))
}

/// Passes the body of an answer on as messages.
pub(super) fn send(
    shared: &Arc<Shared>,
    answer: Response<Body>,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let offer = Offer::of(request.headers())?;
    let (Offer::WebSocket { protocols, .. } | Offer::Spdy { protocols }) = &offer;
    let protocol = match negotiate(protocols, SUPPORTED) {
        Some(protocol) => protocol,
        None if protocols.is_empty() => "",
        None => return Err(upgrade::unknown(protocols, SUPPORTED)),
    };
    let response = upgrade::accept(&offer, protocol);
    let upgraded = hyper::upgrade::on(request);
    let stop = shared.stop.clone();
    shared.streams.spawn(async move {
        let relay = async {
            let io = TokioIo::new(upgraded.await.map_err(|error| error.to_string())?);
            relay(io, answer.into_body(), protocol).await
        };
        if let Some(Err(error)) = stop.run(relay).await {
            tracing::debug!("log over WebSocket ended: {error}");
        }
    });
    Ok(response)
}

/// Sends a body until it ends or the client leaves.
async fn relay<S>(io: S, mut body: Body, protocol: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut sink, mut source) = WebSocketStream::from_raw_socket(io, Role::Server, None).await.split();
    let message = |bytes: Bytes| match protocol {
        "base64.binary.k8s.io" => Message::text(STANDARD.encode(&bytes)),
        _ => Message::Binary(bytes),
    };
    let write = async {
        // An empty message says that the connection stands, however long there is nothing to tell.
        let mut next = Some(Ok(Bytes::new()));
        while let Some(piece) = next {
            let piece = piece.map_err(|error: std::io::Error| error.to_string())?;
            sink.send(message(piece)).await.map_err(|error| error.to_string())?;
            next = loop {
                match body.frame().await {
                    None => break None,
                    Some(Err(error)) => break Some(Err(error)),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => break Some(Ok(bytes)),
                        Err(_) => continue,
                    },
                }
            };
        }
        // A client that is gone does not hear it.
        let _ = sink.send(goodbye()).await;
        Ok::<_, String>(())
    };
    tokio::select! {
        outcome = write => outcome?,
        () = drain(&mut source) => return Ok(()),
    }
    hang_up(source).await;
    Ok(())
}

//! `/portForward`: SPDY, plain or inside a WebSocket; a pair of streams per connection.
//!
//! KEP-4006 describes the tunnel: the bytes of SPDY are the payload of binary messages. Clients without
//! SPDY use channels, see [`websocket_ports`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_base::error::chain;
use portolan_base::relay;
use portolan_runtime::SandboxId;
use portolan_runtime::spdy::{Connection, Limits, Role, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role as WebSocketRole;

use super::protocol::{goodbye, negotiate};
use super::upgrade::{self, Offer};
use super::{Body, Query, Refusal, Shared, find, websocket_ports};

const SPDY_PROTOCOLS: &[&str] = &["portforward.k8s.io"];
const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Bytes on their way between the tunnel and SPDY.
const TUNNEL_BUFFER: usize = 64 << 10;
/// How long the second stream of a pair may take, upstream's `streamCreationTimeout`.
const PAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a pod that has said everything is still told what the client says, as upstream's runtimes do it. Mostly
/// it has closed the connection altogether, and a client may wait for our end.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(500);

pub(super) async fn start(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    query: &Query,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let sandbox = find::sandbox(shared, namespace, name)?;
    let offer = Offer::of(request.headers())?;
    let (protocol, form) = form(&offer, query)?;
    let response = upgrade::accept(&offer, protocol);
    let upgraded = hyper::upgrade::on(request);
    let stream_shared = shared.clone();
    shared.streams.spawn(async move {
        let stop = stream_shared.stop.clone();
        let serve = async {
            let io = TokioIo::new(upgraded.await.map_err(|error| error.to_string())?);
            match form {
                Form::Tunnel => tunnel(&stream_shared, io, &sandbox).await,
                Form::Spdy => serve(&stream_shared, io, &sandbox).await,
                Form::Channels(ports) => websocket_ports::serve(&stream_shared, io, &sandbox, &ports, protocol).await,
            }
        };
        if let Some(Err(error)) = stop.run(serve).await {
            tracing::debug!("port forwarding ended: {error}");
        }
    });
    Ok(response)
}

/// What the bytes of the connection are.
enum Form {
    Spdy,
    Tunnel,
    /// Pairs of channels, one for each port.
    Channels(Vec<u16>),
}

/// The protocol that both sides know, empty if the client named none.
fn form(offer: &Offer, query: &Query) -> Result<(&'static str, Form), Refusal> {
    match offer {
        Offer::Spdy { protocols } if protocols.is_empty() => Ok((SPDY_PROTOCOLS[0], Form::Spdy)),
        Offer::Spdy { protocols } => match negotiate(protocols, SPDY_PROTOCOLS) {
            Some(protocol) => Ok((protocol, Form::Spdy)),
            None => Err(upgrade::unknown(protocols, SPDY_PROTOCOLS)),
        },
        Offer::WebSocket { protocols, .. } if protocols.is_empty() => {
            Ok(("", Form::Channels(websocket_ports::ports(query)?)))
        }
        Offer::WebSocket { protocols, .. } => {
            if negotiate(protocols, &[TUNNEL_PROTOCOL]).is_some() {
                return Ok((TUNNEL_PROTOCOL, Form::Tunnel));
            }
            match negotiate(protocols, websocket_ports::SUPPORTED) {
                Some(protocol) => Ok((protocol, Form::Channels(websocket_ports::ports(query)?))),
                None => Err(upgrade::unknown(protocols, &[&[TUNNEL_PROTOCOL], websocket_ports::SUPPORTED].concat())),
            }
        }
    }
}

/// Serves the SPDY connection inside a WebSocket.
async fn tunnel<S>(shared: &Shared, io: S, sandbox: &SandboxId) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let socket = WebSocketStream::from_raw_socket(io, WebSocketRole::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let (near, far) = tokio::io::duplex(TUNNEL_BUFFER);
    let (mut from_spdy, mut to_spdy) = tokio::io::split(near);
    let inward = async {
        while let Some(Ok(message)) = source.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            if to_spdy.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // SPDY sees the end of its transport.
        let _ = to_spdy.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; TUNNEL_BUFFER];
        while let Ok(count @ 1..) = from_spdy.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = sink.send(goodbye()).await;
    };
    let serve = async { tokio::join!(serve(shared, far, sandbox), outward).0 };
    tokio::pin!(inward, serve);
    tokio::select! {
        outcome = &mut serve => {
            // For the reason that the module gives.
            let _ = tokio::time::timeout(relay::LINGER, inward).await;
            outcome
        }
        () = &mut inward => serve.await,
    }
}

/// Serves pairs of streams until the client leaves.
async fn serve<S>(shared: &Shared, io: S, sandbox: &SandboxId) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let connection = Connection::new(io, Role::Server, Limits::default());
    let mut waiting: HashMap<String, (Stream, tokio::time::Instant)> = HashMap::new();
    let mut forwards = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = connection.accept_stream() => stream.map_err(|error| error.to_string())?,
            Some(_) = forwards.join_next() => continue,
        };
        let Some(stream) = stream else { break };
        waiting.retain(|_, (_, since)| since.elapsed() < PAIR_TIMEOUT);
        let kind = stream.headers().get("streamtype").unwrap_or_default().to_owned();
        let id = match stream.headers().get("requestid") {
            Some(id) => id.to_owned(),
            // Old clients do not number their pairs: the error stream comes right before the data stream.
            None if kind == "error" => stream.id().to_string(),
            None => stream.id().saturating_sub(2).to_string(),
        };
        match waiting.remove(&id) {
            None => {
                waiting.insert(id, (stream, tokio::time::Instant::now()));
            }
            Some((other, _)) => {
                let (data, error) = if kind == "data" { (stream, other) } else { (other, stream) };
                let (runtime, sandbox) = (shared.context.config.runtime.clone(), sandbox.clone());
                forwards.spawn(async move { forward(runtime.as_ref(), &sandbox, data, error).await });
            }
        }
    }
    // What a client said before it left still reaches the pod.
    let forwarded = async { while forwards.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(AFTER_THE_ANSWER, forwarded).await;
    connection.close().await;
    Ok(())
}

/// Connects one pair of streams to a port of the pod.
async fn forward(runtime: &dyn portolan_runtime::Runtime, sandbox: &SandboxId, data: Stream, mut error: Stream) {
    let text = data.headers().get("port").unwrap_or_default().to_owned();
    let outcome = match text.parse::<u16>() {
        Ok(port @ 1..) => copy(runtime, sandbox, port, data).await,
        _ => Err(format!("port {text:?} is not one")),
    };
    if let Err(reason) = outcome {
        let message = refused(&text, sandbox, &reason);
        // The client may have gone meanwhile.
        let _ = error.write_all(message.as_bytes()).await;
    }
    let _ = error.shutdown().await;
}

/// What a client is told about a port that could not be reached.
pub(super) fn refused(port: &str, sandbox: &SandboxId, reason: &str) -> String {
    format!("error forwarding port {port} to pod {}, uid : {reason}", sandbox.0)
}

async fn copy(
    runtime: &dyn portolan_runtime::Runtime,
    sandbox: &SandboxId,
    port: u16,
    data: Stream,
) -> Result<(), String> {
    let (mut from_pod, mut to_pod) = runtime.connect(sandbox, port).await.map_err(|error| chain(&error).to_string())?;
    let (mut from_client, mut to_client) = tokio::io::split(data);
    let inward = async {
        let copied = relay::copy(&mut from_client, &mut to_pod).await;
        let _ = to_pod.shutdown().await;
        copied
    };
    let outward = async {
        let copied = relay::copy(&mut from_pod, &mut to_client).await;
        let _ = to_client.shutdown().await;
        copied
    };
    tokio::pin!(inward, outward);
    // One that the client has half closed may still answer.
    let outcome = tokio::select! {
        outcome = &mut outward => {
            let _ = tokio::time::timeout(AFTER_THE_ANSWER, &mut inward).await;
            outcome
        }
        outcome = &mut inward => match outcome {
            Ok(()) => outward.await,
            Err(error) => Err(error),
        },
    };
    outcome.map_err(|error| error.to_string())
}

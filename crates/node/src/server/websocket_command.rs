//! Remote commands over WebSocket: each message begins with the number of its channel.
//!
//! <https://kubernetes.io/docs/reference/using-api/websockets/>, KEP-4006.

use futures::StreamExt as _;
use portolan_runtime::{ExecSession, StreamOptions};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use super::channels::{self, Codec, Messages, QUEUE, pump};
use super::command::{Command, failure};
use super::protocol::{CLOSE, ERROR, Ending, RESIZE, STDERR, STDIN, STDOUT, terminal_size};

/// Newest first.
pub(super) const SUPPORTED: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io"];

/// A version of the protocol.
#[derive(Clone, Copy)]
struct Version {
    codec: Codec,
    /// The error channel carries a Status object.
    status: bool,
    /// There is a message that ends a channel.
    closes: bool,
}

/// Serves one command until it ends or the client leaves.
pub(super) async fn serve<S>(shared: &Shared, io: S, command: &Command, protocol: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let codec = Codec { base64: protocol.starts_with("base64") };
    let version = Version {
        codec,
        status: matches!(protocol, "v5.channel.k8s.io" | "v4.channel.k8s.io"),
        closes: protocol == "v5.channel.k8s.io",
    };
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (sink, source) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let work = async {
        // Owned here, so that the writer ends with this.
        let (sender, mut source) = (sender, source);
        // An empty message says that the connection stands; on the lowest channel that the client
        // reads, as upstream does it: clients complain about channels that they do not expect.
        let StreamOptions { stdout, stderr, .. } = command.options;
        let lowest = if stdout {
            STDOUT
        } else if stderr {
            STDERR
        } else {
            ERROR
        };
        codec.send(&sender, lowest, &[]).await;
        let ending = match command.start(shared).await {
            Ok(session) => relay(session, &mut source, &sender, version).await,
            Err(message) => Some(Ending::Failed(message)),
        };
        if let Some(ending) = ending {
            let text = if version.status { ending.status() } else { ending.text() };
            if !text.is_empty() {
                codec.send(&sender, ERROR, text.as_bytes()).await;
            }
        }
        source
    };
    channels::serve(work, sink, receiver).await
}

/// Connects a command and a client; `None` if the client left first.
async fn relay(
    session: ExecSession,
    source: &mut impl Messages,
    sender: &mpsc::Sender<Message>,
    version: Version,
) -> Option<Ending> {
    let codec = version.codec;
    let ExecSession { mut stdin, stdout, stderr, resize, exit } = session;
    let output = async {
        tokio::join!(pump(stdout, STDOUT, sender, codec), pump(stderr, STDERR, sender, codec));
        match exit.await {
            Ok(Ok(code)) => Ending::Exited(code),
            Ok(Err(error)) => Ending::Failed(failure(&error)),
            Err(_) => Ending::Failed("the runtime did not say how the command ended".to_owned()),
        }
    };
    let input = async {
        while let Some(Ok(message)) = source.next().await {
            let message = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) if codec.base64 => text.into(),
                Message::Close(_) => return,
                // Pings are answered by the library.
                _ => continue,
            };
            let Some((channel, payload)) = codec.receive(&message) else { continue };
            match channel {
                STDIN => {
                    if let Some(writer) = &mut stdin
                        && (writer.write_all(&payload).await.is_err() || writer.flush().await.is_err())
                    {
                        // The command no longer reads; it may still write.
                        stdin = None;
                    }
                }
                RESIZE => {
                    if let Some(size) = terminal_size(&payload) {
                        // A command that has ended has no terminal any more.
                        let _ = resize.send(size).await;
                    }
                }
                CLOSE if version.closes && payload.first() == Some(&STDIN) => {
                    if let Some(mut writer) = stdin.take() {
                        let _ = writer.shutdown().await;
                    }
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        ending = output => Some(ending),
        () = input => None,
    }
}

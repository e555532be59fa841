//! Remote commands over WebSocket: each message begins with the number of its channel.
//!
//! <https://kubernetes.io/docs/reference/using-api/websockets/>, KEP-4006.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt as _, StreamExt as _};
use portolan_runtime::{ExecSession, Reader, StreamOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use super::command::{Command, failure};
use super::protocol::{CLOSE, ERROR, Ending, RESIZE, STDERR, STDIN, STDOUT, goodbye, terminal_size};

/// Newest first.
pub(super) const SUPPORTED: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io"];

/// Messages that wait for a slow client; more make the command wait.
const QUEUE: usize = 16;
const CHUNK: usize = 32 << 10;

/// Serves one command until it ends or the client leaves.
pub(super) async fn serve<S>(shared: &Shared, io: S, command: &Command, protocol: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let codec = Codec {
        base64: protocol.starts_with("base64"),
        status: matches!(protocol, "v5.channel.k8s.io" | "v4.channel.k8s.io"),
        closes: protocol == "v5.channel.k8s.io",
    };
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let (sender, mut receiver) = mpsc::channel::<Message>(QUEUE);
    let write = async {
        while let Some(message) = receiver.recv().await {
            sink.send(message).await.map_err(|error| error.to_string())?;
        }
        // A client that is gone does not hear it.
        let _ = sink.send(goodbye()).await;
        Ok(())
    };
    let work = async {
        // Owned here, so that the writer ends with this.
        let sender = sender;
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
            Ok(session) => relay(session, &mut source, &sender, codec).await,
            Err(message) => Some(Ending::Failed(message)),
        };
        if let Some(ending) = ending {
            let text = if codec.status { ending.status() } else { ending.text() };
            if !text.is_empty() {
                codec.send(&sender, ERROR, text.as_bytes()).await;
            }
        }
    };
    let ((), written) = tokio::join!(work, write);
    written
}

/// Connects a command and a client; `None` if the client left first.
async fn relay<S>(session: ExecSession, source: &mut S, sender: &mpsc::Sender<Message>, codec: Codec) -> Option<Ending>
where
    S: futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
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
                CLOSE if codec.closes && payload.first() == Some(&STDIN) => {
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

/// Sends what comes out of `reader` until it ends or the client is gone.
pub(super) async fn pump(reader: Option<Reader>, channel: u8, sender: &mpsc::Sender<Message>, codec: Codec) {
    let Some(mut reader) = reader else { return };
    let mut buffer = vec![0; CHUNK];
    // A read that fails is the end of the output; how the command ended is said by its exit.
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        if !codec.send(sender, channel, &buffer[..count]).await {
            return;
        }
    }
}

/// How messages look in a version of the protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec {
    /// Text messages: a digit for the channel, then base64.
    base64: bool,
    /// The error channel carries a Status object.
    status: bool,
    /// There is a message that ends a channel.
    closes: bool,
}

impl Codec {
    /// Channels of bytes and nothing else.
    pub(super) fn plain(base64: bool) -> Self {
        Self { base64, status: false, closes: false }
    }

    /// Whether the client still listens.
    pub(super) async fn send(self, sender: &mpsc::Sender<Message>, channel: u8, payload: &[u8]) -> bool {
        let message = if self.base64 {
            Message::text(format!("{}{}", char::from(b'0'.saturating_add(channel)), STANDARD.encode(payload)))
        } else {
            let mut bytes = Vec::with_capacity(payload.len() + 1);
            bytes.push(channel);
            bytes.extend_from_slice(payload);
            Message::binary(bytes)
        };
        sender.send(message).await.is_ok()
    }

    /// The channel and the bytes of a message.
    pub(super) fn receive(self, message: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (channel, payload) = message.split_first()?;
        if self.base64 {
            return Some((channel.checked_sub(b'0')?, STANDARD.decode(payload).ok()?));
        }
        Some((*channel, payload.to_vec()))
    }
}

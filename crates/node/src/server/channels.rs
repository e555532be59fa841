//! Channels of a WebSocket: each message begins with the number of its channel.
//!
//! <https://kubernetes.io/docs/reference/using-api/websockets/>, KEP-4006.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use portolan_base::relay::LINGER;
use portolan_runtime::Reader;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::protocol::goodbye;

/// Messages that wait for a slow side; more make the other one wait.
pub(super) const QUEUE: usize = 16;
const CHUNK: usize = 32 << 10;

/// Sends messages while `work` makes them. It gives back what the client says, who is to hang up then.
pub(super) async fn serve<M: Messages>(
    work: impl Future<Output = M>,
    sink: impl Sink<Message, Error = Error> + Unpin,
    messages: mpsc::Receiver<Message>,
) -> Result<(), String> {
    let told = CancellationToken::new();
    let write = async {
        let written = write(sink, messages).await;
        told.cancel();
        written
    };
    let read = async {
        let mut source = work.await;
        tokio::select! { () = drain(&mut source) => return, () = told.cancelled() => {} }
        hang_up(source).await;
    };
    tokio::join!(write, read).0
}

/// Waits until a client that was told everything hangs up. What it still says is read, for the reason that
/// [`portolan_base::relay`] gives.
pub(super) async fn hang_up(mut source: impl Messages) {
    // One that takes longer is not waiting for anything.
    let _ = tokio::time::timeout(LINGER, drain(&mut source)).await;
}

/// Reads what a client says until it hangs up.
pub(super) async fn drain(source: &mut impl Messages) {
    while let Some(Ok(_)) = source.next().await {}
}

/// What a client says.
pub(super) trait Messages: Stream<Item = Result<Message, Error>> + Unpin {}

impl<S: Stream<Item = Result<Message, Error>> + Unpin> Messages for S {}

/// Sends messages as they come, and says goodbye once nobody has more.
async fn write(
    mut sink: impl Sink<Message, Error = Error> + Unpin,
    mut messages: mpsc::Receiver<Message>,
) -> Result<(), String> {
    while let Some(message) = messages.recv().await {
        sink.send(message).await.map_err(|error| error.to_string())?;
    }
    // A client that is gone does not hear it.
    let _ = sink.send(goodbye()).await;
    Ok(())
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

/// How messages look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec {
    /// Text messages: a character for the channel, then base64.
    pub(super) base64: bool,
}

impl Codec {
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

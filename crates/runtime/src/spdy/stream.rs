//! One stream of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Shared;
use super::frame::ResetReason;
use super::headers::Headers;
use super::state::{Finish, SEND_BUFFER};

/// One stream: reads what the peer sends on it, writes to the peer.
///
/// Shutting it down ends only the writing half; reading goes on until the peer does the same. A
/// stream that the peer reset gives what had arrived and then [`io::ErrorKind::ConnectionReset`].
/// Dropping a stream that was not shut down resets it.
#[derive(Debug)]
pub struct Stream {
    id: u32,
    headers: Headers,
    shared: Arc<Shared>,
}

impl Stream {
    pub(super) fn new(id: u32, headers: Headers, shared: Arc<Shared>) -> Self {
        Self { id, headers, shared }
    }

    /// Its number within the connection.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What the side that opened the stream sent along.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Ends both directions at once; data not sent yet is lost.
    pub fn reset(&self, reason: ResetReason) {
        self.shared.state.lock().reset(self.id, reason);
        self.shared.changed();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.state.lock().abandon(self.id);
        self.shared.changed();
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection of this stream has ended")
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        let ended = state.ended.is_some();
        let Some(stream) = state.streams.get_mut(&self.id) else { return Poll::Ready(Err(gone())) };
        let mut taken = 0;
        while buffer.remaining() > 0 {
            let Some(chunk) = stream.received.front_mut() else { break };
            let length = chunk.len().min(buffer.remaining());
            buffer.put_slice(&chunk[..length]);
            chunk.advance(length);
            taken += length;
            if chunk.is_empty() {
                stream.received.pop_front();
            }
        }
        if taken > 0 {
            stream.received_bytes -= taken;
            state.consumed(self.id, taken);
            drop(state);
            self.shared.changed();
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 || stream.receive_finished {
            return Poll::Ready(Ok(()));
        }
        if stream.reset.is_some() {
            let error = io::Error::new(io::ErrorKind::ConnectionReset, "the peer reset the stream");
            return Poll::Ready(Err(error));
        }
        if ended {
            return Poll::Ready(Err(gone()));
        }
        stream.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state.lock();
        let ended = state.takes_nothing();
        let Some(stream) = state.streams.get_mut(&self.id).filter(|_| !ended) else { return Poll::Ready(Err(gone())) };
        if let Some(error) = stream.write_failure() {
            return Poll::Ready(Err(error));
        }
        let room = SEND_BUFFER.saturating_sub(stream.to_send.len());
        if room == 0 {
            stream.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = room.min(data.len());
        stream.to_send.extend_from_slice(&data[..length]);
        state.mark_ready(self.id);
        drop(state);
        self.shared.changed();
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        let ended = state.takes_nothing();
        let Some(stream) = state.streams.get_mut(&self.id).filter(|_| !ended) else { return Poll::Ready(Err(gone())) };
        if stream.reset.is_some() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer reset the stream")));
        }
        if stream.to_send.is_empty() {
            return Poll::Ready(Ok(()));
        }
        stream.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        let ended = state.takes_nothing();
        let Some(stream) = state.streams.get_mut(&self.id) else { return Poll::Ready(Ok(())) };
        if stream.reset.is_some() || stream.finish == Finish::Sent || ended {
            return Poll::Ready(Ok(()));
        }
        stream.writer = Some(context.waker().clone());
        if stream.finish == Finish::Open {
            stream.finish = Finish::Asked;
            state.mark_ready(self.id);
            drop(state);
            self.shared.changed();
        }
        Poll::Pending
    }
}

//! Fewer and larger writes to a socket.
//!
//! HTTP/2 flushes after every frame, 16 KiB at most, and TLS writes what it is given: a long list would be as many
//! system calls, packets and wake-ups of its reader. A [`Cork`] keeps what is written until whoever drives the
//! connection has let it do all it can, or until there is a packet full of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is kept at most: the largest packet that the kernel takes from one call without splitting it.
const MOST: usize = 64 * 1024;

/// Memory that a quiet connection keeps.
const KEPT: usize = 4 * 1024;

/// A socket whose writes are put together once it is [`Handle::close`]d.
pub(crate) struct Cork<S>(Arc<Mutex<Inner<S>>>);

/// The driver's side of a [`Cork`].
pub(crate) struct Handle<S>(Arc<Mutex<Inner<S>>>);

struct Inner<S> {
    socket: S,
    closed: bool,
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
    /// Why nothing can be written any more.
    broken: Option<io::ErrorKind>,
}

impl<S: Unpin> Cork<S> {
    /// Open at first: writes go to the socket at once.
    pub(crate) fn new(socket: S) -> (Self, Handle<S>) {
        let inner =
            Arc::new(Mutex::new(Inner { socket, closed: false, waiting: Vec::new(), written: 0, broken: None }));
        (Self(inner.clone()), Handle(inner))
    }
}

impl<S: AsyncWrite + Unpin> Handle<S> {
    /// From now on writes wait for [`Self::poll_drain`].
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Writes what waits. If that fails it is lost, and so is every later write.
    pub(crate) fn drain(&self, context: &mut Context<'_>) {
        let mut inner = self.0.lock();
        if inner.broken.is_none()
            && let Poll::Ready(Err(error)) = inner.poll_drain(context)
        {
            tracing::debug!(%error, "a connection cannot be written to");
            // It shows there in the next read or write.
            context.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(self.poll_rest(context));
        self.broken = outcome.as_ref().err().map(io::Error::kind);
        self.written = 0;
        self.waiting.clear();
        if self.waiting.capacity() > KEPT {
            self.waiting = Vec::new();
        }
        Poll::Ready(outcome)
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.broken {
            return Poll::Ready(Err(kind.into()));
        }
        while self.written < self.waiting.len() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(context, &self.waiting[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if !inner.closed || inner.broken.is_some() || inner.waiting.len() + length > MOST {
            ready!(inner.poll_drain(context))?;
        }
        if !inner.closed || length > MOST {
            return Pin::new(&mut inner.socket).poll_write_vectored(context, parts);
        }
        inner.waiting.reserve(length);
        parts.iter().for_each(|part| inner.waiting.extend_from_slice(part));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.closed {
            return Poll::Ready(Ok(()));
        }
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.socket).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().socket).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn writes_wait_for_the_driver_or_for_a_full_packet() {
        let (ours, mut theirs) = tokio::io::duplex(4 * MOST);
        let (mut cork, handle) = Cork::new(ours);
        let mut buffer = vec![0; 4 * MOST];

        cork.write_all(b"open").await.expect("it is open");
        assert_eq!(theirs.read(&mut buffer).await.expect("it arrived"), 4);

        handle.close();
        cork.write_all(b"a").await.expect("it is kept");
        cork.write_all(b"b").await.expect("it is kept");
        cork.flush().await.expect("nothing is flushed");
        handle.drain(&mut Context::from_waker(std::task::Waker::noop()));
        assert_eq!(theirs.read(&mut buffer).await.expect("it arrived"), 2);

        let half = vec![b'c'; MOST / 2 + 1];
        cork.write_all(&half).await.expect("it is kept");
        cork.write_all(&half).await.expect("makes the first one go");
        assert_eq!(theirs.read(&mut buffer).await.expect("it arrived"), half.len());
        cork.shutdown().await.expect("what is left goes first");
        assert_eq!(theirs.read(&mut buffer).await.expect("it arrived"), half.len());
        assert_eq!(theirs.read(&mut buffer).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn a_full_pipe_holds_the_writer_back() {
        let (ours, mut theirs) = tokio::io::duplex(MOST / 4);
        let (mut cork, handle) = Cork::new(ours);
        handle.close();
        let sent: Vec<u8> = (0..3 * MOST).map(|index| (index % 251) as u8).collect();
        let expected = sent.clone();
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.map(|_| received)
        });
        for part in sent.chunks(MOST / 3) {
            cork.write_all(part).await.expect("the reader goes on");
        }
        cork.shutdown().await.expect("the reader goes on");
        drop((cork, handle));
        assert!(reader.await.expect("it reads").expect("to the end") == expected);
    }
}

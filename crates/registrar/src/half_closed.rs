//! Clients that say that they have sent all (`shutdown(SHUT_WR)`, `printf ... | nc`) and wait for their answer.
//!
//! To the other side this looks as if the client were gone, until something is sent to it. So the end of what it sends is
//! told a little later while an answer is made: time enough for an answer, and whoever waits for a change without a
//! client does so no longer than that. A stream of events needs no such time: who reads one keeps its side open.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::http::Body;

/// How long an answer may take for a client that has sent all; registering takes milliseconds.
pub(crate) const LONGEST_ANSWER: Duration = Duration::from_secs(1);

/// Requests of a connection that have no whole answer yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Arc<AtomicUsize>);

/// One of them.
pub(crate) struct Open(Asked);

impl Asked {
    /// Counts a request until what is returned is dropped.
    pub(crate) fn one(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Open {
    /// Counts the request until its answer is written, unless that goes on for ever.
    pub(crate) fn until_written(self, answer: Response<Body>) -> Response<Answer> {
        let ends = answer.body().size_hint().exact().is_some();
        answer.map(|body| Answer { body, _open: ends.then_some(self) })
    }
}

/// A body whose request is open as long as it is not written, if it is of a known size.
pub(crate) struct Answer {
    body: Body,
    _open: Option<Open>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose end of input is told later while an answer is made.
pub(crate) struct Lingering<S> {
    /// What was read from it before.
    unread: Bytes,
    stream: S,
    asked: Asked,
    has_ended: bool,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(unread: Bytes, stream: S, asked: Asked) -> Self {
        Self { unread, stream, asked, has_ended: false, patience: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = buffer.remaining().min(self.unread.len());
            buffer.put_slice(&self.unread.split_to(count));
            return Poll::Ready(Ok(()));
        }
        if !self.has_ended {
            let (before, room) = (buffer.filled().len(), buffer.remaining());
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > before || room == 0 {
                return Poll::Ready(Ok(()));
            }
            self.has_ended = true;
        }
        if self.asked.is_none() {
            return Poll::Ready(Ok(()));
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(LONGEST_ANSWER)));
        patience.as_mut().poll(context).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_base::{Shutdown, TaskGroup};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::http::{Handler, Listener, Refusal, Request, full, serve};

    /// Answers when it is told to, and says when it is asked and when it is no longer wanted.
    struct Slow {
        events: mpsc::UnboundedSender<&'static str>,
        go: Arc<Notify>,
    }

    struct Unwanted(mpsc::UnboundedSender<&'static str>);

    impl Drop for Unwanted {
        fn drop(&mut self) {
            // The test may be over.
            let _ = self.0.send("over");
        }
    }

    impl Handler for Slow {
        const BODY_LIMIT: usize = 1 << 20;

        async fn answer(&self, request: Request) -> Response<Body> {
            let _over = Unwanted(self.events.clone());
            let _ = self.events.send("asked");
            self.go.notified().await;
            Response::new(full(request.body.repeat(1000)))
        }

        fn refuse(&self, refusal: Refusal) -> Response<Body> {
            Response::new(full(refusal.to_string()))
        }
    }

    #[tokio::test]
    async fn a_client_that_has_sent_all_gets_its_answer_and_one_that_is_gone_is_not_waited_for() {
        let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("an address");
        let (events, mut heard) = mpsc::unbounded_channel();
        let go = Arc::new(Notify::new());
        let handler = Arc::new(Slow { events, go: go.clone() });
        tasks.spawn("server", serve(Listener::plain(socket, Arc::new(|_| true)), handler, shutdown.clone()));
        let request = b"PUT /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";

        let mut client = TcpStream::connect(address).await.expect("connects");
        client.write_all(request).await.expect("sent");
        client.shutdown().await.expect("half closed");
        assert_eq!(heard.recv().await, Some("asked"));
        // Long enough for the server to read the end of what is sent.
        let (mut other, end) = (TcpStream::connect(address).await.expect("connects"), b"GET / HTTP/1.0\r\n\r\n");
        other.write_all(end).await.expect("sent");
        assert_eq!(heard.recv().await, Some("asked"));
        go.notify_waiters();
        let (mut answer, mut answer_of_other) = (Vec::new(), Vec::new());
        client.read_to_end(&mut answer).await.expect("an answer");
        other.read_to_end(&mut answer_of_other).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&"hello".repeat(1000)),
            "{} bytes",
            answer.len()
        );
        assert_eq!((heard.recv().await, heard.recv().await), (Some("over"), Some("over")));

        let mut gone = TcpStream::connect(address).await.expect("connects");
        gone.write_all(request).await.expect("sent");
        assert_eq!(heard.recv().await, Some("asked"));
        drop(gone);
        let over = tokio::time::timeout(LONGEST_ANSWER * 10, heard.recv()).await;
        assert_eq!(over.expect("nobody waits for ever"), Some("over"));
        shutdown.request();
        assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
    }
}

//! The short way of ordinary requests over HTTP/1.1.
//!
//! Nearly all that clients of a registry send is a small request of one plain form, on a connection that stays. Such a
//! request is read, answered and written here: one read, the handler called where the bytes are, one write. Whatever else
//! there is goes to hyper with all that was read ([`Rest`]), so that there is one behaviour.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod both;
mod encode;
mod head;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep};

use self::encode::{After, Length};
use self::head::{Begin, Ordinary};
use crate::body::Body;
use crate::half_closed::LONGEST_ANSWER;
use crate::http::{Door, HEAD_TIMEOUT, Handler, Request};

/// As much is read at once, into the stack. A connection that was not asked yet has no buffer, and an idle one keeps room
/// for about as much.
const READ: usize = 8 << 10;
/// Bodies up to this are copied behind their heads; larger ones are written from where they are.
const COPIED: usize = 16 << 10;
/// A body that is not whole by then, whose head is there, is left to hyper, which has a limit of its own for it.
const REST_OF_BODY: Duration = Duration::from_millis(200);
/// Answers to requests that came together are written together up to this.
const TOGETHER: usize = 64 << 10;

/// How a connection leaves the short way.
pub(crate) enum Left {
    /// It is over.
    Over,
    /// Hyper is to go on.
    Unusual(Rest),
}

/// What is left to hyper of a connection.
#[derive(Default)]
pub(crate) struct Rest {
    /// What was read and not answered.
    pub(crate) unread: Bytes,
    /// The answer to the first request of that, if there is one already.
    pub(crate) answer: Option<Response<Body>>,
    /// Whether something was answered before.
    pub(crate) asked: bool,
}

/// Tells the connections of a listener to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    requested: AtomicBool,
    told: Notify,
}

impl Stop {
    /// Idle connections end; others when they have answered.
    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// A connection while it is served here.
struct Connection<'a, S> {
    stream: &'a mut S,
    /// Read and not looked at.
    unread: BytesMut,
    /// Whether `unread` shares its memory with a large request.
    has_large_room: bool,
    /// Answers that are to be written.
    out: Vec<u8>,
    /// The client sends nothing more.
    has_ended: bool,
    stop: &'a Stop,
}

/// Answers ordinary requests until there is another, or the connection ends.
pub(crate) async fn serve<H: Handler, S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    handler: &H,
    door: &Door,
    peer: IpAddr,
    stop: &Stop,
) -> io::Result<Left> {
    let (clock, told) = (pin!(tokio::time::sleep(HEAD_TIMEOUT)), pin!(stop.told.notified()));
    let mut silence = Silence::new(clock, told);
    let mut connection = Connection::new(stream, stop);
    let (mut asked, mut seen, mut rest_of_body) = (false, 0, None);
    loop {
        // Of the first bytes of a connection hyper says at once that they are no HTTP/2 after all.
        if !asked && connection.unread.starts_with(b"PRI") {
            return Ok(connection.unusual(Bytes::new(), None, asked));
        }
        let request = match head::take(&mut connection.unread, seen, H::BODY_LIMIT) {
            Begin::Request(request) => request,
            Begin::Part => {
                seen = connection.unread.len();
                connection.write().await?;
                match connection.more(&mut silence).await? {
                    More::Bytes => continue,
                    More::End | More::Stop => {
                        connection.stream.shutdown().await?;
                        return Ok(Left::Over);
                    }
                    More::Silence => return Ok(Left::Over),
                }
            }
            Begin::PartOfBody => {
                seen = 0;
                connection.write().await?;
                let until = *rest_of_body.get_or_insert_with(|| Instant::now() + REST_OF_BODY);
                let more = poll_fn(|context| connection.poll_read(context));
                match tokio::time::timeout_at(until, more).await {
                    Ok(Ok(read)) if read > 0 => continue,
                    _ => return Ok(connection.unusual(Bytes::new(), None, asked)),
                }
            }
            Begin::Unusual(taken) => {
                connection.write().await?;
                return Ok(connection.unusual(taken, None, asked));
            }
        };
        let Ordinary { method, uri, headers, body, raw } = request;
        let answer = async {
            match door.caller(handler, peer, &headers, &uri).await {
                Ok(caller) => handler.answer(Request { method, uri, headers, body, peer, caller }).await,
                Err(refusal) => handler.refuse(refusal),
            }
        };
        // Not part of this future, which an idle connection has too.
        let Some(answer) = connection.wait(Box::pin(answer)).await? else { return Ok(Left::Over) };
        match connection.put(answer).await? {
            Put::Written => {}
            Put::Unusual(answer) => {
                connection.write().await?;
                return Ok(connection.unusual(raw, Some(answer), true));
            }
        }
        connection.answered(raw.len());
        (asked, seen, rest_of_body) = (true, 0, None);
        silence.restart();
        if stop.is_requested() {
            connection.write().await?;
            connection.stream.shutdown().await?;
            return Ok(Left::Over);
        }
    }
}

/// What came when more was waited for.
enum More {
    Bytes,
    /// The client sends nothing more.
    End,
    /// Nothing, for long enough.
    Silence,
    /// The word to end.
    Stop,
}

/// What became of an answer.
enum Put {
    /// It is written, or will be.
    Written,
    /// It is none for this way.
    Unusual(Response<Body>),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    fn new(stream: &'a mut S, stop: &'a Stop) -> Self {
        Self { stream, unread: BytesMut::new(), has_large_room: false, out: Vec::new(), has_ended: false, stop }
    }

    /// A request of this length was answered. What is unread shares its memory, which would be kept for as long as the
    /// connection is: that of a large one is given up once nothing is left in it.
    fn answered(&mut self, length: usize) {
        self.has_large_room |= length > READ;
        if self.has_large_room && self.unread.is_empty() {
            (self.unread, self.has_large_room) = (BytesMut::new(), false);
        }
    }

    fn unusual(self, taken: Bytes, answer: Option<Response<Body>>, asked: bool) -> Left {
        let unread = match taken.is_empty() {
            true => self.unread.freeze(),
            false => [&taken[..], &self.unread].concat().into(),
        };
        Left::Unusual(Rest { unread, answer, asked })
    }

    /// Reads what there is; zero means that nothing more will come.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *self.stream).poll_read(context, &mut buffer))?;
        self.unread.extend_from_slice(buffer.filled());
        self.has_ended = buffer.filled().is_empty();
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Waits for more of a head.
    async fn more(&mut self, silence: &mut Silence<'_, '_>) -> io::Result<More> {
        if self.has_ended {
            return Ok(More::End);
        }
        poll_fn(|context| {
            if self.stop.is_requested() && self.unread.is_empty() {
                return Poll::Ready(Ok(More::Stop));
            }
            if let Poll::Ready(read) = self.poll_read(context)? {
                return Poll::Ready(Ok(if read == 0 { More::End } else { More::Bytes }));
            }
            silence.poll(context).map(Ok)
        })
        .await
    }

    /// Waits for an answer; none if the client is gone.
    async fn wait(
        &mut self,
        mut answer: Pin<Box<impl Future<Output = Response<Body>>>>,
    ) -> io::Result<Option<Response<Body>>> {
        let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        if let Poll::Ready(answer) = first {
            return Ok(Some(answer));
        }
        // It may take its time, and the answers before it do not wait for it.
        self.write().await?;
        tokio::select! {
            biased;
            answer = answer => Ok(Some(answer)),
            gone = self.gone() => gone.map(|()| None),
        }
    }

    /// Completes once nobody waits for an answer any more; see [`crate::half_closed`].
    async fn gone(&mut self) -> io::Result<()> {
        // Who has sent more is not asked whether more will come.
        if !self.has_ended && self.unread.is_empty() {
            poll_fn(|context| self.poll_read(context)).await?;
        }
        if self.has_ended {
            tokio::time::sleep(LONGEST_ANSWER).await;
            return Ok(());
        }
        std::future::pending().await
    }

    /// Adds an answer to what is to be written.
    async fn put(&mut self, answer: Response<Body>) -> io::Result<Put> {
        let Some(length) = answer.body().whole().map(Bytes::len) else { return Ok(Put::Unusual(answer)) };
        let (head, body) = answer.into_parts();
        let after = if self.stop.is_requested() { After::Closes } else { After::Stays };
        let copied = if length <= COPIED { length } else { 0 };
        let Some(has_body) = encode::head(&mut self.out, &head, Length { body: length, copied }, after) else {
            return Ok(Put::Unusual(Response::from_parts(head, body)));
        };
        match body.whole() {
            Some(bytes) if has_body && length <= COPIED => self.out.extend_from_slice(bytes),
            Some(bytes) if has_body => {
                let out = std::mem::take(&mut self.out);
                let mut all = (&out[..]).chain(bytes.clone());
                self.stream.write_all_buf(&mut all).await?;
                self.stream.flush().await?;
            }
            _ => {}
        }
        if self.unread.is_empty() || self.out.len() > TOGETHER {
            self.write().await?;
        }
        Ok(Put::Written)
    }

    /// Writes what is to be written; an idle connection keeps no room for it.
    async fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).await?;
        self.stream.flush().await
    }
}

/// How long a connection may be silent, or its head incomplete, and whether it is to end.
///
/// Asked for each request, so both are set up once: the clock is wound again when it rings too early, and who tells to end
/// is listened to once. A task is woken by one waker all its life, so that is enough.
struct Silence<'a, 'b> {
    clock: Pin<&'a mut Sleep>,
    until: Instant,
    told: Option<Pin<&'a mut Notified<'b>>>,
}

impl<'a, 'b> Silence<'a, 'b> {
    fn new(clock: Pin<&'a mut Sleep>, told: Pin<&'a mut Notified<'b>>) -> Self {
        Self { until: clock.deadline(), clock, told: Some(told) }
    }

    fn restart(&mut self) {
        self.until = Instant::now() + HEAD_TIMEOUT;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<More> {
        if let Some(told) = self.told.take()
            && told.poll(context).is_ready()
        {
            return Poll::Ready(More::Stop);
        }
        loop {
            ready!(self.clock.as_mut().poll(context));
            if Instant::now() >= self.until {
                return Poll::Ready(More::Silence);
            }
            self.clock.as_mut().reset(self.until);
        }
    }
}

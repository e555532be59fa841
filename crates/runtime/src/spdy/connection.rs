//! The connection: one task that reads, one that writes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::frame::{Control, FLAG_FIN, HEADER_LENGTH, Header};
use super::headers::{Compressor, Decompressor, Headers};
use super::state::{Outgoing, State};
use super::stream::Stream;
use super::{Error, Limits, Role};

/// A peer that takes longer to accept the last bytes, or to hang up then, is gone; nobody waits for it any further.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest piece of a data frame that is handed on at once.
const READ_CHUNK: usize = 64 * 1024;
/// Room for what surrounds a header block in a control frame, and for settings.
const CONTROL_OVERHEAD: usize = 4096;

/// A SPDY connection over any byte stream.
///
/// Two tasks serve it; they end with [`Connection::close`], with the transport, or when the
/// connection is dropped. Streams outlive none of these.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
    finished: watch::Receiver<Finished>,
}

/// Which of the two tasks have nothing to do any more.
#[derive(Debug, Clone, Copy, Default)]
struct Finished {
    reading: bool,
    writing: bool,
}

/// What streams and the two tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    to_send: Notify,
    room: Notify,
    accepted: Notify,
}

impl Shared {
    /// Wakes both tasks after the state changed.
    pub(super) fn changed(&self) {
        self.to_send.notify_one();
        self.room.notify_one();
    }

    fn end(&self, error: Error) {
        self.state.lock().end(error);
        self.accepted.notify_waiters();
        self.changed();
    }
}

impl Connection {
    /// Serves `io` as `role`, after whatever handshake led to SPDY.
    pub fn new<T>(io: T, role: Role, limits: Limits) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(role, limits)),
            to_send: Notify::new(),
            room: Notify::new(),
            accepted: Notify::new(),
        });
        let (finish, finished) = watch::channel(Finished::default());
        let (reader, writer) = tokio::io::split(io);
        let mut tasks = JoinSet::new();
        let (reading, read_finish) = (shared.clone(), finish.clone());
        tasks.spawn(async move {
            let error = read(reader, &reading, limits).await.err().unwrap_or(Error::Closed);
            reading.end(error);
            read_finish.send_modify(|finished| finished.reading = true);
        });
        let writing = shared.clone();
        tasks.spawn(async move {
            // A peer that takes nothing more may have said something before: that is the reading task's affair.
            if let Err(error) = write(writer, &writing).await {
                tracing::debug!("write to a SPDY connection: {error}");
            }
            writing.state.lock().fall_silent();
            writing.accepted.notify_waiters();
            finish.send_modify(|finished| finished.writing = true);
        });
        Self { shared, tasks: Mutex::new(tasks), finished }
    }

    /// The next stream that the peer opens, already answered; `None` once the connection has ended.
    pub async fn accept_stream(&self) -> Result<Option<Stream>, Error> {
        loop {
            let notified = self.shared.accepted.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut state = self.shared.state.lock();
                if let Some((id, headers)) = state.accepted.pop_front() {
                    state.send(Outgoing::Reply { stream: id, headers: Headers::new() });
                    drop(state);
                    self.shared.changed();
                    return Ok(Some(Stream::new(id, headers, self.shared.clone())));
                }
                match &state.ended {
                    // Whoever opens a stream wants to hear of it.
                    None if state.is_mute => return Ok(None),
                    None => {}
                    Some(Error::Closed | Error::Transport(_)) => return Ok(None),
                    Some(error) => return Err(error.clone()),
                }
            }
            notified.await;
        }
    }

    /// Opens a stream and waits until the peer accepted it.
    pub async fn open_stream(&self, headers: Headers) -> Result<Stream, Error> {
        let id = self.shared.state.lock().open(headers.clone())?;
        let stream = Stream::new(id, headers, self.shared.clone());
        self.shared.changed();
        poll_fn(|context| {
            let mut state = self.shared.state.lock();
            let ended = state.ended.clone().or(state.is_mute.then_some(Error::Closed));
            let Some(known) = state.streams.get_mut(&id) else { return Poll::Ready(Err(Error::Closed)) };
            if known.replied {
                return Poll::Ready(Ok(()));
            }
            if let Some(reason) = known.reset {
                return Poll::Ready(Err(Error::Reset(reason)));
            }
            if let Some(error) = ended {
                return Poll::Ready(Err(error));
            }
            known.opener = Some(context.waker().clone());
            Poll::Pending
        })
        .await?;
        Ok(stream)
    }

    /// Completes when nothing can be sent any more, whoever ended the connection.
    pub async fn ended(&self) {
        self.finished(|finished| finished.writing).await;
    }

    async fn finished(&self, far_enough: impl FnMut(&Finished) -> bool) {
        // An error means that both tasks are gone, which is the same.
        let _ = self.finished.clone().wait_for(far_enough).await;
    }

    /// Sends what was written, says goodbye and ends the connection. Idempotent.
    ///
    /// Whatever the peer still says is read until it hangs up as well: a connection that is closed with
    /// something unread is reset, and what is on its way to the peer is lost (RFC 9293, section 3.6.1).
    pub async fn close(&self) {
        self.shared.state.lock().leave();
        self.shared.changed();
        let hung_up = self.finished(|finished| finished.writing && finished.reading);
        // On time-out the peer does not read: what is left cannot be delivered.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, hung_up).await;
        self.shared.end(Error::Closed);
        self.tasks.lock().abort_all();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.end(Error::Closed);
    }
}

async fn write(mut io: impl AsyncWrite + Unpin, shared: &Shared) -> Result<(), Error> {
    let mut compressor = Compressor::new();
    let mut out = BytesMut::new();
    loop {
        let is_last = {
            let mut state = shared.state.lock();
            state.gather(&mut compressor, &mut out);
            state.closing || state.ended.is_some()
        };
        if !out.is_empty() {
            io.write_all(&out).await.map_err(|error| Error::Transport(error.to_string()))?;
            out.clear();
            continue;
        }
        io.flush().await.map_err(|error| Error::Transport(error.to_string()))?;
        if is_last {
            // The peer may be gone already; then there is nobody to tell.
            let _ = io.shutdown().await;
            return Ok(());
        }
        shared.to_send.notified().await;
    }
}

async fn read(mut io: impl AsyncRead + Unpin, shared: &Shared, limits: Limits) -> Result<(), Error> {
    let mut decompressor = Decompressor::new(limits.header_bytes);
    let transport = |error: std::io::Error| Error::Transport(error.to_string());
    loop {
        let mut header = [0; HEADER_LENGTH];
        if io.read_exact(&mut header).await.is_err() {
            return Ok(());
        }
        match Header::decode(header)? {
            Header::Data { stream: 0, .. } => return Err(Error::Protocol("data for stream 0")),
            Header::Data { stream, flags, length } => {
                let fin = flags & FLAG_FIN != 0;
                let mut left = length;
                while left > 0 {
                    wait_for_room(shared, stream).await;
                    let mut chunk = vec![0; left.min(READ_CHUNK)];
                    let count = io.read(&mut chunk).await.map_err(transport)?;
                    if count == 0 {
                        return Ok(());
                    }
                    chunk.truncate(count);
                    left -= count;
                    shared.state.lock().on_data(stream, Bytes::from(chunk), false);
                    shared.to_send.notify_one();
                }
                if fin {
                    shared.state.lock().on_finish(stream);
                }
            }
            Header::Control { kind, flags, length } => {
                if length > limits.header_bytes + CONTROL_OVERHEAD {
                    return Err(Error::Protocol("a control frame is too large"));
                }
                let mut payload = vec![0; length];
                io.read_exact(&mut payload).await.map_err(transport)?;
                on_control(shared, Control::decode(kind, flags, &payload)?, &mut decompressor)?;
            }
        }
    }
}

fn on_control(shared: &Shared, frame: Control, decompressor: &mut Decompressor) -> Result<(), Error> {
    let mut state = shared.state.lock();
    match frame {
        Control::SynStream { stream, fin, unidirectional, block } => {
            let headers = decompressor.decompress(&block)?;
            state.on_open(stream, fin, unidirectional, headers)?;
            shared.accepted.notify_waiters();
        }
        Control::SynReply { stream, fin, block } => {
            // Expanded even if nobody asks: the compression state spans all blocks.
            decompressor.decompress(&block)?;
            if let Some(known) = state.streams.get_mut(&stream) {
                known.replied = true;
                known.wake_all();
            }
            state.mark_ready(stream);
            if fin {
                state.on_finish(stream);
            }
        }
        Control::Headers { stream, fin, block } => {
            decompressor.decompress(&block)?;
            if fin {
                state.on_finish(stream);
            }
        }
        other => state.on_control(other)?,
    }
    drop(state);
    shared.to_send.notify_one();
    Ok(())
}

async fn wait_for_room(shared: &Shared, stream: u32) {
    while shared.state.lock().is_full(stream) {
        shared.room.notified().await;
    }
}

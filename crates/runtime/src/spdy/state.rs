//! What the two directions of a connection and its streams share. No IO.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::frame::{Control, DATA_CHUNK, ResetReason, data_header};
use super::headers::{Compressor, Headers};
use super::{Error, Limits, Role};

/// Window of a fresh stream and of the session (SPDY 3.1, section 2.6.8).
const INITIAL_WINDOW: i64 = 64 * 1024;
/// Bytes written to a stream and not sent yet; more make writers wait.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
/// Bytes put together for one write to the transport.
const BATCH: usize = 64 * 1024;
/// Control frames waiting to be sent before the peer must be attacking (a flood of pings, say).
const CONTROL_QUEUE: usize = 4096;

/// A frame to be sent. Headers are compressed at the last moment, in the order of sending.
#[derive(Debug)]
pub(super) enum Outgoing {
    Open { stream: u32, headers: Headers },
    Reply { stream: u32, headers: Headers },
    Plain(Control),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) role: Role,
    pub(super) streams: HashMap<u32, StreamState>,
    pub(super) accepted: VecDeque<(u32, Headers)>,
    /// Nothing arrives any more.
    pub(super) ended: Option<Error>,
    /// Nothing can be sent any more. What has arrived, or is still about to, is read nevertheless.
    pub(super) is_mute: bool,
    /// This side said GOAWAY and sends only what is queued.
    pub(super) closing: bool,
    /// The peer said GOAWAY.
    pub(super) peer_leaves: bool,
    control: VecDeque<Outgoing>,
    ready: VecDeque<u32>,
    next_id: u32,
    last_accepted: u32,
    initial_window: i64,
    session_window: i64,
    session_windowed: bool,
    windowed: bool,
    session_consumed: u32,
}

#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) replied: bool,
    pub(super) received: VecDeque<Bytes>,
    pub(super) received_bytes: usize,
    pub(super) receive_finished: bool,
    pub(super) reset: Option<ResetReason>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) opener: Option<Waker>,
    pub(super) to_send: BytesMut,
    pub(super) finish: Finish,
    /// The handle is gone; what arrives is thrown away.
    pub(super) abandoned: bool,
    window: i64,
    consumed: u32,
    in_ready: bool,
}

/// How far the sending half is towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Open,
    Asked,
    Sent,
}

impl State {
    pub(super) fn new(role: Role, limits: Limits) -> Self {
        Self {
            limits,
            role,
            streams: HashMap::new(),
            accepted: VecDeque::new(),
            ended: None,
            is_mute: false,
            closing: false,
            peer_leaves: false,
            control: VecDeque::new(),
            ready: VecDeque::new(),
            next_id: if role == Role::Client { 1 } else { 2 },
            last_accepted: 0,
            initial_window: INITIAL_WINDOW,
            session_window: INITIAL_WINDOW,
            session_windowed: false,
            windowed: false,
            session_consumed: 0,
        }
    }

    /// Starts a stream of this side; its id.
    pub(super) fn open(&mut self, headers: Headers) -> Result<u32, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        if self.is_mute || self.closing || self.peer_leaves || self.next_id > 0x7fff_fff0 {
            return Err(Error::Closed);
        }
        let id = self.next_id;
        self.next_id += 2;
        self.streams.insert(id, StreamState::new(self.initial_window, false));
        self.control.push_back(Outgoing::Open { stream: id, headers });
        Ok(id)
    }

    /// Whether what is written goes nowhere.
    pub(super) fn takes_nothing(&self) -> bool {
        self.is_mute || self.ended.is_some()
    }

    pub(super) fn send(&mut self, frame: Outgoing) {
        if !self.is_mute {
            self.control.push_back(frame);
        }
    }

    /// Lets the writer know that a stream has something to send.
    pub(super) fn mark_ready(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_ready
        {
            stream.in_ready = true;
            self.ready.push_back(id);
        }
    }

    /// The peer opens a stream.
    pub(super) fn on_open(&mut self, id: u32, fin: bool, unidirectional: bool, headers: Headers) -> Result<(), Error> {
        let peers = if self.role == Role::Client { 0 } else { 1 };
        if id == 0 || id % 2 != peers || id <= self.last_accepted {
            return Err(Error::Protocol("a stream was opened with an id that is not next"));
        }
        self.last_accepted = id;
        if self.closing || self.streams.len() >= self.limits.streams {
            self.send(Outgoing::Plain(Control::Reset { stream: id, reason: ResetReason::RefusedStream }));
            return Ok(());
        }
        let mut stream = StreamState::new(self.initial_window, true);
        stream.receive_finished = fin;
        if unidirectional {
            stream.finish = Finish::Sent;
        }
        self.streams.insert(id, stream);
        self.accepted.push_back((id, headers));
        Ok(())
    }

    /// Handles a control frame other than those that carry headers.
    pub(super) fn on_control(&mut self, frame: Control) -> Result<(), Error> {
        if self.control.len() > CONTROL_QUEUE {
            return Err(Error::Protocol("the peer sends requests but does not read the answers"));
        }
        match frame {
            Control::Reset { stream, reason } => self.on_reset(stream, reason),
            Control::Settings { initial_window: Some(size) } => self.on_initial_window(i64::from(size)),
            // Pings of the peer have its parity; answers to ours are not waited for.
            Control::Ping { id } if (id % 2 == 1) == (self.role == Role::Server) => {
                self.send(Outgoing::Plain(Control::Ping { id }));
            }
            Control::GoAway { .. } => self.peer_leaves = true,
            Control::WindowUpdate { stream: 0, delta } => {
                self.session_windowed = true;
                self.session_window = self.session_window.saturating_add(i64::from(delta));
                let all: Vec<u32> = self.streams.keys().copied().collect();
                all.into_iter().for_each(|id| self.mark_ready(id));
            }
            Control::WindowUpdate { stream, delta } => {
                self.windowed = true;
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.window = state.window.saturating_add(i64::from(delta));
                    self.mark_ready(stream);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_initial_window(&mut self, size: i64) {
        self.windowed = true;
        let difference = size - self.initial_window;
        self.initial_window = size;
        let all: Vec<u32> = self.streams.keys().copied().collect();
        for id in all {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.window = stream.window.saturating_add(difference);
            }
            self.mark_ready(id);
        }
    }

    fn on_reset(&mut self, id: u32, reason: ResetReason) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.reset = Some(reason);
            stream.to_send.clear();
            stream.wake_all();
            self.forget_if_done(id);
        }
    }

    /// Whether data for this stream must wait until its reader caught up.
    pub(super) fn is_full(&self, id: u32) -> bool {
        self.ended.is_none()
            && self
                .streams
                .get(&id)
                .is_some_and(|stream| !stream.abandoned && stream.received_bytes >= self.limits.buffer)
    }

    /// Data arrived. Data for a stream that is gone is dropped: it was under way when the stream ended.
    pub(super) fn on_data(&mut self, id: u32, data: Bytes, fin: bool) {
        let length = data.len();
        match self.streams.get_mut(&id) {
            Some(stream) if !stream.abandoned && stream.reset.is_none() => {
                if length > 0 {
                    stream.received_bytes += length;
                    stream.received.push_back(data);
                }
                stream.receive_finished |= fin;
                stream.wake_reader();
            }
            Some(stream) => {
                stream.receive_finished |= fin;
                self.consumed_in_session(length);
                self.forget_if_done(id);
            }
            None => self.consumed_in_session(length),
        }
    }

    pub(super) fn on_finish(&mut self, id: u32) {
        self.on_data(id, Bytes::new(), true);
    }

    /// Bytes were read from a stream: returns them to the peer's windows, half a window at a time.
    pub(super) fn consumed(&mut self, id: u32, length: usize) {
        self.consumed_in_session(length);
        let returns = self.returns_windows();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.consumed = grown(stream.consumed, length);
        if returns && i64::from(stream.consumed) >= INITIAL_WINDOW / 2 && !stream.receive_finished {
            let delta = std::mem::take(&mut stream.consumed);
            self.send(Outgoing::Plain(Control::WindowUpdate { stream: id, delta }));
        }
    }

    fn consumed_in_session(&mut self, length: usize) {
        self.session_consumed = grown(self.session_consumed, length);
        if self.returns_windows() && i64::from(self.session_consumed) >= INITIAL_WINDOW / 2 {
            let delta = std::mem::take(&mut self.session_consumed);
            self.send(Outgoing::Plain(Control::WindowUpdate { stream: 0, delta }));
        }
    }

    /// A client that takes part may say so only once its window is used up; a server's settings come first.
    fn returns_windows(&self) -> bool {
        self.role == Role::Server || self.windowed || self.session_windowed
    }

    /// The handle of a stream was dropped.
    pub(super) fn abandon(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.abandoned = true;
        let waiting = std::mem::take(&mut stream.received_bytes);
        stream.received.clear();
        let cancel = stream.finish == Finish::Open && stream.reset.is_none();
        if cancel {
            stream.reset = Some(ResetReason::Cancel);
            self.send(Outgoing::Plain(Control::Reset { stream: id, reason: ResetReason::Cancel }));
        }
        self.consumed_in_session(waiting);
        self.forget_if_done(id);
    }

    /// Ends a stream both ways at once.
    pub(super) fn reset(&mut self, id: u32, reason: ResetReason) {
        if self.streams.get(&id).is_some_and(|stream| stream.reset.is_none()) {
            self.on_reset(id, reason);
            self.send(Outgoing::Plain(Control::Reset { stream: id, reason }));
        }
    }

    /// Ends everything; streams see the reason.
    pub(super) fn end(&mut self, error: Error) {
        self.ended.get_or_insert(error);
        self.streams.values_mut().for_each(StreamState::wake_all);
    }

    /// Nothing is sent any more, whether all was or the transport takes no more.
    pub(super) fn fall_silent(&mut self) {
        self.is_mute = true;
        self.control.clear();
        self.streams.values_mut().for_each(StreamState::wake_senders);
    }

    /// Says goodbye; what is queued is still sent.
    pub(super) fn leave(&mut self) {
        if !self.closing {
            self.closing = true;
            let last_stream = self.last_accepted;
            self.send(Outgoing::Plain(Control::GoAway { last_stream, status: 0 }));
        }
    }

    /// Puts what may be sent now into `out`.
    pub(super) fn gather(&mut self, compressor: &mut Compressor, out: &mut BytesMut) {
        while let Some(frame) = self.control.pop_front() {
            match frame {
                Outgoing::Plain(control) => control.encode(out),
                Outgoing::Open { stream, headers } => {
                    let block = compressor.compress(&headers);
                    Control::SynStream { stream, fin: false, unidirectional: false, block }.encode(out);
                }
                Outgoing::Reply { stream, headers } => {
                    let block = compressor.compress(&headers);
                    Control::SynReply { stream, fin: false, block }.encode(out);
                }
            }
        }
        while out.len() < BATCH {
            let Some(id) = self.ready.pop_front() else { break };
            self.gather_data(id, out);
        }
    }

    fn gather_data(&mut self, id: u32, out: &mut BytesMut) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.in_ready = false;
        if stream.reset.is_some() || stream.finish == Finish::Sent || !stream.replied {
            return;
        }
        let mut allowed = DATA_CHUNK;
        if self.windowed {
            allowed = allowed.min(usize::try_from(stream.window).unwrap_or(0));
        }
        if self.session_windowed {
            allowed = allowed.min(usize::try_from(self.session_window).unwrap_or(0));
        }
        let data = stream.to_send.split_to(allowed.min(stream.to_send.len()));
        let fin = stream.finish == Finish::Asked && stream.to_send.is_empty();
        if data.is_empty() && !fin {
            return;
        }
        stream.window -= data.len() as i64;
        self.session_window -= data.len() as i64;
        data_header(out, id, fin, data.len());
        out.extend_from_slice(&data);
        if fin {
            stream.finish = Finish::Sent;
        }
        stream.wake_writer();
        let more = !stream.to_send.is_empty();
        if more {
            self.mark_ready(id);
        }
        self.forget_if_done(id);
    }

    pub(super) fn forget_if_done(&mut self, id: u32) {
        let done = self.streams.get(&id).is_some_and(|stream| {
            stream.abandoned && (stream.reset.is_some() || (stream.receive_finished && stream.finish == Finish::Sent))
        });
        if done {
            self.streams.remove(&id);
        }
    }
}

impl StreamState {
    fn new(window: i64, replied: bool) -> Self {
        Self {
            replied,
            received: VecDeque::new(),
            received_bytes: 0,
            receive_finished: false,
            reset: None,
            reader: None,
            writer: None,
            opener: None,
            to_send: BytesMut::new(),
            finish: Finish::Open,
            abandoned: false,
            window,
            consumed: 0,
            in_ready: false,
        }
    }

    /// Why nothing can be written any more.
    pub(super) fn write_failure(&self) -> Option<io::Error> {
        let text = match (self.reset, self.finish) {
            (Some(_), _) => "the peer reset the stream",
            (None, Finish::Open) => return None,
            (None, _) => "the stream was shut down",
        };
        Some(io::Error::new(io::ErrorKind::BrokenPipe, text))
    }

    pub(super) fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn wake_senders(&mut self) {
        self.wake_writer();
        self.opener.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn wake_all(&mut self) {
        self.wake_reader();
        self.wake_senders();
    }
}

/// A window's debt; nobody who counts lets it come near the largest that can be told.
fn grown(consumed: u32, length: usize) -> u32 {
    consumed.saturating_add(length as u32).min(i32::MAX as u32)
}

//! Frames as bytes, both ways. No IO.
//!
//! Layout: the SPDY protocol, draft 3.1, section 2.2 (framing) and 2.6 (control frames).

use bytes::{Buf, BufMut, BytesMut};

use super::Error;

/// Length of the part that every frame starts with.
pub(super) const HEADER_LENGTH: usize = 8;
/// Largest data payload written in one frame, so that streams take turns.
pub(super) const DATA_CHUNK: usize = 16 * 1024;
/// Flag: the sender is done with this stream.
pub(super) const FLAG_FIN: u8 = 0x01;
/// Flag: the receiver of the SYN_STREAM may not send on the stream.
const FLAG_UNIDIRECTIONAL: u8 = 0x02;

const VERSION: u16 = 3;
const STREAM_MASK: u32 = 0x7fff_ffff;
const SETTINGS_INITIAL_WINDOW_SIZE: u32 = 7;

/// Status of a RST_STREAM frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The peer broke the protocol.
    ProtocolError,
    /// A frame for a stream that does not exist.
    InvalidStream,
    /// The stream is refused before anything was done.
    RefusedStream,
    /// Nobody is interested in the stream any more.
    Cancel,
    /// The implementation failed.
    InternalError,
    /// Any other status.
    Other(u32),
}

impl From<u32> for ResetReason {
    fn from(status: u32) -> Self {
        match status {
            1 => Self::ProtocolError,
            2 => Self::InvalidStream,
            3 => Self::RefusedStream,
            5 => Self::Cancel,
            6 => Self::InternalError,
            other => Self::Other(other),
        }
    }
}

impl From<ResetReason> for u32 {
    fn from(reason: ResetReason) -> Self {
        match reason {
            ResetReason::ProtocolError => 1,
            ResetReason::InvalidStream => 2,
            ResetReason::RefusedStream => 3,
            ResetReason::Cancel => 5,
            ResetReason::InternalError => 6,
            ResetReason::Other(status) => status,
        }
    }
}

/// The first eight bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Data { stream: u32, flags: u8, length: usize },
    Control { kind: u16, flags: u8, length: usize },
}

/// A control frame. Header blocks are still compressed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    SynStream {
        stream: u32,
        fin: bool,
        unidirectional: bool,
        block: Vec<u8>,
    },
    SynReply {
        stream: u32,
        fin: bool,
        block: Vec<u8>,
    },
    Headers {
        stream: u32,
        fin: bool,
        block: Vec<u8>,
    },
    Reset {
        stream: u32,
        reason: ResetReason,
    },
    Settings {
        initial_window: Option<u32>,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last_stream: u32,
        status: u32,
    },
    WindowUpdate {
        stream: u32,
        delta: u32,
    },
    /// A kind this version does not know; to be ignored.
    Unknown,
}

impl Header {
    pub(super) fn decode(bytes: [u8; HEADER_LENGTH]) -> Result<Self, Error> {
        let mut bytes = &bytes[..];
        let first = bytes.get_u32();
        let second = bytes.get_u32();
        let flags = (second >> 24) as u8;
        let length = (second & 0x00ff_ffff) as usize;
        if first & !STREAM_MASK == 0 {
            return Ok(Self::Data { stream: first, flags, length });
        }
        let version = (first >> 16) as u16 & 0x7fff;
        if version != VERSION {
            return Err(Error::Protocol("the peer speaks another version of SPDY"));
        }
        Ok(Self::Control { kind: first as u16, flags, length })
    }
}

impl Control {
    pub(super) fn decode(kind: u16, flags: u8, mut payload: &[u8]) -> Result<Self, Error> {
        const SHORT: Error = Error::Protocol("a control frame is too short");
        let fin = flags & FLAG_FIN != 0;
        let mut number = || payload.try_get_u32().map_err(|_| SHORT);
        Ok(match kind {
            1 => {
                let stream = number()? & STREAM_MASK;
                number()?; // associated stream
                payload.try_get_u16().map_err(|_| SHORT)?; // priority and slot
                let unidirectional = flags & FLAG_UNIDIRECTIONAL != 0;
                Self::SynStream { stream, fin, unidirectional, block: payload.to_vec() }
            }
            2 => Self::SynReply { stream: number()? & STREAM_MASK, fin, block: payload.to_vec() },
            3 => Self::Reset { stream: number()? & STREAM_MASK, reason: number()?.into() },
            4 => {
                let count = number()?;
                let mut initial_window = None;
                for _ in 0..count {
                    let (id, value) = (number()? & 0x00ff_ffff, number()?);
                    if id == SETTINGS_INITIAL_WINDOW_SIZE {
                        initial_window = Some(value);
                    }
                }
                Self::Settings { initial_window }
            }
            6 => Self::Ping { id: number()? },
            7 => Self::GoAway { last_stream: number()? & STREAM_MASK, status: number()? },
            8 => Self::Headers { stream: number()? & STREAM_MASK, fin, block: payload.to_vec() },
            9 => Self::WindowUpdate { stream: number()? & STREAM_MASK, delta: number()? & STREAM_MASK },
            _ => Self::Unknown,
        })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let flag = |fin: bool| if fin { FLAG_FIN } else { 0 };
        match self {
            Self::SynStream { stream, fin, unidirectional, block } => {
                let flags = flag(*fin) | if *unidirectional { FLAG_UNIDIRECTIONAL } else { 0 };
                control(out, 1, flags, 10 + block.len());
                out.put_u32(*stream);
                out.put_u32(0);
                out.put_u16(0);
                out.put_slice(block);
            }
            Self::SynReply { stream, fin, block } => {
                control(out, 2, flag(*fin), 4 + block.len());
                out.put_u32(*stream);
                out.put_slice(block);
            }
            Self::Headers { stream, fin, block } => {
                control(out, 8, flag(*fin), 4 + block.len());
                out.put_u32(*stream);
                out.put_slice(block);
            }
            Self::Reset { stream, reason } => pair(out, 3, *stream, (*reason).into()),
            Self::Settings { initial_window } => {
                control(out, 4, 0, 4 + initial_window.map_or(0, |_| 8));
                out.put_u32(initial_window.map_or(0, |_| 1));
                if let Some(size) = initial_window {
                    out.put_u32(SETTINGS_INITIAL_WINDOW_SIZE);
                    out.put_u32(*size);
                }
            }
            Self::Ping { id } => {
                control(out, 6, 0, 4);
                out.put_u32(*id);
            }
            Self::GoAway { last_stream, status } => pair(out, 7, *last_stream, *status),
            Self::WindowUpdate { stream, delta } => pair(out, 9, *stream, *delta),
            Self::Unknown => {}
        }
    }
}

/// Writes the start of a data frame; the payload follows.
pub(super) fn data_header(out: &mut BytesMut, stream: u32, fin: bool, length: usize) {
    out.put_u32(stream & STREAM_MASK);
    out.put_u32(if fin { u32::from(FLAG_FIN) << 24 } else { 0 } | length as u32);
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | (length as u32 & 0x00ff_ffff));
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(out, kind, 0, 8);
    out.put_u32(first);
    out.put_u32(second);
}

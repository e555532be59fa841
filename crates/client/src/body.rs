//! Reading answers.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::transport::{Body, BoxError};

/// Reads a body to its end.
pub(crate) async fn collect(body: Body) -> Result<Bytes, BoxError> {
    Ok(body.collect().await?.to_bytes())
}

/// How the frames of a body relate to its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In no way.
    Any,
    /// A line is one frame or three, as [`crate::SharedFrames`] says.
    Shared,
}

/// A line without its end.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    Whole(Bytes),
    /// In pieces, the second of which is shared with others.
    Pieces([Bytes; 3]),
}

impl Line {
    /// The line in one piece.
    pub(crate) fn into_whole(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Pieces(pieces) => pieces.concat().into(),
        }
    }
}

/// Reads a body line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Body,
    framing: Framing,
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end.
    searched: usize,
    pieces: Vec<Bytes>,
}

impl Lines {
    pub(crate) fn new(body: Body, framing: Framing) -> Self {
        Self { body, framing, pending: BytesMut::new(), searched: 0, pieces: Vec::new() }
    }

    /// The next non-empty line; `None` at the end of the body.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, BoxError> {
        match self.framing {
            Framing::Any => Ok(self.next_in_any().await?.map(Line::Whole)),
            Framing::Shared => self.next_shared().await,
        }
    }

    async fn next_shared(&mut self) -> Result<Option<Line>, BoxError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let is_last = data.last() == Some(&b'\n');
            self.pieces.push(if is_last { data.slice(..data.len() - 1) } else { data });
            if !is_last {
                continue;
            }
            return Ok(Some(match <[Bytes; 3]>::try_from(std::mem::take(&mut self.pieces)) {
                Ok(pieces) => Line::Pieces(pieces),
                Err(mut pieces) if pieces.len() == 1 => Line::Whole(pieces.remove(0)),
                Err(pieces) => Line::Whole(pieces.concat().into()),
            }));
        }
        let rest = std::mem::take(&mut self.pieces).concat();
        Ok((!rest.is_empty()).then(|| Line::Whole(rest.into())))
    }

    async fn next_in_any(&mut self) -> Result<Option<Bytes>, BoxError> {
        loop {
            if let Some(offset) = self.pending[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.pending.split_to(self.searched + offset + 1).freeze();
                self.searched = 0;
                let line = line.slice(..line.len() - 1);
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.pending.len();
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
                None if self.pending.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.pending.split().freeze()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of<const N: usize>(frames: [&'static str; N], framing: Framing) -> Vec<Line> {
        let stream = futures::stream::iter(
            frames.map(|frame| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(frame.as_bytes())))),
        );
        let mut lines = Lines::new(BodyExt::boxed_unsync(http_body_util::StreamBody::new(stream)), framing);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.expect("no frame fails") {
            read.push(line);
        }
        read
    }

    #[tokio::test]
    async fn lines_may_span_frames_and_share_them() {
        let frames = ["{\"a\"", ":1}\n{\"b\":2}\n\n{\"c", "\":3}"];
        let read: Vec<Bytes> = lines_of(frames, Framing::Any).await.into_iter().map(Line::into_whole).collect();
        assert_eq!(read, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }

    #[tokio::test]
    async fn shared_frames_stay_in_pieces() {
        let read = lines_of(["{\"a\":1}\n", "{", "\"b\":", "2}\n", "{\"c\"", ":3}"], Framing::Shared).await;
        assert!(matches!(&read[..], [Line::Whole(_), Line::Pieces(_), Line::Whole(_)]), "{read:?}");
        let read: Vec<Bytes> = read.into_iter().map(Line::into_whole).collect();
        assert_eq!(read, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }
}

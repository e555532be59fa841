//! Reading answers.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::transport::{Body, BoxError};

/// Reads a body to its end.
pub(crate) async fn collect(body: Body) -> Result<Bytes, BoxError> {
    Ok(body.collect().await?.to_bytes())
}

/// Reads a body line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Body,
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, pending: BytesMut::new(), searched: 0 }
    }

    /// The next non-empty line without its end; `None` at the end of the body.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
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

    #[tokio::test]
    async fn lines_may_span_frames_and_share_them() {
        let frames = ["{\"a\"", ":1}\n{\"b\":2}\n\n{\"c", "\":3}"];
        let stream = futures::stream::iter(
            frames.map(|frame| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(frame.as_bytes())))),
        );
        let mut lines = Lines::new(BodyExt::boxed_unsync(http_body_util::StreamBody::new(stream)));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.expect("no frame fails") {
            read.push(line);
        }
        assert_eq!(read, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }
}

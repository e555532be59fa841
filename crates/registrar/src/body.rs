//! Bodies of answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Body of an answer; may go on for ever.
#[derive(Debug)]
pub struct Body(Form);

#[derive(Debug)]
enum Form {
    /// What is left of a body that is there as a whole.
    Whole(Bytes),
    /// Made while it is read.
    Stream(UnsyncBoxBody<Bytes, Infallible>),
}

impl Body {
    /// A body that is made while it is read.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = Infallible> + Send + 'static) -> Self {
        Self(Form::Stream(body.boxed_unsync()))
    }

    /// The bytes, if the body is there as a whole.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Whole(bytes) => Some(bytes),
            Form::Stream(_) => None,
        }
    }
}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Body(Form::Whole(bytes.into()))
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Form::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Form::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Form::Stream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Form::Whole(bytes) => bytes.is_empty(),
            Form::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Form::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Form::Stream(body) => body.size_hint(),
        }
    }
}

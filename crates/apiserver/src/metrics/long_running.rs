//! Requests that last: watches and streams, counted until their last byte.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::Label;
use crate::body::{Body, BoxError};

/// How many there are of each kind.
#[derive(Debug, Default)]
pub(crate) struct LongRunning(Arc<Mutex<BTreeMap<Label, usize>>>);

/// One of them; counted until dropped.
struct Running {
    all: Arc<Mutex<BTreeMap<Label, usize>>>,
    label: Label,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.label) {
            *count = count.saturating_sub(1);
        }
    }
}

impl LongRunning {
    /// The same answer, counted while it is being sent.
    pub(crate) fn count(&self, label: Label, response: Response<Body>) -> Response<Body> {
        // Streams have no such thing: it is not told, and must not part what is told as one.
        let label = Label { dry_run: "", ..label };
        *self.0.lock().entry(label.clone()).or_default() += 1;
        let running = Running { all: self.0.clone(), label };
        response.map(|body| Counted { body, _running: running }.boxed_unsync())
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let metric = "apiserver_longrunning_requests";
        writeln!(text, "# HELP {metric} Watches and streams that are being served.\n# TYPE {metric} gauge")?;
        for (label, count) in self.0.lock().iter() {
            let Label { verb, group, version, resource, subresource, scope, .. } = label;
            writeln!(
                text,
                "{metric}{{component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
                 subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"}} {count}"
            )?;
        }
        Ok(())
    }
}

/// A body with what counts it.
struct Counted {
    body: Body,
    _running: Running,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

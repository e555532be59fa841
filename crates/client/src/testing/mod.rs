//! An in-memory API server for tests.
//!
//! It keeps revisions, conflicts, finalizers, graceful deletion, status as a subresource, bindings and
//! watches the way controllers observe them. It has no validation, defaults, authorization or strategic
//! merge: for those, test against the real server.

mod request;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use portolan_api::typed::Object;
use portolan_base::{Clock, SystemClock};
use serde_json::Value;

use crate::client::Client;
use crate::error::{Error, Status};
use crate::transport::{Body, Transport, body_of};
use state::State;

/// Answers requests to one path with a failure.
struct Fault {
    method: http::Method,
    path_part: String,
    times: usize,
    status: Status,
}

/// An API server in memory. Cheap to clone; clones share the objects.
#[derive(Clone)]
pub struct FakeServer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    faults: Mutex<Vec<Fault>>,
    requests: Mutex<Vec<String>>,
    clock: Arc<dyn Clock>,
    watch_lists: bool,
}

impl std::fmt::Debug for FakeServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FakeServer")
    }
}

impl Default for FakeServer {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl FakeServer {
    /// An empty server.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::build(clock, true)
    }

    /// An empty server that refuses `sendInitialEvents`, as old ones do.
    pub fn without_watch_lists(clock: Arc<dyn Clock>) -> Self {
        Self::build(clock, false)
    }

    fn build(clock: Arc<dyn Clock>, watch_lists: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                faults: Mutex::default(),
                requests: Mutex::default(),
                clock,
                watch_lists,
            }),
        }
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()))
    }

    /// Answers the next `times` requests of this method whose path contains `path_part` with a failure.
    pub fn fail(&self, method: http::Method, path_part: &str, times: usize, status: Status) {
        self.shared.faults.lock().push(Fault { method, path_part: path_part.to_owned(), times, status });
    }

    /// The writes so far, as `METHOD path`, in order.
    pub fn writes(&self) -> Vec<String> {
        self.shared.requests.lock().iter().filter(|request| !request.starts_with("GET ")).cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.requests.lock().clear();
    }

    /// All objects of a kind, by namespace and name, read behind the API's back.
    pub fn objects<K: Object>(&self) -> Vec<K> {
        let state = self.shared.state.lock();
        let objects = state.objects(K::GROUP, K::RESOURCE);
        objects.map(|object| K::decode(object.to_string().as_bytes()).expect("it was encoded from this kind")).collect()
    }

    /// Ends all watches in good order, as a server does from time to time.
    pub fn end_watches(&self) {
        self.shared.state.lock().end_watches();
    }

    /// Forgets history, so that watches cannot resume from before now.
    pub fn compact(&self) {
        self.shared.state.lock().compact();
    }

    fn fault(&self, request: &Request<Bytes>) -> Option<Status> {
        let mut faults = self.shared.faults.lock();
        let index = faults
            .iter()
            .position(|fault| fault.method == *request.method() && request.uri().path().contains(&fault.path_part))?;
        faults[index].times -= 1;
        let status = faults[index].status.clone();
        if faults[index].times == 0 {
            faults.remove(index);
        }
        Some(status)
    }
}

#[async_trait]
impl Transport for FakeServer {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        self.shared.requests.lock().push(format!("{} {}", request.method(), request.uri().path()));
        let answer = match self.fault(&request) {
            Some(status) => Err(Box::new(status)),
            None => {
                let mut state = self.shared.state.lock();
                request::answer(&mut state, &request, self.shared.clock.now(), self.shared.watch_lists)
            }
        };
        let (code, body) = match answer {
            Ok(request::Answer::Json(value)) => (200, body_of(value.to_string())),
            Ok(request::Answer::Stream(body)) => (200, body),
            Err(status) => {
                let body = serde_json::to_value(&status).unwrap_or(Value::Null);
                (status.code, body_of(body.to_string()))
            }
        };
        let response = Response::builder().status(code).body(body);
        response.map_err(|source| Error::Request { path: request.uri().path().to_owned(), source })
    }
}

/// A clock that follows Tokio's time, so that both stand still and move together in tests on paused time.
#[derive(Debug)]
pub struct TokioClock {
    start: portolan_base::Timestamp,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    pub fn new(start: portolan_base::Timestamp) -> Self {
        Self { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> portolan_base::Timestamp {
        self.start + self.origin.elapsed()
    }
}

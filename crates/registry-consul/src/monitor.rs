//! The log of the server as it is written, for `consul monitor`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use portolan_registrar::http::{Body, Request};
use serde_json::json;
use tokio::sync::broadcast;
use tracing::Level;

use crate::Error;
use crate::parameters::Parameters;
use crate::state::State;

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// How bad it is.
    pub level: Level,
    /// When, as text.
    pub time: String,
    /// Which part of the program says it.
    pub target: String,
    /// What it says, and about what.
    pub message: String,
}

/// Where lines of the log come from; those who read slowly miss some.
pub type Log = broadcast::Sender<Arc<LogLine>>;

fn level(word: &str) -> Option<Level> {
    Some(match word.to_ascii_lowercase().as_str() {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" => Level::WARN,
        "error" | "err" => Level::ERROR,
        _ => return None,
    })
}

impl LogLine {
    fn text(&self) -> String {
        format!("{} [{}] {}: {}\n", self.time, self.level, self.target, self.message)
    }

    fn json(&self) -> String {
        let level = self.level.as_str().to_ascii_lowercase();
        let line = json!({"@level": level, "@timestamp": self.time, "@module": self.target, "@message": self.message});
        format!("{line}\n")
    }
}

/// `GET /v1/agent/monitor?loglevel=&logjson`
pub(crate) fn answer(state: &State, request: &Request) -> Result<Response<Body>, Error> {
    let parameters = Parameters::of(request);
    let word = parameters.text("loglevel").unwrap_or("info");
    let least = level(word).ok_or_else(|| Error::BadRequest(format!("Unknown log level: {word}")))?;
    let log = state.log.as_ref().ok_or_else(|| Error::Internal("this server shows its log to nobody".into()))?;
    // As it goes on, it counts like a request that waits.
    let waiting = state.limiter.wait(&request.client())?;
    let (as_json, lines, shutdown) = (parameters.has("logjson"), log.subscribe(), state.shutdown.clone());
    let stream =
        futures::stream::unfold((lines, waiting, shutdown), move |(mut lines, waiting, shutdown)| async move {
            loop {
                let text = match shutdown.run(lines.recv()).await? {
                    // Lower levels are more, as tracing orders them.
                    Ok(line) if line.level > least => continue,
                    Ok(line) if as_json => line.json(),
                    Ok(line) => line.text(),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        format!("... {missed} lines were too many at once\n")
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                return Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), (lines, waiting, shutdown)));
            }
        });
    let mut response = Response::new(Body::stream(StreamBody::new(stream)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

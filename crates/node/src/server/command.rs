//! `/exec` and `/attach`.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portolan_base::error::chain;
use portolan_runtime::{ContainerId, Error, ExecSession, StreamOptions};

use super::protocol::negotiate;
use super::upgrade::{self, Offer};
use super::{Body, Query, Refusal, Shared, find, spdy_command, websocket_command};
use crate::pod;

/// What is to be connected to the client.
#[derive(Debug, Clone)]
pub(super) struct Command {
    id: ContainerId,
    /// The command line; `None` attaches to the container's first process.
    line: Option<Vec<String>>,
    pub(super) options: StreamOptions,
}

impl Command {
    /// Starts it.
    pub(super) async fn start(&self, shared: &Shared) -> Result<ExecSession, String> {
        let runtime = &shared.context.config.runtime;
        let session = match &self.line {
            Some(line) => runtime.exec(&self.id, line, self.options).await,
            None => runtime.attach(&self.id, self.options).await,
        };
        session.map_err(|error| format!("error executing command in container: {}", chain(&error)))
    }
}

/// Why a command could not run or ended unexpectedly: the runtime's own words where it has some.
pub(super) fn failure(error: &Error) -> String {
    match error {
        Error::Failed { reason, .. } => reason.clone(),
        other => chain(other).to_string(),
    }
}

pub(super) async fn exec(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let options = options(query)?;
    let line = query.all("command");
    if line.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "you must specify at least 1 command"));
    }
    let (_, id) = find::running(shared, namespace, name, container)?;
    connect(shared, Command { id, line: Some(line), options }, request)
}

pub(super) async fn attach(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let mut options = options(query)?;
    let (pod, id) = find::running(shared, namespace, name, container)?;
    // Whether there is a terminal was decided when the container was made.
    options.tty = pod::container(&pod, container).is_some_and(|(_, container)| container.tty == Some(true));
    options.stderr &= !options.tty;
    connect(shared, Command { id, line: None, options }, request)
}

/// Upstream's node API has its own names for the streams; both are understood.
fn options(query: &Query) -> Result<StreamOptions, Refusal> {
    let tty = query.flag(&["tty"]);
    let options = StreamOptions {
        stdin: query.flag(&["stdin", "input"]),
        stdout: query.flag(&["stdout", "output"]),
        stderr: query.flag(&["stderr", "error"]) && !tty,
        tty,
    };
    if !options.stdin && !options.stdout && !options.stderr {
        let text = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    Ok(options)
}

fn connect(shared: &Arc<Shared>, command: Command, request: &mut Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let offer = Offer::of(request.headers())?;
    let (protocols, supported) = match &offer {
        Offer::WebSocket { protocols, .. } => (protocols, websocket_command::SUPPORTED),
        Offer::Spdy { protocols } => (protocols, spdy_command::SUPPORTED),
    };
    let protocol = match negotiate(protocols, supported) {
        Some(protocol) => protocol,
        // The oldest version had no name.
        None if protocols.is_empty() => supported[supported.len() - 1],
        None => return Err(upgrade::unknown(protocols, supported)),
    };
    let named = if protocols.is_empty() && matches!(offer, Offer::WebSocket { .. }) { "" } else { protocol };
    let response = upgrade::accept(&offer, named);
    let upgraded = hyper::upgrade::on(request);
    let stream_shared = shared.clone();
    shared.streams.spawn(async move {
        let stop = stream_shared.stop.clone();
        let serve = async {
            let io = TokioIo::new(upgraded.await.map_err(|error| error.to_string())?);
            match offer {
                Offer::WebSocket { .. } => websocket_command::serve(&stream_shared, io, &command, protocol).await,
                Offer::Spdy { .. } => spdy_command::serve(&stream_shared, io, &command, protocol).await,
            }
        };
        if let Some(Err(error)) = stop.run(serve).await {
            tracing::debug!("remote command ended: {error}");
        }
    });
    Ok(response)
}

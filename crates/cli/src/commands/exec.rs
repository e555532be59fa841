//! `portolan exec`: a command in a container, with our standard streams as its own.

use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt, Stream, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use portolan_client::{HttpsTransport, Upgrade};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::{self, protocol::Role};

use crate::output::print_bytes;
use crate::remote_command::{self, Message, PROTOCOL};
use crate::terminal::{self, RawMode};
use crate::{Api, api};

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan exec cart-7d9c -- cat /etc/hosts
  portolan exec -it cart-7d9c -n shop -- sh
  tar c . | portolan exec -i cart-7d9c -c app -- tar x -C /tmp

The exit code of the command becomes that of portolan.")]
pub struct Arguments {
    /// The pod.
    pod: String,
    /// The container, if the pod has several.
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input to the command.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let tty = arguments.tty && terminal::is_interactive();
    if arguments.tty && !tty {
        eprintln!("standard input is not a terminal; the command gets none either");
    }
    let pod = arguments.pod.trim_start_matches("pods/").trim_start_matches("pod/");
    let pod = api.resource("pods").await?.path(api.namespace(), Some(pod));
    let socket = connect(api.transport(), &format!("{pod}/exec?{}", query(&arguments, tty))).await?;
    let (sink, source) = socket.split();
    let raw = if tty { Some(RawMode::enter()?) } else { None };
    let input = arguments.stdin.then(terminal::input);
    let resized = signal(SignalKind::window_change()).context("listen for the terminal's size")?;
    let ended = tokio::select! {
        ended = output(source) => ended,
        () = send(sink, input, resized, tty) => unreachable!("sending never completes"),
    };
    drop(raw);
    Ok(ExitCode::from(ended?))
}

fn query(arguments: &Arguments, tty: bool) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for word in &arguments.command {
        query.append_pair("command", word);
    }
    if let Some(container) = &arguments.container {
        query.append_pair("container", container);
    }
    // A terminal has one output only.
    for (name, wanted) in [("stdin", arguments.stdin), ("stdout", true), ("stderr", !tty), ("tty", tty)] {
        if wanted {
            query.append_pair(name, "true");
        }
    }
    query.finish()
}

/// Opens a WebSocket (RFC 6455, section 4.1).
async fn connect(transport: &HttpsTransport, path: &str) -> anyhow::Result<Socket> {
    let key = generate_key();
    let request = Request::get(path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Bytes::new())?;
    let (headers, connection) = match transport.upgrade(request).await? {
        Upgrade::Switched(headers, connection) => (headers, connection),
        Upgrade::Refused(answer) => return Err(api::refusal(answer.status(), answer.body())),
    };
    let is = |name, expected: &str| HeaderMap::get(&headers, name).is_some_and(|value| value == expected);
    if !is(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())) {
        bail!("the server's answer is not that of a WebSocket");
    }
    if !is(SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        bail!("the server does not speak {PROTOCOL}");
    }
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Client, None).await)
}

/// Prints what the command prints, until it ends; returns its exit code.
async fn output(
    mut source: impl Stream<Item = tungstenite::Result<tungstenite::Message>> + Unpin,
) -> anyhow::Result<u8> {
    let mut ended = None;
    while let Some(message) = source.next().await {
        let message = match message {
            Ok(tungstenite::Message::Binary(message)) => message,
            Ok(tungstenite::Message::Close(_)) => break,
            Ok(_) => continue,
            // The connection may break once everything was said.
            Err(_) if ended.is_some() => break,
            Err(error) => return Err(error).context("the connection to the command broke"),
        };
        let is_read = match remote_command::read(&message) {
            Message::Stdout(bytes) => print_bytes(&mut std::io::stdout(), &bytes)?,
            Message::Stderr(bytes) => print_bytes(&mut std::io::stderr(), &bytes)?,
            Message::Ended(how) => {
                ended = Some(how);
                true
            }
            Message::Other => true,
        };
        if !is_read {
            // The command hears of it by the closed connection.
            return Ok(0);
        }
    }
    match ended {
        Some(Ok(code)) => Ok(code),
        Some(Err(why)) => bail!("{why}"),
        None => bail!("the connection ended before the command did"),
    }
}

/// Sends input and sizes of the terminal for as long as they are taken; never completes.
///
/// A command that has ended takes nothing more, while its last words may still be on the way: whether they come,
/// and why not, is seen by who waits for them.
async fn send(
    mut sink: SplitSink<Socket, tungstenite::Message>,
    mut input: Option<mpsc::Receiver<Bytes>>,
    mut resized: Signal,
    tty: bool,
) {
    let mut message = terminal::size().filter(|_| tty).map(remote_command::resize);
    loop {
        if let Some(message) = message
            && sink.send(tungstenite::Message::Binary(message)).await.is_err()
        {
            break;
        }
        let next = async {
            match &mut input {
                Some(input) => input.recv().await,
                None => std::future::pending().await,
            }
        };
        message = tokio::select! {
            chunk = next => Some(match chunk {
                Some(chunk) => remote_command::stdin(&chunk),
                None => {
                    input = None;
                    remote_command::end_of_stdin()
                }
            }),
            Some(()) = resized.recv(), if tty => terminal::size().map(remote_command::resize),
        };
    }
    std::future::pending().await
}

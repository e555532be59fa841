//! Remote commands over SPDY: one stream per channel, named by the header `streamtype`.

use std::time::Duration;

use portolan_base::relay::{self, LINGER};
use portolan_runtime::spdy::{Connection, Limits, Role, Stream};
use portolan_runtime::{ExecSession, TerminalSize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use super::Shared;
use super::command::{Command, failure};
use super::protocol::{Ending, terminal_size};

/// Newest first.
pub(super) const SUPPORTED: &[&str] =
    &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// How long a client may take to open its streams, upstream's `DefaultStreamCreationTimeout`.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The client's streams.
#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Serves one command until it ends or the client leaves.
pub(super) async fn serve<S>(shared: &Shared, io: S, command: &Command, protocol: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let connection = Connection::new(io, Role::Server, Limits::default());
    let resizes = command.options.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let opened = tokio::time::timeout(OPEN_TIMEOUT, open(&connection, command, resizes)).await;
    let mut streams = opened.map_err(|_| "timed out waiting for client to create streams".to_owned())??;
    let error_stream = streams.error.take();
    let ending = match command.start(shared).await {
        Ok(session) => tokio::select! {
            ending = exchange(session, streams) => Some(ending),
            () = connection.ended() => None,
        },
        Err(message) => Some(Ending::Failed(message)),
    };
    if let (Some(ending), Some(mut stream)) = (ending, error_stream) {
        let text = if protocol == "v4.channel.k8s.io" { ending.status() } else { ending.text() };
        stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
        stream.shutdown().await.map_err(|error| error.to_string())?;
        // Clients hang up by themselves. Those written in Go forget what they have not read yet if we do it.
        let _ = tokio::time::timeout(LINGER, connection.ended()).await;
    }
    connection.close().await;
    Ok(())
}

async fn open(connection: &Connection, command: &Command, resizes: bool) -> Result<Streams, String> {
    let options = command.options;
    let mut streams = Streams::default();
    loop {
        let complete = streams.error.is_some()
            && streams.stdin.is_some() == options.stdin
            && streams.stdout.is_some() == options.stdout
            && streams.stderr.is_some() == options.stderr
            && streams.resize.is_some() == resizes;
        if complete {
            return Ok(streams);
        }
        let stream = connection.accept_stream().await.map_err(|error| error.to_string())?;
        let stream = stream.ok_or("the client left before its streams were open")?;
        let kind = stream.headers().get("streamtype").unwrap_or_default().to_ascii_lowercase();
        let place = match kind.as_str() {
            "error" => &mut streams.error,
            "stdin" if options.stdin => &mut streams.stdin,
            "stdout" if options.stdout => &mut streams.stdout,
            "stderr" if options.stderr => &mut streams.stderr,
            "resize" if resizes => &mut streams.resize,
            other => return Err(format!("unexpected stream type: {other:?}")),
        };
        *place = Some(stream);
    }
}

async fn exchange(session: ExecSession, streams: Streams) -> Ending {
    let ExecSession { stdin, stdout, stderr, resize, exit } = session;
    let input = async {
        if let (Some(mut from), Some(mut to)) = (streams.stdin, stdin) {
            // The command may stop reading at any time.
            let _ = relay::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let sizes = async {
        if let Some(stream) = streams.resize {
            forward_sizes(stream, &resize).await;
        }
        std::future::pending::<()>().await;
    };
    let output = async {
        tokio::join!(copy_out(stdout, streams.stdout), copy_out(stderr, streams.stderr));
        match exit.await {
            Ok(Ok(code)) => Ending::Exited(code),
            Ok(Err(error)) => Ending::Failed(failure(&error)),
            Err(_) => Ending::Failed("the runtime did not say how the command ended".to_owned()),
        }
    };
    tokio::select! {
        ending = output => ending,
        () = input => unreachable!("the input never completes"),
        () = sizes => unreachable!("the sizes never complete"),
    }
}

async fn copy_out(from: Option<portolan_runtime::Reader>, to: Option<Stream>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        // A client that no longer reads is noticed by the end of its connection.
        let _ = relay::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    }
}

async fn forward_sizes(stream: Stream, resize: &mpsc::Sender<TerminalSize>) {
    // Objects follow each other, each with a line break.
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(size) = terminal_size(line.as_bytes())
            && resize.send(size).await.is_err()
        {
            return;
        }
    }
}

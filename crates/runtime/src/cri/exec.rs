//! The client's side of the remote-command protocol `v4.channel.k8s.io` over SPDY.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::port::*;
use crate::spdy::{Connection, Headers, Limits, Role, Stream};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// The verdict on the command is a few hundred bytes.
const STATUS_LIMIT: u64 = 64 * 1024;

/// Connects to a streaming URL; the session and the work that keeps it going.
pub(super) async fn open(
    url: &str,
    options: StreamOptions,
) -> Result<(ExecSession, impl Future<Output = ()> + Send + 'static)> {
    let failed = |reason: String| Error::Failed { operation: "open stream", reason };
    let connection = upgrade(url).await.map_err(&failed)?;
    let open = async |kind: &str| {
        let headers = Headers::new().with("streamtype", kind);
        connection.open_stream(headers).await.map_err(|error| failed(error.to_string()))
    };
    let verdict = open("error").await?;
    let stdin = if options.stdin { Some(open("stdin").await?) } else { None };
    let stdout = if options.stdout { Some(open("stdout").await?) } else { None };
    let stderr = if options.stderr && !options.tty { Some(open("stderr").await?) } else { None };
    let sizes = if options.tty { Some(open("resize").await?) } else { None };

    let (resize, wanted_sizes) = mpsc::channel(4);
    let (done, exit) = oneshot::channel();
    let session = ExecSession {
        stdin: stdin.map(|stream| Box::pin(stream) as Writer),
        stdout: stdout.map(|stream| Box::pin(UntilReset(stream)) as Reader),
        stderr: stderr.map(|stream| Box::pin(UntilReset(stream)) as Reader),
        resize,
        exit,
    };
    Ok((session, drive(connection, verdict, sizes, wanted_sizes, done)))
}

/// Forwards sizes until the command ended or nobody asks any more.
async fn drive(
    connection: Connection,
    verdict: Stream,
    sizes: Option<Stream>,
    wanted_sizes: mpsc::Receiver<TerminalSize>,
    mut done: oneshot::Sender<Result<i32>>,
) {
    let result = tokio::select! {
        result = read_verdict(verdict) => result,
        () = done.closed() => {
            connection.close().await;
            return;
        }
        () = forward_sizes(sizes, wanted_sizes) => unreachable!("forwarding never completes"),
    };
    // The receiver may have gone in this very moment.
    let _ = done.send(result);
    connection.close().await;
}

async fn forward_sizes(stream: Option<Stream>, mut wanted: mpsc::Receiver<TerminalSize>) {
    let mut stream = stream;
    while let Some(size) = wanted.recv().await {
        if let Some(open) = &mut stream {
            let text = format!("{{\"Width\":{},\"Height\":{}}}\n", size.width, size.height);
            if open.write_all(text.as_bytes()).await.is_err() {
                // The command has ended; its verdict is on the way.
                stream = None;
            }
        }
    }
    // Keeps the stream: its end would mean nothing, but dropping resets it.
    let _stream = stream;
    std::future::pending().await
}

/// What Kubernetes sends on the error stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
    reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

async fn read_verdict(stream: Stream) -> Result<i32> {
    let mut bytes = Vec::new();
    let lost = |error: io::Error| Error::Unavailable(format!("the stream of the command broke: {error}"));
    UntilReset(stream).take(STATUS_LIMIT).read_to_end(&mut bytes).await.map_err(lost)?;
    exit_code(&bytes)
}

fn exit_code(bytes: &[u8]) -> Result<i32> {
    if bytes.is_empty() {
        // Older servers, and an attach that was detached, end the stream without a word.
        return Ok(0);
    }
    let failed = |reason: String| Error::Failed { operation: "exec", reason };
    let status: Status = serde_json::from_slice(bytes)
        .map_err(|_| failed(format!("not understood: {}", String::from_utf8_lossy(bytes))))?;
    if status.status == "Success" {
        return Ok(0);
    }
    let code = status.details.causes.iter().find(|cause| cause.reason == "ExitCode");
    match code.and_then(|cause| cause.message.parse().ok()) {
        Some(code) if status.reason == "NonZeroExitCode" => Ok(code),
        _ => Err(failed(status.message)),
    }
}

async fn upgrade(url: &str) -> Result<Connection, String> {
    let text = |error: &dyn std::error::Error| format!("{url}: {error}");
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| text(&error))?;
    let authority = uri.authority().ok_or_else(|| format!("{url}: no host in it"))?.clone();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let stream = TcpStream::connect(authority.as_str()).await.map_err(|error| text(&error))?;
    // Keystrokes must not wait for more of them; if the option is refused they come a little later.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .header("X-Stream-Protocol-Version", PROTOCOL)
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("{url}: answered {}", response.status()));
        }
        hyper::upgrade::on(response).await.map_err(|error| text(&error))
    };
    let (upgraded, _) = tokio::join!(exchange, connection.with_upgrades());
    Ok(Connection::new(TokioIo::new(upgraded?), Role::Client, Limits::default()))
}

/// The server resets all streams when the command is done; that is the end of its output.
struct UntilReset(Stream);

impl AsyncRead for UntilReset {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn the_verdict_gives_the_exit_code_or_the_reason() {
        let nonzero = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated",
            "details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        let table = [
            ("", Ok(0)),
            (r#"{"metadata":{},"status":"Success"}"#, Ok(0)),
            (nonzero, Ok(42)),
            (r#"{"status":"Failure","message":"no such file","reason":"InternalError"}"#, Err("exec: no such file")),
            ("gibberish", Err("exec: not understood: gibberish")),
        ];
        for (text, expected) in table {
            let code = exit_code(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(code, expected.map_err(str::to_owned), "{text}");
        }
    }
}

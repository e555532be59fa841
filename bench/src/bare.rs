//! The bound of answering over HTTP: a process that finds the end of a request and sends as many bytes as it asks for,
//! at once or when it is told to.
//!
//! What any server pays on this machine for a system call, a wake-up and the kernel's share of loopback is in it; reading
//! headers, knowing anything and encoding are not.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The path that lets all answers go that wait.
pub const TELL: &str = "/tell";

/// The path whose answer has a body of so many bytes.
pub fn path(bytes: usize) -> String {
    format!("/{bytes}")
}

/// The same, once somebody asks for [`TELL`].
pub fn waiting_path(bytes: usize) -> String {
    format!("/wait/{bytes}")
}

/// Serves on a port of loopback until the process is ended.
///
/// # Errors
/// The port is taken.
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let told = Arc::new(Notify::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that goes ends its own connection only.
        let told = told.clone();
        tokio::spawn(async move { connection(stream, &told).await });
    }
}

async fn connection(mut stream: TcpStream, told: &Notify) -> anyhow::Result<()> {
    let mut request = Vec::with_capacity(4096);
    let mut answer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let path = std::str::from_utf8(&request[..end])?.split(' ').nth(1).context("a path")?;
        let bytes: usize = match path.strip_prefix("/wait/") {
            Some(bytes) => {
                told.notified().await;
                bytes.parse()?
            }
            None if path == TELL => {
                told.notify_waiters();
                0
            }
            None => path.trim_start_matches('/').parse()?,
        };
        ensure!(bytes <= 1 << 20, "{bytes} bytes are too many");
        answer.clear();
        answer.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ");
        answer.extend_from_slice(bytes.to_string().as_bytes());
        answer.extend_from_slice(b"\r\n\r\n");
        answer.resize(answer.len() + bytes, b'x');
        stream.write_all(&answer).await?;
        request.drain(..end);
    }
}

//! A client of HTTP/1.1 that costs little: one connection, one request at a time.
//!
//! The client shares the machine with the server that is measured, so what it costs takes away from the server.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer, but those that wait for a change.
const PATIENCE: Duration = Duration::from_secs(120);

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
    /// How much of the buffer the last answer took.
    taken: usize,
}

/// An answer with its body.
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Everything before the body.
    pub head: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("plain HTTP")?.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, buffer: Vec::with_capacity(16 << 10), taken: 0 })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or the answer is not one with a length.
    pub async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.send(method, path, body).await?;
        tokio::time::timeout(PATIENCE, self.answer()).await.with_context(|| format!("{method} {path}"))?
    }

    /// Asks and refuses to go on if that failed.
    ///
    /// # Errors
    /// As [`Self::ask`], or the status is no success.
    pub async fn succeed(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer<'_>> {
        let answer = self.ask(method, path, body).await?;
        let text = String::from_utf8_lossy(answer.body);
        ensure!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
        Ok(answer)
    }

    /// Sends a request whose answer is read later.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Ok(self.stream.write_all(&request).await?)
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn answer(&mut self) -> anyhow::Result<Answer<'_>> {
        let (end, length) = self.head().await?;
        let length = length.context("an answer without a length")?;
        while self.buffer.len() < end + length {
            self.more().await?;
        }
        self.taken = end + length;
        let head = std::str::from_utf8(&self.buffer[..end])?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        Ok(Answer { status, head, body: &self.buffer[end..end + length] })
    }

    /// Where the head ends, and the length of the body.
    async fn head(&mut self) -> anyhow::Result<(usize, Option<usize>)> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..at])?;
                let length = header(head, "content-length").map(str::parse).transpose()?;
                let empty = head.split(' ').nth(1) == Some("204");
                return Ok((at + 4, if empty { Some(0) } else { length }));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("{} closed the connection", self.host);
        }
        Ok(())
    }
}

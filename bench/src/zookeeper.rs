//! The peer: Debian's ZooKeeper, one server, and as much of its protocol as the bench needs.
//!
//! Every request and answer is a length and as many bytes of big-endian numbers and length-prefixed texts (the
//! "jute" records of the published programmer's guide); an answer begins with the request's number, the
//! transaction and an error.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Server, free_port};

const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const PING: i32 = 11;
const PING_NUMBER: i32 = -2;
const EPHEMERAL: i32 = 1;

/// A running ZooKeeper.
pub struct ZooKeeper {
    /// The process.
    pub server: Server,
    port: u16,
}

impl ZooKeeper {
    /// Starts one in a folder and waits until it answers.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (port, home) = (free_port()?, folder.join("zookeeper"));
        std::fs::create_dir_all(&home)?;
        let configuration = home.join("zoo.cfg");
        let text = format!(
            "tickTime=2000\nmaxSessionTimeout=600000\nmaxClientCnxns=0\nadmin.enableServer=false\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n",
            home.join("data").display()
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new("java");
        // Where Debian keeps its libraries; the file that the package names begins with them.
        command.args(["-cp", "/etc/zookeeper/conf:/usr/share/java/*", "-Dzookeeper.log.threshold=WARN"]);
        command.arg("org.apache.zookeeper.server.ZooKeeperServerMain").arg(&configuration);
        let log = folder.join("zookeeper.log");
        let server = Server::start(&mut command, &log).context("apt-get install zookeeper")?;
        let (started, peer) = (Instant::now(), Self { server, port });
        while peer.connect().await.is_err() {
            let log = std::fs::read_to_string(&log)?;
            ensure!(started.elapsed() < Duration::from_secs(60), "ZooKeeper did not come up: {log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(peer)
    }

    /// A session of its own.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(&self) -> anyhow::Result<Session> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let mut request = Record::default();
        // Version of the protocol, last transaction seen, timeout in ms, no session yet, no password.
        request.int(0).long(0).int(600_000).long(0).text("");
        send(&mut stream, &request).await?;
        let mut session = Session { stream, number: 0, answer: Vec::new() };
        session.receive().await?;
        Ok(session)
    }
}

/// A session; its ephemeral nodes go with it.
pub struct Session {
    stream: TcpStream,
    number: i32,
    answer: Vec<u8>,
}

impl Session {
    /// Creates a node that stays.
    ///
    /// # Errors
    /// It was refused.
    pub async fn create(&mut self, path: &str, data: &[u8]) -> anyhow::Result<()> {
        self.create_with(path, data, 0).await
    }

    /// Creates a node that lives as long as the session.
    ///
    /// # Errors
    /// It was refused.
    pub async fn create_ephemeral(&mut self, path: &str, data: &[u8]) -> anyhow::Result<()> {
        self.create_with(path, data, EPHEMERAL).await
    }

    async fn create_with(&mut self, path: &str, data: &[u8], flags: i32) -> anyhow::Result<()> {
        let mut request = Record::default();
        // All rights for anybody.
        request.text(path).bytes(data).int(1).int(31).text("world").text("anyone").int(flags);
        self.ask(CREATE, &request).await.with_context(|| format!("create {path}"))
    }

    /// Keeps the session.
    ///
    /// # Errors
    /// The session is gone.
    pub async fn ping(&mut self) -> anyhow::Result<()> {
        let mut request = Record::default();
        request.int(PING_NUMBER).int(PING);
        send(&mut self.stream, &request).await?;
        self.receive().await
    }

    /// The names below a node.
    ///
    /// # Errors
    /// There is no such node.
    pub async fn children(&mut self, path: &str) -> anyhow::Result<Vec<String>> {
        let mut request = Record::default();
        request.text(path).byte(0);
        self.ask(GET_CHILDREN, &request).await?;
        let mut rest = &self.answer[16..];
        let count = take_int(&mut rest)?;
        (0..count).map(|_| Ok(String::from_utf8(take_bytes(&mut rest)?.to_vec())?)).collect()
    }

    /// How much data a node has, in bytes.
    ///
    /// # Errors
    /// There is no such node.
    pub async fn data(&mut self, path: &str) -> anyhow::Result<usize> {
        let mut request = Record::default();
        request.text(path).byte(0);
        self.ask(GET_DATA, &request).await?;
        Ok(take_bytes(&mut &self.answer[16..])?.len())
    }

    async fn ask(&mut self, operation: i32, request: &Record) -> anyhow::Result<()> {
        self.number += 1;
        let mut framed = Record::default();
        framed.int(self.number).int(operation);
        framed.0.extend_from_slice(&request.0);
        send(&mut self.stream, &framed).await?;
        self.receive().await?;
        let mut head = &self.answer[..16];
        ensure!(take_int(&mut head)? == self.number, "an answer to another question");
        let error = i32::from_be_bytes(self.answer[12..16].try_into()?);
        ensure!(error == 0, "ZooKeeper's error {error}");
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let length = self.stream.read_i32().await?;
        self.answer.resize(usize::try_from(length)?.max(16), 0);
        let length = usize::try_from(length)?;
        self.stream.read_exact(&mut self.answer[..length]).await?;
        Ok(())
    }
}

async fn send(stream: &mut TcpStream, record: &Record) -> anyhow::Result<()> {
    let mut framed = i32::try_from(record.0.len())?.to_be_bytes().to_vec();
    framed.extend_from_slice(&record.0);
    Ok(stream.write_all(&framed).await?)
}

#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn int(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(value);
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }
}

fn take_int(rest: &mut &[u8]) -> anyhow::Result<i32> {
    let Some((number, tail)) = rest.split_first_chunk::<4>() else { bail!("the answer ends too soon") };
    *rest = tail;
    Ok(i32::from_be_bytes(*number))
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let length = usize::try_from(take_int(rest)?.max(0))?;
    let (bytes, tail) = rest.split_at_checked(length).context("the answer ends too soon")?;
    *rest = tail;
    Ok(bytes)
}

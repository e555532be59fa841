//! Clients that wait for a change over HTTP, each with a connection, and how long it takes until all have heard of it.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::bare;
use crate::dialects::{Dialect, Request};
use crate::http::{Answer, Connection};
use crate::process::Server;
use crate::report::{Measured, figure, line, quantile};

/// What is measured of those who wait for a change.
pub const WAIT: [&str; 3] = ["tell one of a change, CPU", "change to watcher, p50", "change to watcher, p99"];

/// Where clients wait for a change.
#[derive(Debug, Clone, Copy)]
pub enum Waited {
    /// In a dialect.
    Ours(Dialect),
    /// At the server that only reads and writes, for an answer of so many bytes.
    Bare(usize),
}

impl Waited {
    fn name(self) -> &'static str {
        match self {
            Self::Ours(dialect) => dialect.name(),
            Self::Bare(_) => "bare",
        }
    }

    fn look_up(self) -> Request {
        match self {
            Self::Ours(dialect) => dialect.look_up(0),
            Self::Bare(size) => ("GET", bare::path(size), String::new()),
        }
    }

    fn wait(self, index: &str) -> Option<Request> {
        match self {
            Self::Ours(dialect) => dialect.wait(0, index),
            Self::Bare(size) => Some(("GET", bare::waiting_path(size), String::new())),
        }
    }

    fn change(self, change: usize) -> Request {
        match self {
            Self::Ours(dialect) => dialect.register(0, change + 1),
            Self::Bare(_) => ("GET", bare::TELL.into(), String::new()),
        }
    }

    fn index(self, answer: &Answer<'_>) -> anyhow::Result<String> {
        match self {
            Self::Ours(dialect) => Ok(answer.header(dialect.index()).context("an index")?.to_owned()),
            Self::Bare(_) => Ok(String::new()),
        }
    }
}

/// From the moment when the request for a change is sent to the moment when each of the waiting clients has read it.
/// So many clients wait for so many changes. None where clients cannot wait; else what [`WAIT`] lists.
///
/// # Errors
/// A connection broke, or a request failed.
pub async fn watch(
    server: &Server,
    url: &str,
    waited: Waited,
    (clients, changes): (usize, usize),
) -> anyhow::Result<Option<[f64; 3]>> {
    if waited.wait("1").is_none() {
        return Ok(None);
    }
    let (ready, mut readies) = tokio::sync::mpsc::unbounded_channel();
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut watchers = JoinSet::new();
    for _ in 0..clients {
        let (url, ready, seen) = (url.to_owned(), ready.clone(), seen.clone());
        watchers.spawn(async move {
            let mut connection = Connection::open(&url).await?;
            let (method, path, body) = waited.look_up();
            let mut index = waited.index(&connection.succeed(method, &path, body.as_bytes()).await?)?;
            loop {
                let (method, path, body) = waited.wait(&index).context("a dialect with waiting")?;
                connection.send(method, &path, body.as_bytes()).await?;
                ready.send(())?;
                let answer = connection.answer().await?;
                seen.send(Instant::now())?;
                index = waited.index(&answer)?;
            }
            #[expect(unreachable_code, reason = "the type of the task")]
            anyhow::Ok(())
        });
    }
    let mut writer = Connection::open(url).await?;
    let (mut latencies, mut spent, mut wall) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    for change in 0..changes {
        for _ in 0..clients {
            tokio::select! {
                one = readies.recv() => one.context("watchers live")?,
                Some(ended) = watchers.join_next() => ended??,
            }
        }
        // What they sent is on its way: the server has it before it has had nothing to do for a while.
        settle(server).await?;
        let (method, path, body) = waited.change(change);
        let (before, sent) = (server.cpu()?, Instant::now());
        writer.succeed(method, &path, body.as_bytes()).await?;
        for _ in 0..clients {
            latencies.push(arrivals.recv().await.context("watchers live")? - sent);
        }
        (spent, wall) = (spent + (server.cpu()? - before), wall + sent.elapsed());
    }
    let operations = changes * clients;
    let measured = Measured { operations, wall, cpu: spent };
    line(&format!("{}: tell one of {} of a change", waited.name(), clients), &measured);
    let mut found = [measured.cpu_per_operation(), 0.0, 0.0, 0.0];
    for ((name, at), found) in [("p50", 0.5), ("p99", 0.99), ("last", 1.0)].into_iter().zip(&mut found[1..]) {
        let latency = quantile(&mut latencies, at).as_secs_f64() * 1e3;
        *found = latency;
        figure(&format!("{}: change to watcher, {name}", waited.name()), latency, "ms", "<= 10 ms p99 for 1,000");
    }
    watchers.shutdown().await;
    let [cpu, p50, p99, _] = found;
    Ok(Some([cpu, p50, p99]))
}

/// Returns once a server uses hardly any time.
async fn settle(server: &Server) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let before = server.cpu()?;
        tokio::time::sleep(Duration::from_millis(60)).await;
        if server.cpu()? - before <= Duration::from_millis(10) || started.elapsed() > Duration::from_secs(10) {
            return Ok(());
        }
    }
}

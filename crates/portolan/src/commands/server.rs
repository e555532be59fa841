//! `portolan server`: a server in the foreground.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use portolan_registry_consul::Log;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::app;
use crate::config::ServerOptions;
use crate::limits;
use crate::log_feed::{self, Feed};
use crate::log_file::LogFile;

/// Runs a server until it is told to stop.
pub(crate) fn run(options: ServerOptions) -> anyhow::Result<()> {
    let log = options.node.folders.log_path();
    let feed = log_feed::new();
    begin(&log, Some(feed.clone()));
    block_on(app::run(options, feed))
}

/// Runs a process of the cluster to its end. Logs go to standard error, progress to standard output.
///
/// `log` is looked after if it is what standard error is connected to.
pub(crate) fn run_in_foreground(log: &Path, process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    begin(log, None);
    block_on(process)
}

fn block_on(process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(process)
}

/// Prepares this process to run for long. Its log is also told to `feed`.
pub(crate) fn begin(log: &Path, feed: Option<Log>) {
    let filter = EnvFilter::try_from_env("PORTOLAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::registry().with(filter).with(feed.map(Feed));
    let lines = tracing_subscriber::fmt::layer().with_ansi(colours);
    match LogFile::of_standard_error(log) {
        Some(file) => subscriber.with(lines.with_writer(Mutex::new(file))).init(),
        None => subscriber.with(lines.with_writer(std::io::stderr)).init(),
    }
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "the number of open files stays limited");
    }
}

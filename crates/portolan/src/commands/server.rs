//! `portolan server`: a server in the foreground.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::app;
use crate::config::ServerOptions;
use crate::limits;
use crate::log_file::LogFile;

/// Runs a server until it is told to stop.
pub(crate) fn run(options: ServerOptions) -> anyhow::Result<()> {
    let log = options.node.folders.log_path();
    run_in_foreground(&log, app::run(options))
}

/// Runs a process of the cluster to its end. Logs go to standard error, progress to standard output.
///
/// `log` is looked after if it is what standard error is connected to.
pub(crate) fn run_in_foreground(log: &Path, process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    begin(log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(process)
}

/// Prepares this process to run for long.
pub(crate) fn begin(log: &Path) {
    let filter = EnvFilter::try_from_env("PORTOLAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    match LogFile::of_standard_error(log) {
        Some(file) => subscriber.with_writer(Mutex::new(file)).init(),
        None => subscriber.with_writer(std::io::stderr).init(),
    }
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "the number of open files stays limited");
    }
}

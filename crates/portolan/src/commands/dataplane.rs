//! `portolan dataplane`: names and packet rules of a node, in a process that a server or agent starts.

use anyhow::Context;
use portolan_base::Shutdown;
use portolan_dataplane::Process;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::server::begin;
use crate::config::DataplaneOptions;

/// Deriving the catalog of a large cluster may keep one thread busy while the other answers.
const THREADS: usize = 2;

/// Serves until it is told to stop or another one takes over.
pub(crate) fn run(options: &DataplaneOptions) -> anyhow::Result<()> {
    let layout = options.folders.dataplane();
    begin(layout.log(), None);
    let process = Process {
        layout,
        network: options.network()?,
        names: options.names()?,
        arguments: std::env::args().skip(1).collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::default();
        let listen = |kind| signal(kind).context("listen for signals");
        let mut terminate = listen(SignalKind::terminate())?;
        // Heard and not acted on: the terminal of whoever started the server may go away.
        let _hangup = listen(SignalKind::hangup())?;
        let mut serving = std::pin::pin!(process.run(shutdown.clone()));
        tokio::select! {
            ended = &mut serving => return Ok(ended?),
            _ = terminate.recv() => shutdown.request(),
        }
        Ok(serving.await?)
    })
}

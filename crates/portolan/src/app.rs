//! The wiring: which part is given what, in which order they start, and how they drain.

use std::time::Duration;

use anyhow::Context;
use portolan_base::{Readiness, Shutdown, TaskGroup};
use portolan_cli::Place;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::ServerOptions;
use crate::credentials::Credentials;
use crate::progress;
use crate::roles::control_plane::ControlPlane;
use crate::roles::local_node;

/// How long requests and loops get to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs a server until SIGTERM or SIGINT, or until a part fails for good.
pub(crate) async fn run(options: ServerOptions) -> anyhow::Result<()> {
    let shutdown = Shutdown::default();
    let readiness = Readiness::default();
    let mut tasks = TaskGroup::default();
    let mut stop = StopSignals::listen()?;
    let folder = &options.folders.data_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let _claim = Place::claim(folder)?;

    let credentials = Credentials::prepare(&options)?;
    let control_plane = ControlPlane::start(&options, &credentials, &readiness, &mut tasks, &shutdown).await?;
    progress::say(&format!("api server      {}", control_plane.url));

    let started = tokio::select! {
        started = start_node(&options, &credentials, &control_plane, &readiness, &mut tasks, &shutdown) => started,
        () = stop.received() => Err(anyhow::anyhow!("stopped while starting")),
    };
    let outcome = match started {
        Err(error) => Err(error),
        Ok(()) => tokio::select! {
            () = stop.received() => Ok(()),
            Some((part, failure)) = tasks.next_ended() => {
                Err(anyhow::anyhow!("{part} ended: {}", failure.unwrap_or_else(|| "see the log above".into())))
            }
        },
    };
    tracing::info!("draining");
    shutdown.request();
    let unclean = tasks.join(DRAIN).await;
    if !unclean.is_empty() {
        tracing::warn!(parts = ?unclean, "did not stop in time");
    }
    control_plane.close().await;
    outcome
}

/// Starts the node beside the control plane, and says where everything is.
async fn start_node(
    options: &ServerOptions,
    credentials: &Credentials,
    control_plane: &ControlPlane,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut place = Place {
        pid: std::process::id().try_into().context("process ids are positive")?,
        api_server_url: control_plane.url.clone(),
        registry_url: String::new(),
        kubeconfig: options.folders.kubeconfig(),
        runtime_socket: options.runtime_socket(),
        log: options.folders.log_path(),
        arguments: options.printable_arguments(),
    };
    if !options.no_agent {
        let node = local_node::start(options, credentials, control_plane, readiness, tasks, shutdown).await?;
        place.registry_url = node.registry_url;
    }
    place.write(&options.folders.data_dir)?;
    progress::say(progress::READY);
    Ok(())
}

/// The signals that ask a server to stop.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    _hangup: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            // Heard and not acted on: the terminal that started the server may go away.
            _hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! The wiring: which part is given what, in which order they start, and how they drain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portolan_api::typed::kinds::core::v1::Node;
use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, TaskGroup};
use portolan_cli::{Claim, Place};
use portolan_client::{Client, HttpsTransport, Kubeconfig, ListParams};
use portolan_identity::KeyPairPem;
use portolan_registry_consul::Log;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::down;
use crate::config::{AgentOptions, NodeOptions, ServerOptions};
use crate::credentials::{self, Credentials};
use crate::folders::Folders;
use crate::progress;
use crate::roles::control_plane::ControlPlane;
use crate::roles::health_checks;
use crate::roles::local_node::{self, Access};
use crate::roles::names;
use crate::roles::registry::Registry;

/// How long requests and loops get to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs a server until SIGTERM or SIGINT, or until a part fails for good.
pub(crate) async fn run(mut options: ServerOptions, log: Log) -> anyhow::Result<()> {
    options.refuse_open_registry()?;
    options.node.folders.settle()?;
    let mut process = Process::begin(&options.node.folders)?;
    let credentials = Credentials::prepare(&options)?;
    let Process { readiness, tasks, shutdown, stop, .. } = &mut process;
    let control_plane = ControlPlane::start(&options, &credentials, readiness, tasks, shutdown).await?;
    progress::say(&format!("api server      {}", control_plane.url));

    let started = tokio::select! {
        started = start_node(&options, log, &credentials, &control_plane, readiness, tasks, shutdown) => started,
        () = stop.received() => Err(anyhow::anyhow!("stopped while starting")),
    };
    let outcome = process.run(started).await;
    control_plane.close().await;
    outcome
}

/// Runs a node of an API server elsewhere, until SIGTERM or SIGINT, or until a part fails for good.
pub(crate) async fn run_agent(mut options: AgentOptions) -> anyhow::Result<()> {
    options.node.folders.settle()?;
    let mut process = Process::begin(&options.node.folders)?;
    let Process { readiness, tasks, shutdown, stop, .. } = &mut process;
    let started = tokio::select! {
        started = join(&options, readiness, tasks, shutdown) => started,
        () = stop.received() => Err(anyhow::anyhow!("stopped while starting")),
    };
    process.run(started).await
}

/// What every process of a cluster has: parts that run, somebody who stops them, and its folder.
struct Process {
    readiness: Readiness,
    tasks: TaskGroup,
    shutdown: Shutdown,
    stop: StopSignals,
    folders: Folders,
    /// Whether this start makes the node, which was not there before.
    is_new: bool,
    _claim: Claim,
}

impl Process {
    fn begin(folders: &Folders) -> anyhow::Result<Self> {
        let stop = StopSignals::listen()?;
        let folder = &folders.data_dir;
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let claim = Place::claim(folder)?;
        Ok(Self {
            readiness: Readiness::default(),
            tasks: TaskGroup::default(),
            shutdown: Shutdown::default(),
            stop,
            is_new: !folders.has_network(),
            // This process makes the network if it is not there, and may have to remove it.
            folders: folders.spelled_out(),
            _claim: claim,
        })
    }

    /// Waits for a signal or for a part to end, unless the start failed already; then drains. A start that failed leaves
    /// nothing behind but data.
    async fn run(mut self, started: anyhow::Result<()>) -> anyhow::Result<()> {
        let came_up = started.is_ok();
        let outcome = match started {
            Err(error) => Err(error),
            Ok(()) => tokio::select! {
                () = self.stop.received() => Ok(()),
                Some((part, failure)) = self.tasks.next_ended() => {
                    Err(anyhow::anyhow!("{part} ended: {}", failure.unwrap_or_else(|| "see the log above".into())))
                }
            },
        };
        tracing::info!("draining");
        self.shutdown.request();
        let unclean = self.tasks.join(DRAIN).await;
        if !unclean.is_empty() {
            tracing::warn!(parts = ?unclean, "did not stop in time");
        }
        // What was there before may hold pods that run; what this start made serves nobody.
        if !came_up && self.is_new && self.folders.has_network() {
            tracing::info!("removing what this start made");
            for failure in down::remove_node(&self.folders).await {
                tracing::warn!(%failure, "something of the failed start is left; `portolan down --keep-data` removes it");
            }
        }
        outcome
    }
}

/// Starts the node beside the control plane, and says where everything is.
async fn start_node(
    options: &ServerOptions,
    log: Log,
    credentials: &Credentials,
    control_plane: &ControlPlane,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut place = place(&options.node, control_plane.url.clone(), options.node.folders.kubeconfig())?;
    place.arguments = options.printable_arguments();
    let (checker, authority) =
        (control_plane.client(credentials::registry()).named("portolan-registry"), &credentials.authority);
    let authority_pem = authority.certificate_pem().to_owned();
    let scripts = portolan_health::probe::Scripts::Refused;
    health_checks::start(checker, control_plane.informers.clone(), None, authority_pem, scripts, tasks, shutdown);
    let parts = control_plane.start_registrar(options.partition_policy()?, credentials, tasks, shutdown)?;
    let registry = Registry::bind(options, parts).await?.with_log(log);
    place.dialects = registry.urls()?;
    place.registry_url = format!("{}/registry", place.dialects["registry"]);
    if options.no_agent {
        // Without a bridge there are no pods here: the registry and its names serve this machine, and others where they are opened.
        if let Some(names) = names::start(&options.node, &registry, readiness, tasks, shutdown)? {
            place.answers_names(names);
        }
        registry.start(None, tasks, shutdown);
        readiness.set("registry", State::Ready);
    } else {
        let name = options.node.node_name()?;
        let access = Access {
            client: control_plane.client(credentials::node(&name)).named("kubelet"),
            certificate: credentials::node_certificate(&credentials.authority, &name, options.node.advertised()?)?,
            authority_pem: credentials.authority.certificate_pem().to_owned(),
            server: control_plane.local_url.clone(),
        };
        let names = local_node::start(&options.node, access, Some(registry), readiness, tasks, shutdown).await?;
        place.answers_names(names);
    }
    place.write(&options.node.folders.data_dir)?;
    progress::say(progress::READY);
    Ok(())
}

/// Makes this machine a node of an API server elsewhere.
async fn join(
    options: &AgentOptions,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut endpoint = Kubeconfig::load(&options.kubeconfig)?.endpoint()?;
    if let Some(server) = &options.server {
        endpoint.server.clone_from(server);
    }
    let (Some(certificate_pem), Some(key_pem)) = (endpoint.client_certificate.clone(), endpoint.client_key.clone())
    else {
        anyhow::bail!(
            "{} has no client certificate, and an agent proves its node by one; make a kubeconfig with `portolan invite`",
            options.kubeconfig.display()
        );
    };
    let client = Client::new(Arc::new(HttpsTransport::new(&endpoint)?)).named("kubelet");
    // An agent waits for its API server for ever, but a mistake in the address or identity is said at once.
    let me = client.list::<Node>("", &ListParams::default()).await;
    me.with_context(|| format!("join the cluster at {}", endpoint.server))?;
    progress::say(&format!("api server      {}", endpoint.server));
    let access = Access {
        client,
        certificate: KeyPairPem { certificate_pem, key_pem },
        authority_pem: endpoint.certificate_authority.clone(),
        server: endpoint.server.clone(),
    };
    // Leases are kept in one place, beside the API server; agents answer names only.
    let names = local_node::start(&options.node, access, None, readiness, tasks, shutdown).await?;
    let kubeconfig = std::path::absolute(&options.kubeconfig).context("find the kubeconfig")?;
    let mut place = place(&options.node, endpoint.server, kubeconfig)?;
    place.answers_names(names);
    place.write(&options.node.folders.data_dir)?;
    progress::say(progress::READY);
    Ok(())
}

/// What commands on this machine need to know of this process.
fn place(options: &NodeOptions, api_server_url: String, kubeconfig: PathBuf) -> anyhow::Result<Place> {
    Ok(Place {
        pid: std::process::id().try_into().context("process ids are positive")?,
        api_server_url,
        registry_url: String::new(),
        dialects: Default::default(),
        kubeconfig,
        runtime_socket: options.runtime_socket(),
        log: options.folders.log_path(),
        arguments: Vec::new(),
    })
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

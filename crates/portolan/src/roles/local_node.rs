//! The node on this machine: network, container runtime, agent, name service, registry.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, SystemClock, TaskGroup};
use portolan_client::{Client, Informers};
use portolan_health::probe::Scripts;
use portolan_identity::{KeyPairPem, server_tls};
use portolan_runtime::Runtime;
use portolan_runtime::containerd::{Health, Supervisor};

use crate::config::{DataplaneOptions, NodeOptions};
use crate::ports;
use crate::progress;
use crate::roles::registry::Registry;
use crate::roles::{dataplane, health_checks};

/// What a node needs of the API server, in this process or elsewhere.
pub(crate) struct Access {
    /// A client with the identity of the node.
    pub(crate) client: Client,
    /// What the agent's own API proves the node by.
    pub(crate) certificate: KeyPairPem,
    /// The certificate authority that the clients of the agent's API are known by, PEM.
    pub(crate) authority_pem: String,
    /// URL of the API server for other processes of the node.
    pub(crate) server: String,
}

/// Starts everything that makes this machine a node, and returns once it is one, with the address where it answers
/// names.
pub(crate) async fn start(
    options: &NodeOptions,
    access: Access,
    registry: Option<Registry>,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<SocketAddr> {
    let name = options.node_name()?;
    let network = DataplaneOptions::of(options)?.network()?;
    // What may be taken by others is asked for before anything is made.
    drop(ports::listen(agent_address(options), "the node agent", "--agent-port").await?);
    options.folders.refuse_foreign_bridge()?;
    options.folders.note_names()?;
    portolan_network::setup_node(&network)?;
    install_plugin(&options.folders.network_plugins())?;
    write_network_list(options, &network)?;
    progress::say(&format!("network         pods {} on {}", network.pod_cidr, network.bridge));

    let gateway = network.pod_cidr.gateway();
    let registry = match registry {
        Some(mut registry) => {
            registry.bind_for_pods(gateway).await?;
            Some(registry)
        }
        None => None,
    };
    let names = dataplane::start(options, &access, gateway.into(), readiness, tasks, shutdown).await?;

    let runtime = start_runtime(options, readiness, tasks, shutdown).await?;
    progress::say(&format!("runtime         {}", runtime.version().await?));

    let shared = registry.as_ref().map(Registry::informers);
    let informers = shared.unwrap_or_else(|| start_informers(access.client.clone(), tasks, shutdown));
    let (client, authority_pem) = (access.client.clone(), access.authority_pem.clone());
    let scripts = if options.enable_script_checks { Scripts::Allowed } else { Scripts::Refused };
    health_checks::start(client, informers, Some(name.clone()), authority_pem, scripts, tasks, shutdown);
    if let Some(registry) = registry {
        registry.start(Some(network.cluster_cidr), tasks, shutdown);
        readiness.set("registry", State::Ready);
    }

    let agent = agent_config(options, access, readiness, runtime, &name)?;
    let (stopping, board) = (shutdown.clone(), readiness.clone());
    tasks.spawn("agent", async move {
        if let Err(error) = portolan_node::run(agent, stopping).await {
            let reason = portolan_base::error::chain(&error).to_string();
            tracing::error!(%reason, "the node agent failed");
            board.set("node", State::Failed(reason));
        }
    });
    dataplane::ready(readiness).await?;
    let outside = options.dns_listen.address().map(|_| format!(", {names}")).unwrap_or_default();
    progress::say(&format!("dns             {} and {gateway}{outside}", options.cluster_dns));
    readiness.settled("node").await.map_err(|reason| anyhow::anyhow!("the node agent failed: {reason}"))?;
    progress::say(&format!("node            {name}"));
    Ok(names)
}

/// Informers over a client, running until shutdown.
pub(crate) fn start_informers(client: Client, tasks: &mut TaskGroup, shutdown: &Shutdown) -> Arc<Informers> {
    let informers = Informers::new(client);
    let (running, shutdown) = (informers.clone(), shutdown.clone());
    tasks.spawn("informers", async move { running.run(shutdown).await });
    informers
}

async fn start_runtime(
    options: &NodeOptions,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<Arc<dyn Runtime>> {
    if let Some(socket) = &options.runtime_endpoint {
        let runtime =
            portolan_runtime::cri::CriRuntime::connect(portolan_runtime::cri::Options::external(socket.clone()))
                .await?;
        readiness.set("containerd", State::Ready);
        return Ok(Arc::new(runtime));
    }
    readiness.set("containerd", State::Starting("waiting for its socket".into()));
    let supervisor = Arc::new(Supervisor::start(options.containerd()).await?);
    let runtime = supervisor.runtime().await?;
    let (supervised, stopping) = (supervisor.clone(), shutdown.clone());
    tasks.spawn("containerd", async move { supervised.run(stopping).await });
    let (mut health, readiness, stopping) = (supervisor.health(), readiness.clone(), shutdown.clone());
    tasks.spawn("containerd health", async move {
        loop {
            let state = match &*health.borrow_and_update() {
                Health::Running { .. } => State::Ready,
                Health::Failed { reason } => State::Failed(reason.clone()),
                Health::Stopped => State::Failed("stopped".into()),
            };
            readiness.set("containerd", state);
            if !matches!(stopping.run(health.changed()).await, Some(Ok(()))) {
                return;
            }
        }
    });
    Ok(Arc::new(runtime))
}

/// The container runtime starts plugins by file name, so this binary lies there under two names.
fn install_plugin(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let binary = std::env::current_exe().context("find my own binary")?;
    for name in [portolan_network::cni::PLUGIN_NAME, "loopback"] {
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == binary) {
            continue;
        }
        let temporary = folder.join(format!("{name}.new"));
        let _ = std::fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&binary, &temporary)
            .and_then(|()| std::fs::rename(&temporary, &link))
            .with_context(|| format!("install the network plugin {}", link.display()))?;
    }
    Ok(())
}

fn write_network_list(options: &NodeOptions, network: &portolan_network::Config) -> anyhow::Result<()> {
    let folder = options.folders.network_config();
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("10-portolan.conflist");
    let text = portolan_network::cni::config_list(network).to_string();
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn agent_address(options: &NodeOptions) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, options.agent_port).into()
}

fn agent_config(
    options: &NodeOptions,
    access: Access,
    readiness: &Readiness,
    runtime: Arc<dyn Runtime>,
    name: &str,
) -> anyhow::Result<portolan_node::Config> {
    Ok(portolan_node::Config {
        node_name: name.to_owned(),
        client: access.client,
        runtime,
        data_dir: options.folders.node(),
        log_dir: options.folders.pod_logs(),
        server: Some(portolan_node::ServerConfig {
            bind: agent_address(options),
            tls: server_tls(&access.certificate, &access.authority_pem)?,
        }),
        cluster_dns: options.cluster_dns,
        cluster_domain: options.cluster_domain.clone(),
        resolv_conf: "/etc/resolv.conf".into(),
        addresses: vec![options.advertised()?],
        pod_cidr: options.pod_cidr.clone(),
        labels: Default::default(),
        taints: Vec::new(),
        max_pods: 110,
        capacity: None,
        log_rotation: Default::default(),
        memory_volumes: portolan_node::MemoryVolumes::Tmpfs,
        eviction: Some(portolan_node::EvictionConfig {
            thresholds: match &options.eviction_hard {
                Some(text) => text.parse().context("--eviction-hard")?,
                None => portolan_node::Thresholds::default(),
            },
            // The private containerd keeps images there, too.
            image_dir: options.folders.data_dir.clone(),
        }),
        cgroups: Some(portolan_node::CgroupConfig { mount: "/sys/fs/cgroup".into(), parent: options.cgroup_parent() }),
        clock: Arc::new(SystemClock),
        readiness: readiness.clone(),
    })
}

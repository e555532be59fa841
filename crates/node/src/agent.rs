//! How the parts of the agent are connected.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use portolan_base::readiness::State;
use portolan_base::{Shutdown, TaskGroup};
use portolan_client::{EventRecorder, Informers};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::error::Error;
use crate::logs;
use crate::node_group;
use crate::pressure::{Keeper, Pressures};
use crate::registration::{Machine, Registration};
use crate::server::Server;
use crate::sources::Sources;
use crate::volumes::Volumes;
use crate::worker::{Context, RuntimeView, Supervisor};

/// How long the parts get to end.
const DRAIN: Duration = Duration::from_secs(5);
/// The part's name on the readiness board.
const PART: &str = "node";

/// Runs the agent until shutdown is requested; running containers stay.
///
/// # Errors
/// The agent cannot start, or one of its parts failed for good.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let readiness = config.readiness.clone();
    readiness.set(PART, State::Starting("registering the node".into()));
    for path in [&config.data_dir, &config.log_dir] {
        std::fs::create_dir_all(path).map_err(|source| Error::CreateFolder { path: path.clone(), source })?;
    }
    let machine = Machine::look(&config.data_dir);
    let informers = Informers::new(config.client.clone());
    let pods = informers.selected::<Pod>(&format!("spec.nodeName={}", config.node_name));
    let nodes = informers.selected::<Node>(&format!("metadata.name={}", config.node_name));
    let sources = Arc::new(Sources::new(config.client.clone()));
    let (pressures, pressed) = watch::channel(Pressures::default());
    let (evictions, evicted) = mpsc::channel(1);
    let capacity = config.capacity.clone().unwrap_or_else(|| machine.capacity.clone());
    let context = Arc::new(Context {
        allocatable: config.allocatable(&capacity),
        capacity,
        view: RuntimeView::new(config.runtime.clone()),
        volumes: Volumes::new(
            &config.data_dir,
            config.memory_volumes,
            sources.clone(),
            config.client.clone(),
            config.clock.clone(),
        ),
        sources,
        services: informers.informer::<Service>(),
        events: EventRecorder::with_clock(config.client.clone(), "kubelet", &config.node_name, config.clock.clone()),
        pressures: pressed.clone(),
        config: config.clone(),
    });
    let server = match &config.server {
        Some(server) => Some(Server::bind(server, context.clone(), pods.clone()).await?),
        None => None,
    };
    let port = server.as_ref().map(Server::port);

    let mut tasks = TaskGroup::default();
    // Parts stop in any order: none needs another to stop well.
    let stop = shutdown.child();
    tasks.spawn("informers", {
        let (informers, stop) = (informers.clone(), stop.clone());
        async move { informers.run(stop).await }
    });
    tasks.spawn("runtime view", {
        let (context, stop) = (context.clone(), stop.clone());
        async move { context.view.run(stop).await }
    });
    tasks.spawn("pods", Supervisor::new(context.clone(), pods.clone(), evicted).run(stop.clone()));
    if let Some(eviction) = config.eviction.clone() {
        let keeper = Keeper::new(context.clone(), eviction, pods.clone(), pressures, evictions);
        tasks.spawn("pressure", keeper.run(stop.clone()));
    }
    if let Some(cgroups) = config.cgroups.clone() {
        tasks.spawn("control groups", node_group::run(context.clone(), cgroups, pods.clone(), stop.clone()));
    }
    let registration = Registration::new(config, machine, port, nodes, pressed, context.events.clone());
    tasks.spawn("registration", registration.run(stop.clone()));
    tasks.spawn("log rotation", logs::rotate(context.clone(), stop.clone()));
    if let Some(server) = server {
        tasks.spawn("node API", server.run(stop.clone()));
    }
    let ready = async {
        pods.synced().await;
        readiness.set(PART, State::Ready);
        std::future::pending::<()>().await;
    };
    let failed = tokio::select! {
        () = ready => None,
        ended = tasks.next_ended() => ended,
        () = shutdown.requested() => None,
    };
    stop.request();
    let unclean = tasks.join(DRAIN).await;
    if !unclean.is_empty() {
        tracing::warn!("parts of the agent that had to be stopped: {}", unclean.join(", "));
    }
    match failed {
        Some((part, reason)) if !shutdown.is_requested() => {
            let reason = reason.unwrap_or_else(|| "it ended without being asked to".into());
            readiness.set(PART, State::Failed(format!("{part}: {reason}")));
            Err(Error::PartStopped { part, reason })
        }
        _ => Ok(()),
    }
}

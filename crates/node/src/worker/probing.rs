//! Which probes run, and what follows from what they find.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use portolan_base::Timestamp;
use portolan_client::EventType;
use portolan_runtime::{ContainerId, ContainerState};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::context::Context;
use crate::lifecycle::{Doomed, Local, PodRuntime, is_started, probed};
use crate::pod::{self, Role};
use crate::probes::{Finding, Kind, Prober, Report};

/// Reports that wait for the worker; more make the probes wait.
const QUEUE: usize = 16;

/// The running probes of one pod.
#[derive(Debug)]
pub(super) struct Probing {
    tasks: JoinSet<()>,
    running: BTreeMap<(ContainerId, Kind), AbortHandle>,
    sender: mpsc::Sender<Report>,
    receiver: mpsc::Receiver<Report>,
}

impl Probing {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { tasks: JoinSet::new(), running: BTreeMap::new(), sender, receiver }
    }

    /// The next report. Never ends.
    pub(super) async fn report(&mut self) -> Report {
        loop {
            if let Some(report) = self.receiver.recv().await {
                return report;
            }
        }
    }

    /// Stops all probes.
    pub(super) fn stop(&mut self) {
        self.tasks.abort_all();
        self.running.clear();
    }

    /// Starts the probes that should run and stops the others.
    pub(super) fn adjust(&mut self, context: &Context, pod: &Pod, runtime: &PodRuntime, local: &Local, now: Timestamp) {
        while self.tasks.try_join_next().is_some() {}
        let mut wanted = BTreeMap::new();
        for (role, container) in pod::containers(pod) {
            if !matches!(role, Role::App | Role::Sidecar) {
                continue;
            }
            let Some(status) = runtime.current(&container.name) else { continue };
            let ContainerState::Running { started_at } = status.state else { continue };
            // What is being killed is not asked how it is.
            if is_ending(local, &container.name, &status.id) {
                continue;
            }
            let running_for = Duration::try_from(now.duration_since(started_at)).unwrap_or_default();
            for kind in [Kind::Startup, Kind::Readiness, Kind::Liveness] {
                let Some(probe) = kind.of(&container) else { continue };
                let due = match kind {
                    Kind::Startup => !probed(pod, local, &container, status).started,
                    Kind::Readiness | Kind::Liveness => is_started(pod, local, &container, status),
                };
                if due {
                    let prober = Prober {
                        runtime: Arc::clone(&context.config.runtime),
                        container: container.clone(),
                        id: status.id.clone(),
                        kind,
                        probe: probe.clone(),
                        address: match runtime.sandbox() {
                            Some(sandbox) if !pod::host_network(pod) => sandbox.addresses.first().copied(),
                            _ => context.config.addresses.first().copied(),
                        },
                        running_for,
                        reports: self.sender.clone(),
                    };
                    wanted.insert((status.id.clone(), kind), prober);
                }
            }
        }
        self.running.retain(|key, handle| {
            let keep = wanted.contains_key(key);
            if !keep {
                handle.abort();
            }
            keep
        });
        for (key, prober) in wanted {
            self.running.entry(key).or_insert_with(|| self.tasks.spawn(prober.run()));
        }
    }
}

/// Takes in a report: remembers it and records the event that belongs to it.
pub(super) fn remember(context: &Context, pod: &Pod, runtime: &PodRuntime, local: &mut Local, report: Report) {
    let Some((_, container)) = pod::container(pod, &report.container) else { return };
    let Some(status) = runtime.current(&container.name).filter(|status| status.id == report.id) else { return };
    // A probe that ended before it was stopped.
    if is_ending(local, &container.name, &status.id) {
        return;
    }
    let kind = report.kind.name();
    let healthy = match report.finding {
        Finding::Failed(message) => {
            let text = format!("{kind} probe failed: {message}");
            context.container_event(pod, &container.name, EventType::Warning, "Unhealthy", text);
            return;
        }
        Finding::Decided { healthy } => healthy,
    };
    let mut current = probed(pod, local, &container, status);
    match report.kind {
        Kind::Startup => current.started |= healthy,
        Kind::Readiness => current.ready = healthy,
        Kind::Liveness => {}
    }
    let remembered = local.containers.entry(container.name.clone()).or_default();
    remembered.probed = Some(current);
    if !healthy && report.kind != Kind::Readiness {
        remembered.doomed = Some(Doomed {
            id: report.id,
            message: format!("Container {} failed {} probe, will be restarted", container.name, kind.to_lowercase()),
            grace: pod::probe_grace_period(pod, report.kind.of(&container)),
        });
    }
}

/// Whether a container is being killed, or is about to be.
fn is_ending(local: &Local, name: &str, id: &ContainerId) -> bool {
    let doomed = local.containers.get(name).and_then(|container| container.doomed.as_ref());
    local.stopping.contains_key(id) || doomed.is_some_and(|doomed| doomed.id == *id)
}

//! What a decision about a pod is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use portolan_base::Timestamp;
use portolan_runtime::{ContainerId, ContainerState, ContainerStatus, Resources, SandboxStatus};

use super::labels;
use super::resize::{Allocation, Room};
use crate::pod;

/// What the runtime has of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodRuntime {
    /// All its sandboxes.
    pub(crate) sandboxes: Vec<SandboxStatus>,
    /// All containers in them.
    pub(crate) containers: Vec<ContainerStatus>,
}

impl PodRuntime {
    /// The newest sandbox, whatever its state.
    pub(crate) fn sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.iter().max_by_key(|sandbox| (sandbox.pod.attempt, sandbox.created_at))
    }

    /// The newest start of a container.
    pub(crate) fn latest(&self, name: &str) -> Option<&ContainerStatus> {
        self.starts(name).max_by_key(|container| (container.attempt, container.created_at))
    }

    /// The newest start of a container in the newest sandbox.
    pub(crate) fn current(&self, name: &str) -> Option<&ContainerStatus> {
        let sandbox = self.sandbox()?;
        let here = self.starts(name).filter(|container| container.sandbox == sandbox.id);
        here.max_by_key(|container| (container.attempt, container.created_at))
    }

    /// The newest ended start of a container before its newest one.
    pub(crate) fn previous(&self, name: &str) -> Option<&ContainerStatus> {
        let latest = &self.latest(name)?.id;
        let ended = self
            .starts(name)
            .filter(|container| container.id != *latest && matches!(container.state, ContainerState::Exited { .. }));
        ended.max_by_key(|container| (container.attempt, container.created_at))
    }

    /// Containers that run or may run.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers.iter().filter(|container| is_alive(container))
    }

    fn starts(&self, name: &str) -> impl Iterator<Item = &ContainerStatus> {
        self.containers.iter().filter(move |container| container.name == name)
    }
}

/// Whether a container runs or may run.
pub(crate) fn is_alive(container: &ContainerStatus) -> bool {
    matches!(container.state, ContainerState::Running { .. } | ContainerState::Unknown)
}

/// What the agent remembers of a pod. Lost with the agent, so nothing here is the only copy of
/// anything that must survive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Local {
    /// The pod's volumes and folders.
    pub(crate) volumes: Volumes,
    /// Why the last try to make a sandbox failed.
    pub(crate) sandbox_failure: Option<Failure>,
    /// By name of the container.
    pub(crate) containers: BTreeMap<String, LocalContainer>,
    /// Steps that are being executed.
    pub(crate) in_flight: BTreeSet<Work>,
    /// Grace period of the stops that are being executed.
    pub(crate) stopping: BTreeMap<ContainerId, Duration>,
    /// The API knows the status that follows from the runtime's state.
    pub(crate) reported: bool,
    /// The API object was deleted for good by this agent.
    pub(crate) deleted: bool,
    /// Why the last try of the final delete failed.
    pub(crate) delete_failure: Option<Failure>,
    /// The node does not let the pod run, or not any longer.
    pub(crate) verdict: Option<Verdict>,
    /// What it may have.
    pub(crate) allocation: Allocation,
    /// What its control group has; unknown until this agent has limited it, whatever an earlier one did.
    pub(crate) group: Option<Resources>,
    /// Why the group did not get what it may have.
    pub(crate) group_failure: Option<Failure>,
    /// Whether the node has room for what the pod asks for.
    pub(crate) room: Room,
}

impl Local {
    /// Another resize is not the one that failed: it is tried at once.
    pub(crate) fn forget_failed_resizes(&mut self) {
        self.group_failure = None;
        self.containers.values_mut().for_each(|container| container.resize_failure = None);
    }
}

/// Why the node does not let a pod run. It fails with this, whatever its containers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) cause: Cause,
    /// One word, as upstream has it.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

/// How a pod came to its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It never began.
    Refused,
    /// It ran and had to make room.
    Evicted,
}

/// State of a pod's volumes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Volumes {
    /// Not looked at since the agent started.
    #[default]
    Unprepared,
    /// There.
    Ready,
    /// The last try failed.
    Failed(Failure),
    /// Taken down because the pod ended.
    TornDown,
}

/// What the agent remembers of a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalContainer {
    /// The image for the next start.
    pub(crate) image: ImageState,
    /// Why the last start failed before there was a container to look at.
    pub(crate) start_failure: Option<Failure>,
    /// What probes said.
    pub(crate) probed: Option<Probed>,
    /// A running container that must be stopped.
    pub(crate) doomed: Option<Doomed>,
    /// The start that was resized last, and to what; the pod's limits included.
    pub(crate) applied: Option<(ContainerId, ResourceRequirements)>,
    /// Why the last resize failed.
    pub(crate) resize_failure: Option<Failure>,
}

/// The image for the next start of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum ImageState {
    /// Not looked at.
    #[default]
    Unknown,
    /// Here, under this id.
    Present(String),
    /// Not to be had.
    Failed(Failure),
}

/// Something that failed and will be tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// One word, as upstream has it.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
    /// Not before this.
    pub(crate) retry_at: Timestamp,
    /// How long it was waited, to wait longer next time.
    pub(crate) delay: Duration,
}

impl Failure {
    /// A failure that follows `before`: the delay doubles from `first` to `ceiling`.
    pub(crate) fn after(
        before: Option<&Self>,
        reason: impl Into<String>,
        message: impl Into<String>,
        now: Timestamp,
        (first, ceiling): (Duration, Duration),
    ) -> Self {
        let delay = before.map_or(first, |failure| (failure.delay * 2).min(ceiling));
        Self { reason: reason.into(), message: message.into(), retry_at: now + delay, delay }
    }
}

/// What probes said about one start of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probed {
    pub(crate) id: ContainerId,
    /// The startup probe succeeded, or there is none.
    pub(crate) started: bool,
    /// The readiness probe succeeded last, or there is none.
    pub(crate) ready: bool,
}

/// A running container that must be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub(crate) id: ContainerId,
    /// For the event `Killing`.
    pub(crate) message: String,
    pub(crate) grace: Duration,
}

/// Names a step that takes time, so that it is not begun twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    Volumes,
    Sandbox,
    Image(String),
    Start(String),
    Resize(String),
    Limit,
    Stop(String),
    Remove(String),
    Delete,
}

/// What probes say about `status`, a start of `container`.
///
/// For a container that the agent finds after its own restart, the API's last word counts until a
/// probe says otherwise; so a restart of the agent takes no pod out of service.
pub(crate) fn probed(pod: &Pod, local: &Local, container: &Container, status: &ContainerStatus) -> Probed {
    if let Some(probed) = local.containers.get(&container.name).and_then(|local| local.probed.as_ref())
        && probed.id == status.id
    {
        return probed.clone();
    }
    let id = status.id.clone();
    let (no_startup, no_readiness) = (container.startup_probe.is_none(), container.readiness_probe.is_none());
    match pod::reported_status(pod, &container.name) {
        Some(reported) if reported.container_id.as_deref() == Some(&labels::container_uri(&id)) => Probed {
            id,
            started: no_startup || reported.started.unwrap_or(false),
            ready: no_readiness || reported.ready,
        },
        _ => Probed { id, started: no_startup, ready: no_readiness },
    }
}

/// Whether a running container counts as started: its hook ended and its startup probe succeeded.
pub(crate) fn is_started(pod: &Pod, local: &Local, container: &Container, status: &ContainerStatus) -> bool {
    matches!(status.state, ContainerState::Running { .. })
        && !local.in_flight.contains(&Work::Start(container.name.clone()))
        && probed(pod, local, container, status).started
}

//! Statuses of containers.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::time::whole_seconds;
use portolan_base::Timestamp;
use portolan_base::go::format_duration;
use portolan_runtime as runtime;

use super::{Phase, Surroundings};
use crate::lifecycle::crash::{self, Next, Restart};
use crate::lifecycle::labels::{Memory, container_uri};
use crate::lifecycle::resize;
use crate::lifecycle::state::{ImageState, Local, PodRuntime, Volumes, is_started, probed};
use crate::pod::{self, Role};

/// Statuses of init containers, app containers and ephemeral containers.
pub(super) fn container_statuses(
    pod: &Pod,
    runtime: &PodRuntime,
    local: &Local,
    around: &Surroundings,
    phase: Phase,
) -> [Vec<ContainerStatus>; 3] {
    let writer = Writer { pod, runtime, local, around, phase };
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    for (role, container) in pod::containers(pod) {
        let list = match role {
            Role::Init | Role::Sidecar => 0,
            Role::App => 1,
            Role::Ephemeral => 2,
        };
        lists[list].push(writer.container(role, &container));
    }
    lists
}

struct Writer<'a> {
    pod: &'a Pod,
    runtime: &'a PodRuntime,
    local: &'a Local,
    around: &'a Surroundings,
    phase: Phase,
}

impl Writer<'_> {
    fn container(&self, role: Role, container: &Container) -> ContainerStatus {
        let reported = pod::reported_status(self.pod, &container.name);
        let Some(latest) = self.runtime.latest(&container.name) else {
            return self.without_container(role, container, reported);
        };
        let started = is_started(self.pod, self.local, container, latest);
        let state = self.state(role, container, latest);
        let last = match (&state.waiting, &latest.state) {
            // The newest start has ended and waits to be repeated.
            (Some(_), runtime::ContainerState::Exited { .. }) => Some(self.terminated(latest)),
            _ => self.runtime.previous(&container.name).map(|previous| self.terminated(previous)),
        };
        let last = last.or_else(|| reported_last(reported, latest));
        let ready = match role {
            Role::Init => matches!(latest.state, runtime::ContainerState::Exited { exit_code: 0, .. }),
            Role::Sidecar | Role::App => started && probed(self.pod, self.local, container, latest).ready,
            Role::Ephemeral => false,
        };
        let created = latest.state != runtime::ContainerState::Created;
        let (allocated, resources) = self.resources(role, container, latest);
        ContainerStatus {
            allocated_resources: allocated,
            resources,
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            image_id: latest.image_id.clone(),
            container_id: created.then(|| container_uri(&latest.id)),
            restart_count: i32::try_from(Memory::of(latest).restart_count).unwrap_or(i32::MAX),
            started: Some(started),
            ready,
            last_state: Some(last.unwrap_or_default()),
            state: Some(state),
            volume_mounts: volume_mounts(container),
            ..ContainerStatus::default()
        }
    }

    /// What a container may have, and what it has; one that does not run has what it may.
    fn resources(
        &self,
        role: Role,
        container: &Container,
        latest: &runtime::ContainerStatus,
    ) -> (Option<BTreeMap<String, Quantity>>, Option<ResourceRequirements>) {
        if role == Role::Ephemeral {
            return (None, None);
        }
        let own = container.resources.clone().unwrap_or_default();
        let requests = own.requests.clone().filter(|requests| !requests.is_empty());
        let has = match latest.state {
            runtime::ContainerState::Running { .. } => resize::applied(self.pod, self.local, latest).map(|mut has| {
                // The pod's limits are told beside limits of its own only.
                has.limits = has.limits.filter(|_| own.limits.as_ref().is_some_and(|limits| !limits.is_empty()));
                has
            }),
            _ => Some(own),
        };
        (requests, has)
    }

    /// The status of a container that the runtime does not have.
    fn without_container(
        &self,
        role: Role,
        container: &Container,
        reported: Option<&ContainerStatus>,
    ) -> ContainerStatus {
        let mut status = ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            started: Some(false),
            state: Some(self.waiting(container)),
            last_state: Some(ContainerState::default()),
            volume_mounts: volume_mounts(container),
            ..ContainerStatus::default()
        };
        let Some(reported) = reported else { return status };
        let ran = pod::has_id(reported);
        let is_over = self.phase.is_terminal() || self.pod.metadata.deletion_timestamp.is_some();
        if is_over || role == Role::Ephemeral && ran {
            let ended = reported.state.as_ref().is_some_and(|state| state.terminated.is_some());
            return if ended {
                reported.clone()
            } else if ran {
                self.lost(reported)
            } else {
                status
            };
        }
        if ran {
            let lost = self.lost(reported);
            status.restart_count = reported.restart_count;
            status.last_state = lost.state;
        } else if pod::has_run(reported) {
            status.restart_count = reported.restart_count;
            status.last_state.clone_from(&reported.last_state);
        }
        status
    }

    /// The status of a container that ran, and that the runtime no longer knows.
    fn lost(&self, reported: &ContainerStatus) -> ContainerStatus {
        let before = reported.state.clone().unwrap_or_default();
        let state = if before.terminated.is_some() {
            before
        } else {
            let message = "The container could not be located when the pod was terminated";
            ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code: 137,
                    reason: Some("ContainerStatusUnknown".into()),
                    message: Some(message.into()),
                    container_id: reported.container_id.clone(),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            }
        };
        ContainerStatus { state: Some(state), ready: false, started: Some(false), ..reported.clone() }
    }

    fn state(&self, role: Role, container: &Container, latest: &runtime::ContainerStatus) -> ContainerState {
        match &latest.state {
            runtime::ContainerState::Running { started_at } => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(seconds(*started_at)) }),
                ..ContainerState::default()
            },
            runtime::ContainerState::Exited { .. } => {
                let stopping = self.phase.is_terminal() || self.pod.metadata.deletion_timestamp.is_some();
                let next = crash::next(self.pod, role, container, latest);
                if stopping || next == Next::Nothing {
                    return self.terminated(latest);
                }
                let waiting = self.failure(container).or_else(|| self.crash_loop(container, next));
                waiting.unwrap_or_else(|| self.terminated(latest))
            }
            runtime::ContainerState::Created => {
                let Some(previous) = self.runtime.previous(&container.name) else { return self.waiting(container) };
                let next = crash::next(self.pod, role, container, previous);
                // Between two runs upstream has no word for it.
                let nameless = || ContainerState { waiting: Some(Default::default()), ..ContainerState::default() };
                self.failure(container).or_else(|| self.crash_loop(container, next)).unwrap_or_else(nameless)
            }
            runtime::ContainerState::Unknown => self.waiting(container),
        }
    }

    /// That a start that ended is repeated only after a while. The word stands until the next one runs, as upstream.
    fn crash_loop(&self, container: &Container, next: Next) -> Option<ContainerState> {
        let Next::Restart(Restart { delay, .. }) = next else { return None };
        let message = || crash_loop_message(self.pod, &container.name, delay);
        (!delay.is_zero()).then(|| waiting("CrashLoopBackOff", message()))
    }

    /// Why a container is not there yet.
    fn waiting(&self, container: &Container) -> ContainerState {
        if let Some(failure) = self.failure(container) {
            return failure;
        }
        match &self.local.volumes {
            Volumes::Failed(failure) if failure.reason != "FailedMount" => {
                waiting(&failure.reason, failure.message.clone())
            }
            _ => {
                let init = pod::spec(self.pod).init_containers.as_ref().is_some_and(|list| !list.is_empty());
                waiting(if init { "PodInitializing" } else { "ContainerCreating" }, String::new())
            }
        }
    }

    fn failure(&self, container: &Container) -> Option<ContainerState> {
        let local = self.local.containers.get(&container.name)?;
        let failure = match (&local.start_failure, &local.image) {
            (Some(failure), _) | (None, ImageState::Failed(failure)) => failure,
            _ => return None,
        };
        Some(waiting(&failure.reason, failure.message.clone()))
    }

    fn terminated(&self, container: &runtime::ContainerStatus) -> ContainerState {
        let runtime::ContainerState::Exited { started_at, finished_at, exit_code, reason, message } = &container.state
        else {
            return ContainerState::default();
        };
        let uri = container_uri(&container.id);
        let mut message = self.around.messages.get(&container.id).cloned().unwrap_or_else(|| message.clone());
        if message.is_empty() {
            // The file is gone with the pod's folder; what the API heard before still holds.
            message = self.reported_message(&container.name, &uri).unwrap_or_default();
        }
        let default = if *exit_code == 0 { "Completed" } else { "Error" };
        ContainerState {
            terminated: Some(ContainerStateTerminated {
                container_id: Some(uri),
                exit_code: *exit_code,
                finished_at: Some(seconds(*finished_at)),
                started_at: Some(seconds(*started_at)),
                reason: Some(if reason.is_empty() { default.to_owned() } else { reason.clone() }),
                message: (!message.is_empty()).then_some(message),
                signal: None,
            }),
            ..ContainerState::default()
        }
    }

    fn reported_message(&self, name: &str, uri: &str) -> Option<String> {
        let reported = pod::reported_status(self.pod, name)?;
        let states = [&reported.state, &reported.last_state];
        let ended = states.into_iter().flatten().filter_map(|state| state.terminated.as_ref());
        ended.into_iter().find(|ended| ended.container_id.as_deref() == Some(uri))?.message.clone()
    }
}

/// How volumes are mounted. Mounts below a read-only one stay as they are: this agent changes only the mount itself.
fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    let status = mounts.iter().map(|mount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    });
    Some(status.collect())
}

/// Upstream's words for a container that waits to be started again.
pub(crate) fn crash_loop_message(pod: &Pod, container: &str, delay: Duration) -> String {
    format!("back-off {} restarting failed container={container} pod={}", format_duration(delay), pod::display(pod))
}

/// The last state that the API knows, for a container whose earlier starts the runtime has forgotten.
fn reported_last(reported: Option<&ContainerStatus>, latest: &runtime::ContainerStatus) -> Option<ContainerState> {
    let reported = reported?;
    let same = reported.container_id.as_ref().is_none_or(|id| *id == container_uri(&latest.id));
    let last = if same { &reported.last_state } else { &reported.state };
    last.clone().filter(|state| state.terminated.is_some())
}

fn waiting(reason: &str, message: String) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then_some(message),
        }),
        ..ContainerState::default()
    }
}

/// The API keeps whole seconds; more digits would make an unchanged status look changed.
fn seconds(time: Timestamp) -> Time {
    Time(whole_seconds(time))
}

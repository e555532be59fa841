//! The decision: from what is wanted, what is there and what is remembered to the next steps.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_base::Timestamp;
use portolan_runtime::{ContainerId, ContainerState, ContainerStatus, SandboxId};

use super::crash::{self, Next};
use super::labels::{Memory, hash};
use super::resize::{self, Action};
use super::state::{ImageState, Local, PodRuntime, Volumes, Work, is_alive, is_started};
use super::status::{deadline_at, is_terminal};
use crate::pod::{self, Role};

/// What a container gets that must make room at once, as upstream.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// Something to do for a pod. Each step is idempotent and may be lost at any point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Make the pod's folders and volumes.
    PrepareVolumes,
    /// Make a sandbox.
    RunSandbox { attempt: u32 },
    /// Make sure that the image of a container is here.
    EnsureImage { container: String },
    /// Make and start a container.
    Start { container: String, attempt: u32, crash_delay: Duration },
    /// Give a running container what it may have now.
    Resize { id: ContainerId, container: String },
    /// Give the pod's control group what the pod may have now.
    Limit,
    /// Stop a container; hooks included.
    Stop { id: ContainerId, container: String, grace: Duration, message: String },
    /// Remove an ended container.
    Remove { id: ContainerId },
    /// Stop a sandbox and whatever is left in it.
    StopSandbox { id: SandboxId },
    /// Remove a stopped sandbox.
    RemoveSandbox { id: SandboxId },
    /// Take down the volumes and the pod's folders.
    TearDown,
    /// Delete the API object for good.
    Delete,
}

impl Step {
    /// Under which name it is in flight.
    pub(crate) fn work(&self) -> Work {
        match self {
            Self::PrepareVolumes | Self::TearDown => Work::Volumes,
            Self::RunSandbox { .. } => Work::Sandbox,
            Self::StopSandbox { id } | Self::RemoveSandbox { id } => Work::Remove(id.0.clone()),
            Self::EnsureImage { container } => Work::Image(container.clone()),
            Self::Start { container, .. } => Work::Start(container.clone()),
            Self::Resize { container, .. } => Work::Resize(container.clone()),
            Self::Limit => Work::Limit,
            Self::Stop { id, .. } => Work::Stop(id.0.clone()),
            Self::Remove { id } => Work::Remove(id.0.clone()),
            Self::Delete => Work::Delete,
        }
    }
}

/// What to do now, and when to ask again even if nothing happens.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) wake_at: Option<Timestamp>,
    /// Nothing is left of a pod that the API no longer has.
    pub(crate) finished: bool,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Returns the steps that bring a pod further.
///
/// `pod` is the last known object; `gone` says that the API no longer has it. Steps already in flight
/// are not returned again, except a stop with a shorter grace period.
pub(crate) fn plan(pod: &Pod, gone: bool, runtime: &PodRuntime, local: &Local, now: Timestamp) -> Plan {
    let mut planner = Planner { pod, runtime, local, now, plan: Plan::default() };
    if gone {
        planner.end(Ending::Gone);
    } else if pod.metadata.deletion_timestamp.is_some() {
        planner.end(Ending::Deleted);
    } else if is_terminal(pod, runtime, local, now) {
        planner.end(Ending::Terminal);
    } else {
        if let Some(deadline) = deadline_at(pod) {
            planner.plan.wake(deadline);
        }
        planner.run();
    }
    let mut plan = planner.plan;
    plan.steps.retain(|step| match step {
        Step::Stop { id, grace, .. } => local.stopping.get(id).is_none_or(|running| grace < running),
        step => !local.in_flight.contains(&step.work()),
    });
    plan
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It ended by itself or ran out of time; it stays to be looked at.
    Terminal,
    /// Somebody asked for its deletion.
    Deleted,
    /// The API no longer has it.
    Gone,
}

struct Planner<'a> {
    pod: &'a Pod,
    runtime: &'a PodRuntime,
    local: &'a Local,
    now: Timestamp,
    plan: Plan,
}

impl Planner<'_> {
    fn step(&mut self, step: Step) {
        self.plan.steps.push(step);
    }

    fn run(&mut self) {
        self.prune();
        match &self.local.volumes {
            Volumes::Ready => {}
            Volumes::Failed(failure) if failure.retry_at > self.now => return self.plan.wake(failure.retry_at),
            _ => return self.step(Step::PrepareVolumes),
        }
        let Some(sandbox) = self.runtime.sandbox().filter(|sandbox| sandbox.ready) else { return self.sandbox() };
        let sandbox = sandbox.id.clone();
        // Containers of a sandbox that was replaced.
        let stale: Vec<ContainerStatus> =
            self.runtime.alive().filter(|container| container.sandbox != sandbox).cloned().collect();
        for container in stale {
            self.stop(
                &container,
                pod::grace_period(self.pod),
                "Pod sandbox changed, it will be killed and re-created.",
            );
        }
        if self.init() {
            self.apps();
        }
        // Whoever looks for the reason why a pod does not start must not wait for that.
        for (role, container) in pod::containers(self.pod) {
            if role == Role::Ephemeral {
                self.keep(role, &container);
            }
        }
        self.limit();
    }

    /// Brings the pod's control group to what the pod may have, once no container in it has more.
    fn limit(&mut self) {
        // One that is to be stopped later than now, as while containers before it start, waits for the group too.
        let stops = |id: &ContainerId| {
            let is_planned =
                self.plan.steps.iter().any(|step| matches!(step, Step::Stop { id: planned, .. } if planned == id));
            is_planned || self.local.stopping.contains_key(id)
        };
        let restarts = |container: &Container| {
            let running = self.runtime.current(&container.name).filter(|status| is_alive(status) && stops(&status.id));
            running.is_some_and(|status| resize::action(self.pod, self.local, container, status) == Action::Restart)
        };
        let is_resizing = self.plan.steps.iter().any(|step| matches!(step, Step::Resize { .. }))
            || self.local.in_flight.iter().any(|work| matches!(work, Work::Resize(_)))
            || pod::containers(self.pod).iter().any(|(_, container)| restarts(container));
        if is_resizing || !resize::is_group_stale(self.pod, self.local) {
            return;
        }
        match resize::group_failure(self.pod, self.local).filter(|failure| failure.retry_at > self.now) {
            Some(failure) => self.plan.wake(failure.retry_at),
            None => self.step(Step::Limit),
        }
    }

    /// Makes the first sandbox, or the next one after the last died.
    fn sandbox(&mut self) {
        let last = self.runtime.sandbox();
        if let Some(last) = last {
            let alive: Vec<ContainerStatus> = self.runtime.alive().cloned().collect();
            if !alive.is_empty() {
                return self.step(Step::StopSandbox { id: last.id.clone() });
            }
        }
        if let Some(failure) = self.local.sandbox_failure.as_ref().filter(|failure| failure.retry_at > self.now) {
            return self.plan.wake(failure.retry_at);
        }
        let attempt = last.map_or(0, |sandbox| sandbox.pod.attempt + 1);
        self.step(Step::RunSandbox { attempt });
    }

    /// Brings the init containers forward; `true` once the app containers may run.
    fn init(&mut self) -> bool {
        let containers = pod::containers(self.pod);
        let initialized = containers
            .iter()
            .any(|(role, container)| *role == Role::App && self.runtime.current(&container.name).is_some());
        for (role, container) in containers {
            match role {
                Role::Init if !initialized => match self.runtime.current(&container.name) {
                    Some(ContainerStatus { state: ContainerState::Exited { exit_code: 0, .. }, .. }) => {}
                    _ => {
                        self.keep(role, &container);
                        return false;
                    }
                },
                Role::Sidecar => {
                    self.keep(role, &container);
                    let started = self
                        .runtime
                        .current(&container.name)
                        .is_some_and(|status| is_started(self.pod, self.local, &container, status));
                    if !initialized && !started {
                        return false;
                    }
                }
                Role::Init | Role::App | Role::Ephemeral => {}
            }
        }
        true
    }

    fn apps(&mut self) {
        // Starts follow each other in order: a hook of one is over before the next begins.
        let starting = self.local.in_flight.iter().any(|work| matches!(work, Work::Start(_)));
        for (role, container) in pod::containers(self.pod) {
            if role == Role::App {
                self.keep(role, &container);
            }
        }
        let mut first = !starting;
        self.plan.steps.retain(|step| !matches!(step, Step::Start { .. }) || std::mem::take(&mut first));
    }

    /// Keeps one container as its specification asks.
    fn keep(&mut self, role: Role, container: &Container) {
        match self.runtime.current(&container.name).cloned() {
            // Somebody looked for something once; whoever comes back to it starts another one.
            None if role == Role::Ephemeral
                && pod::reported_status(self.pod, &container.name).is_some_and(pod::has_run) => {}
            None => self.start(container, None),
            // Made by an agent that ended before it could start it.
            Some(status) if status.state == ContainerState::Created => {
                if !self.local.in_flight.contains(&Work::Start(container.name.clone())) {
                    self.step(Step::Remove { id: status.id });
                }
            }
            Some(status) if is_alive(&status) => self.supervise(container, &status),
            Some(status) => self.restart(role, container, &status),
        }
    }

    fn supervise(&mut self, container: &Container, status: &ContainerStatus) {
        let doomed = self.local.containers.get(&container.name).and_then(|local| local.doomed.clone());
        if let Some(doomed) = doomed.filter(|doomed| doomed.id == status.id) {
            self.stop(status, doomed.grace, &doomed.message);
        } else if status.state == ContainerState::Unknown {
            let message = format!("Container {} is in unknown state, try killing it before restart", container.name);
            self.stop(status, pod::grace_period(self.pod), &message);
        } else {
            let remembered = Memory::of(status).hash;
            if !remembered.is_empty() && remembered != hash(container) {
                let message = format!("Container {} definition changed, will be restarted", container.name);
                self.stop(status, pod::grace_period(self.pod), &message);
            } else if matches!(status.state, ContainerState::Running { .. }) {
                self.resize(container, status);
            }
        }
    }

    /// Brings a running container to what it may have.
    fn resize(&mut self, container: &Container, status: &ContainerStatus) {
        match resize::action(self.pod, self.local, container, status) {
            Action::Nothing => {}
            Action::Restart => {
                let message = format!("Container {} resize requires restart", container.name);
                self.stop(status, pod::grace_period(self.pod), &message);
            }
            Action::Update => {
                let failure = self.local.containers.get(&container.name).and_then(|it| it.resize_failure.as_ref());
                match failure.filter(|failure| failure.retry_at > self.now) {
                    Some(failure) => self.plan.wake(failure.retry_at),
                    None => self.step(Step::Resize { id: status.id.clone(), container: container.name.clone() }),
                }
            }
        }
    }

    fn restart(&mut self, role: Role, container: &Container, status: &ContainerStatus) {
        match crash::next(self.pod, role, container, status) {
            Next::Nothing => {}
            Next::Start => self.start(container, None),
            Next::Restart(restart) if restart.at > self.now => self.plan.wake(restart.at),
            Next::Restart(restart) => self.start(container, Some(restart.next_delay)),
        }
    }

    fn start(&mut self, container: &Container, crash_delay: Option<Duration>) {
        let name = container.name.clone();
        if self.local.in_flight.contains(&Work::Start(name.clone())) {
            return;
        }
        if resize::is_group_stale(self.pod, self.local) && resize::group_failure(self.pod, self.local).is_none() {
            // It may have more than its pod had.
            return;
        }
        let remembered = self.local.containers.get(&name);
        if let Some(failure) = remembered.and_then(|local| local.start_failure.as_ref())
            && failure.retry_at > self.now
        {
            return self.plan.wake(failure.retry_at);
        }
        match remembered.map(|local| &local.image) {
            Some(ImageState::Present(_)) => {
                let attempt = next_attempt(self.pod, self.runtime, &name);
                let crash_delay = crash_delay.unwrap_or_default();
                self.step(Step::Start { container: name, attempt, crash_delay });
            }
            Some(ImageState::Failed(failure)) if failure.retry_at > self.now => self.plan.wake(failure.retry_at),
            _ => self.step(Step::EnsureImage { container: name }),
        }
    }

    fn stop(&mut self, status: &ContainerStatus, grace: Duration, message: &str) {
        self.step(Step::Stop {
            id: status.id.clone(),
            container: status.name.clone(),
            grace,
            message: message.to_owned(),
        });
    }

    /// Removes ended containers that nobody can ask for any more: of each container the newest start and
    /// one ended one are kept; and sandboxes that hold none of them.
    fn prune(&mut self) {
        let Some(newest) = self.runtime.sandbox().filter(|sandbox| sandbox.ready) else { return };
        let kept = |container: &ContainerStatus| {
            let is = |other: Option<&ContainerStatus>| other.is_some_and(|other| other.id == container.id);
            let latest = self.runtime.latest(&container.name);
            let latest_ended = latest.is_some_and(|latest| matches!(latest.state, ContainerState::Exited { .. }));
            is(latest) || !latest_ended && is(self.runtime.previous(&container.name))
        };
        let mut steps = Vec::new();
        for container in &self.runtime.containers {
            if matches!(container.state, ContainerState::Exited { .. }) && !kept(container) {
                steps.push(Step::Remove { id: container.id.clone() });
            }
        }
        for sandbox in self.runtime.sandboxes.iter().filter(|sandbox| sandbox.id != newest.id) {
            let needed = self.runtime.containers.iter().any(|c| c.sandbox == sandbox.id && (is_alive(c) || kept(c)));
            match (sandbox.ready, needed) {
                (true, _) => steps.push(Step::StopSandbox { id: sandbox.id.clone() }),
                (false, false) => steps.push(Step::RemoveSandbox { id: sandbox.id.clone() }),
                (false, true) => {}
            }
        }
        self.plan.steps.extend(steps);
    }

    /// Ends the pod: containers, then sidecars in reverse order, then the sandbox, then what is left.
    fn end(&mut self, ending: Ending) {
        if self.stop_containers(ending) {
            return;
        }
        let ready: Vec<SandboxId> =
            self.runtime.sandboxes.iter().filter(|sandbox| sandbox.ready).map(|sandbox| sandbox.id.clone()).collect();
        if !ready.is_empty() {
            return ready.into_iter().for_each(|id| self.step(Step::StopSandbox { id }));
        }
        match (ending, &self.local.volumes) {
            (_, Volumes::TornDown) => {}
            (_, Volumes::Failed(failure)) if failure.retry_at > self.now => return self.plan.wake(failure.retry_at),
            // The last status names exit codes and messages that are in the pod's folder.
            (Ending::Terminal | Ending::Deleted, _) if !self.local.reported => return,
            _ => return self.step(Step::TearDown),
        }
        match ending {
            Ending::Terminal => {}
            Ending::Deleted => {
                let failure = self.local.delete_failure.as_ref().filter(|failure| failure.retry_at > self.now);
                if let Some(failure) = failure {
                    self.plan.wake(failure.retry_at);
                } else if self.local.reported && !self.local.deleted {
                    self.step(Step::Delete);
                }
            }
            Ending::Gone => {
                if self.runtime.sandboxes.is_empty() && self.runtime.containers.is_empty() {
                    self.plan.finished = self.local.in_flight.is_empty();
                    return;
                }
                let ids: Vec<SandboxId> = self.runtime.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
                ids.into_iter().for_each(|id| self.step(Step::RemoveSandbox { id }));
                let orphans: Vec<ContainerId> = self
                    .runtime
                    .containers
                    .iter()
                    .filter(|container| self.runtime.sandboxes.iter().all(|sandbox| sandbox.id != container.sandbox))
                    .map(|container| container.id.clone())
                    .collect();
                orphans.into_iter().for_each(|id| self.step(Step::Remove { id }));
            }
        }
    }

    /// Whether containers still run; orders their stop.
    fn stop_containers(&mut self, ending: Ending) -> bool {
        let alive: Vec<ContainerStatus> = self.runtime.alive().cloned().collect();
        if alive.is_empty() {
            return false;
        }
        let roles = pod::containers(self.pod);
        let place = |name: &str| roles.iter().position(|(_, container)| container.name == name);
        let is_sidecar = |name: &str| place(name).is_some_and(|index| roles[index].0 == Role::Sidecar);
        let others_alive = alive.iter().any(|container| !is_sidecar(&container.name));
        let last_sidecar = alive.iter().filter(|c| is_sidecar(&c.name)).max_by_key(|c| place(&c.name));
        let last_sidecar = last_sidecar.map(|container| container.id.clone());
        for container in &alive {
            let now = if is_sidecar(&container.name) {
                !others_alive && last_sidecar.as_ref() == Some(&container.id)
            } else {
                true
            };
            // Without the object only the container itself knows its grace period.
            let known = place(&container.name).is_some();
            let whole = if known { pod::grace_period(self.pod) } else { Memory::of(container).grace };
            let whole = if self.local.verdict.is_some() { whole.min(EVICTION_GRACE) } else { whole };
            let grace = if is_sidecar(&container.name) { self.remaining(ending, whole) } else { whole };
            // A kill without grace does not wait for anybody's order.
            if now || whole.is_zero() {
                self.stop(container, grace, &format!("Stopping container {}", container.name));
            }
        }
        true
    }

    /// What sidecars have left of the grace period once the others ended; at least 2 s, as upstream.
    fn remaining(&self, ending: Ending, whole: Duration) -> Duration {
        let Some(deletion) = self.pod.metadata.deletion_timestamp.as_ref().filter(|_| ending == Ending::Deleted) else {
            return whole;
        };
        let left = Duration::try_from(deletion.0.duration_since(self.now)).unwrap_or_default();
        if whole.is_zero() { whole } else { left.clamp(Duration::from_secs(2).min(whole), whole) }
    }
}

/// The restart count of the next start.
///
/// Falls back to what the API last heard if the runtime has forgotten the container.
pub(crate) fn next_attempt(pod: &Pod, runtime: &PodRuntime, name: &str) -> u32 {
    match runtime.latest(name) {
        Some(status) => status.attempt + 1,
        None => match pod::reported_status(pod, name) {
            Some(reported) if pod::has_run(reported) => u32::try_from(reported.restart_count).unwrap_or(0) + 1,
            _ => 0,
        },
    }
}

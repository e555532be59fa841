//! Questions asked of a pod's specification. Pure.

mod qos;
pub(crate) mod quantity;
pub(crate) mod whole;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodSpec, Probe};
use portolan_api::typed::Object;

pub(crate) use qos::{QosClass, qos_class};

/// What a container is for, which decides when it is started and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that stays for the life of the pod (`restartPolicy: Always`).
    Sidecar,
    /// What the pod is for.
    App,
    /// Added to a running pod, for debugging; never restarted.
    Ephemeral,
}

/// Whether an ended container is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    /// Whether a container that ended with `exit_code` is started again.
    pub(crate) fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// The specification; a pod without one has no containers.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// All containers with their roles: init containers in order, then the others in order.
pub(crate) fn containers(pod: &Pod) -> Vec<(Role, Container)> {
    let spec = spec(pod);
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        (if sidecar { Role::Sidecar } else { Role::Init }, container.clone())
    });
    let app = spec.containers.iter().map(|container| (Role::App, container.clone()));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| {
        let container = Container {
            args: container.args.clone(),
            command: container.command.clone(),
            env: container.env.clone(),
            env_from: container.env_from.clone(),
            image: container.image.clone(),
            image_pull_policy: container.image_pull_policy.clone(),
            name: container.name.clone(),
            security_context: container.security_context.clone(),
            stdin: container.stdin,
            stdin_once: container.stdin_once,
            termination_message_path: container.termination_message_path.clone(),
            termination_message_policy: container.termination_message_policy.clone(),
            tty: container.tty,
            volume_mounts: container.volume_mounts.clone(),
            working_dir: container.working_dir.clone(),
            ..Container::default()
        };
        (Role::Ephemeral, container)
    });
    init.chain(app).chain(ephemeral).collect()
}

/// A container of the pod by name.
pub(crate) fn container(pod: &Pod, name: &str) -> Option<(Role, Container)> {
    containers(pod).into_iter().find(|(_, container)| container.name == name)
}

/// The restart policy of a container in a role.
pub(crate) fn restart_policy(pod: &Pod, role: Role, container: &Container) -> RestartPolicy {
    let named = |name: &str| match name {
        "OnFailure" => RestartPolicy::OnFailure,
        "Never" => RestartPolicy::Never,
        _ => RestartPolicy::Always,
    };
    match role {
        Role::Sidecar => RestartPolicy::Always,
        Role::Ephemeral => RestartPolicy::Never,
        Role::App => {
            let own = container.restart_policy.as_deref().or(spec(pod).restart_policy.as_deref());
            named(own.unwrap_or("Always"))
        }
        // An init container that succeeded is done, whatever the policy.
        Role::Init => {
            match named(container.restart_policy.as_deref().or(spec(pod).restart_policy.as_deref()).unwrap_or("Always"))
            {
                RestartPolicy::Never => RestartPolicy::Never,
                RestartPolicy::Always | RestartPolicy::OnFailure => RestartPolicy::OnFailure,
            }
        }
    }
}

/// What the API last heard of a container.
pub(crate) fn reported_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// Whether a container had an id when the API last heard of it: it was started, and was not between two starts.
pub(crate) fn has_id(reported: &ContainerStatus) -> bool {
    reported.container_id.as_deref().is_some_and(|id| !id.is_empty())
}

/// Whether a container ran by what the API last heard of it. Between two starts it has no id, and the last state tells.
pub(crate) fn has_run(reported: &ContainerStatus) -> bool {
    let has_ended = |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    has_id(reported) || has_ended(&reported.last_state)
}

/// How long containers get between the stop signal and the kill signal.
pub(crate) fn grace_period(pod: &Pod) -> Duration {
    let seconds = match pod.metadata.deletion_grace_period_seconds {
        Some(seconds) if pod.metadata.deletion_timestamp.is_some() => seconds,
        _ => spec(pod).termination_grace_period_seconds.unwrap_or(30),
    };
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// How long a container gets after one of its probes failed for good.
pub(crate) fn probe_grace_period(pod: &Pod, probe: Option<&Probe>) -> Duration {
    match probe.and_then(|probe| probe.termination_grace_period_seconds) {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        None => grace_period(pod),
    }
}

/// The host name inside the pod.
pub(crate) fn hostname(pod: &Pod) -> String {
    let spec = spec(pod);
    let mut name =
        spec.hostname_override.clone().or_else(|| spec.hostname.clone()).unwrap_or_else(|| pod.name().to_owned());
    // The kernel takes 64 bytes; a DNS label takes 63.
    name.truncate(63);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Whether the pod uses the machine's network.
pub(crate) fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// Whether the pod uses nothing of the node any more.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// `name_namespace(uid)`, upstream's way to name a pod in messages.
pub(crate) fn display(pod: &Pod) -> String {
    format!("{}_{}({})", pod.name(), pod.namespace(), pod.uid())
}

//! From a pod's specification to what the runtime is asked for. Pure.

pub(crate) mod env;
pub(crate) mod fields;
pub(crate) mod names;
pub(crate) mod resources;
pub(crate) mod security;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_api::typed::Object;
use portolan_runtime::{
    ContainerConfig, ContainerId, DnsConfig, Mount, NamespaceMode, PodIdentity, PortMapping, Protocol, Resources,
    SandboxConfig, SecurityConfig,
};

use crate::lifecycle::labels::{self, Memory};
use crate::pod::{self, whole};

/// What [`sandbox`] needs besides the pod.
#[derive(Debug)]
pub(crate) struct SandboxInput<'a> {
    pub(crate) attempt: u32,
    pub(crate) log_dir: &'a Path,
    pub(crate) dns: DnsConfig,
    pub(crate) cgroup_parent: String,
    pub(crate) seccomp_dir: &'a Path,
}

/// The sandbox of a pod.
pub(crate) fn sandbox(pod: &Pod, input: SandboxInput<'_>) -> SandboxConfig {
    let spec = pod::spec(pod);
    let host_network = pod::host_network(pod);
    let mode = |host: Option<bool>, otherwise| if host == Some(true) { NamespaceMode::Node } else { otherwise };
    let pid = if spec.share_process_namespace == Some(true) { NamespaceMode::Pod } else { NamespaceMode::Container };
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    SandboxConfig {
        pod: PodIdentity {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            attempt: input.attempt,
        },
        // With the machine's network the machine's name is seen too.
        hostname: if host_network { String::new() } else { pod::hostname(pod) },
        log_directory: log_directory(input.log_dir, pod),
        dns: Some(input.dns),
        port_mappings: if host_network { Vec::new() } else { port_mappings(pod) },
        labels: labels::of_pod(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        cgroup_parent: input.cgroup_parent,
        network: mode(spec.host_network, NamespaceMode::Pod),
        pid: mode(spec.host_pid, pid),
        ipc: mode(spec.host_ipc, NamespaceMode::Pod),
        sysctls: sysctls.into_iter().flatten().map(|item| (item.name.clone(), item.value.clone())).collect(),
        security: security::of_sandbox(pod, input.seccomp_dir),
    }
}

/// What [`container`] needs besides the pod.
#[derive(Debug)]
pub(crate) struct ContainerInput {
    pub(crate) attempt: u32,
    pub(crate) crash_delay: Duration,
    pub(crate) image: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) resources: Resources,
    pub(crate) security: SecurityConfig,
    pub(crate) termination_file: PathBuf,
    /// The container whose processes it shall see.
    pub(crate) process_target: Option<ContainerId>,
}

/// One start of a container.
pub(crate) fn container(pod: &Pod, container: &Container, input: ContainerInput) -> ContainerConfig {
    let known: BTreeMap<String, String> = input.env.iter().cloned().collect();
    let expand = |list: &Option<Vec<String>>| list.iter().flatten().map(|word| env::expand(word, &known)).collect();
    let memory = Memory {
        restart_count: input.attempt,
        hash: labels::hash(container),
        grace: pod::grace_period(pod),
        crash_delay: input.crash_delay,
        termination_file: input.termination_file.to_string_lossy().into_owned(),
        termination_policy: container.termination_message_policy.clone().unwrap_or_else(|| "File".into()),
        resources: Some(whole::allowed(pod, container)),
    };
    ContainerConfig {
        name: container.name.clone(),
        attempt: input.attempt,
        image: input.image,
        command: expand(&container.command),
        args: expand(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        env: input.env,
        mounts: input.mounts,
        labels: labels::of_container(pod, container),
        annotations: memory.annotations(),
        log_path: log_path(&container.name, input.attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        resources: input.resources,
        security: input.security,
        process_target: input.process_target,
    }
}

/// Folder of a pod's logs: `<log_dir>/<namespace>_<name>_<uid>`, as upstream.
pub(crate) fn log_directory(log_dir: &Path, pod: &Pod) -> PathBuf {
    log_dir.join(format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid()))
}

/// Log file of one start of a container, within the pod's folder.
pub(crate) fn log_path(container: &str, attempt: u32) -> PathBuf {
    Path::new(container).join(format!("{attempt}.log"))
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let containers = pod::containers(pod);
    let ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    let mapped = ports.filter_map(|port| {
        Some(PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
            container_port: u16::try_from(port.container_port).ok()?,
            host_port: u16::try_from(port.host_port?).ok().filter(|port| *port != 0)?,
            host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
        })
    });
    mapped.collect()
}

//! Between the port's types and CRI's. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_cri::v1;
use portolan_base::Timestamp;

use crate::pause::PAUSE_IMAGE;
use crate::port::*;

/// Paths hidden in containers unless they ask for an unmasked `/proc` (the OCI runtimes' usual list).
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Paths that cannot be written unless containers ask for an unmasked `/proc`.
const READ_ONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A sandbox with what only the detailed answer has.
#[derive(Debug, Clone)]
pub(super) struct KnownSandbox {
    pub(super) status: SandboxStatus,
    pub(super) cgroup_parent: Option<PathBuf>,
}

fn to_map(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn from_map(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn namespace(mode: NamespaceMode) -> i32 {
    match mode {
        NamespaceMode::Pod => v1::NamespaceMode::Pod as i32,
        NamespaceMode::Container => v1::NamespaceMode::Container as i32,
        NamespaceMode::Node => v1::NamespaceMode::Node as i32,
    }
}

fn namespaces(pod: &SandboxConfig) -> v1::NamespaceOption {
    v1::NamespaceOption {
        network: namespace(pod.network),
        pid: namespace(pod.pid),
        ipc: namespace(pod.ipc),
        ..Default::default()
    }
}

fn seccomp(profile: &Seccomp) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, localhost_ref) = match profile {
        Seccomp::Unconfined => (ProfileType::Unconfined, String::new()),
        Seccomp::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        Seccomp::Localhost(path) => (ProfileType::Localhost, text(path)),
    };
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref }
}

fn number(value: Option<i64>) -> Option<v1::Int64Value> {
    value.map(|value| v1::Int64Value { value })
}

pub(super) fn sandbox_config(config: &SandboxConfig) -> v1::PodSandboxConfig {
    let security = &config.security;
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: config.pod.name.clone(),
            uid: config.pod.uid.clone(),
            namespace: config.pod.namespace.clone(),
            attempt: config.pod.attempt,
        }),
        // With the machine's network the host name is the machine's too.
        hostname: if config.network == NamespaceMode::Node { String::new() } else { config.hostname.clone() },
        log_directory: text(&config.log_directory),
        dns_config: config.dns.as_ref().map(|dns| v1::DnsConfig {
            servers: dns.servers.iter().map(ToString::to_string).collect(),
            searches: dns.searches.clone(),
            options: dns.options.clone(),
        }),
        port_mappings: config.port_mappings.iter().map(port_mapping).collect(),
        labels: to_map(&config.labels),
        annotations: to_map(&config.annotations),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: config.cgroup_parent.clone(),
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(config)),
                run_as_user: number(security.run_as_user),
                run_as_group: security.run_as_user.and(number(security.run_as_group)),
                readonly_rootfs: security.read_only_root,
                supplemental_groups: security.supplemental_groups.clone(),
                privileged: security.privileged,
                seccomp: Some(seccomp(&security.seccomp)),
                ..Default::default()
            }),
            sysctls: to_map(&config.sysctls),
            ..Default::default()
        }),
        windows: None,
    }
}

fn port_mapping(mapping: &PortMapping) -> v1::PortMapping {
    let protocol = match mapping.protocol {
        Protocol::Tcp => v1::Protocol::Tcp,
        Protocol::Udp => v1::Protocol::Udp,
        Protocol::Sctp => v1::Protocol::Sctp,
    };
    v1::PortMapping {
        protocol: protocol as i32,
        container_port: i32::from(mapping.container_port),
        host_port: i32::from(mapping.host_port),
        host_ip: mapping.host_ip.map(|address| address.to_string()).unwrap_or_default(),
    }
}

pub(super) fn container_config(config: &ContainerConfig, pod: &SandboxConfig) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(v1::ImageSpec { image: config.image.clone(), ..Default::default() }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: config.env.iter().map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone() }).collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        labels: to_map(&config.labels),
        annotations: to_map(&config.annotations),
        log_path: text(&config.log_path),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources(&config.resources)),
            security_context: Some(container_security(config, pod)),
        }),
        ..Default::default()
    }
}

fn container_security(config: &ContainerConfig, pod: &SandboxConfig) -> v1::LinuxContainerSecurityContext {
    let security = &config.security;
    let mut namespaces = namespaces(pod);
    if let Some(target) = config.process_target.as_ref().filter(|_| pod.pid == NamespaceMode::Container) {
        namespaces.pid = v1::NamespaceMode::Target as i32;
        namespaces.target_id.clone_from(&target.0);
    }
    let unmasked = security.unmasked_proc || security.privileged;
    let paths = |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|p| (*p).to_owned()).collect() };
    v1::LinuxContainerSecurityContext {
        capabilities: Some(v1::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
            ..Default::default()
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces),
        run_as_user: number(security.run_as_user),
        run_as_username: security.run_as_username.clone(),
        run_as_group: number(security.run_as_group),
        readonly_rootfs: security.read_only_root,
        supplemental_groups: security.supplemental_groups.clone(),
        no_new_privs: security.no_new_privileges,
        masked_paths: paths(MASKED_PATHS),
        readonly_paths: paths(READ_ONLY_PATHS),
        seccomp: Some(seccomp(&security.seccomp)),
        ..Default::default()
    }
}

fn mount(mount: &Mount) -> v1::Mount {
    let propagation = match mount.propagation {
        MountPropagation::Private => v1::MountPropagation::PropagationPrivate,
        MountPropagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        MountPropagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    v1::Mount {
        container_path: text(&mount.container_path),
        host_path: text(&mount.host_path),
        readonly: mount.read_only,
        propagation: propagation as i32,
        ..Default::default()
    }
}

pub(super) fn resources(resources: &Resources) -> v1::LinuxContainerResources {
    v1::LinuxContainerResources {
        cpu_period: i64::try_from(resources.cpu_period_us).unwrap_or(i64::MAX),
        cpu_quota: resources.cpu_quota_us,
        cpu_shares: i64::try_from(resources.cpu_shares).unwrap_or(i64::MAX),
        memory_limit_in_bytes: i64::try_from(resources.memory_limit).unwrap_or(i64::MAX),
        oom_score_adj: resources.oom_score_adj,
        ..Default::default()
    }
}

pub(super) fn sandbox_status(answer: v1::PodSandboxStatusResponse) -> Option<KnownSandbox> {
    let status = answer.status?;
    let pod = status.metadata.unwrap_or_default();
    let network = status.network.unwrap_or_default();
    let others = network.additional_ips.iter().map(|address| address.ip.as_str());
    let addresses = std::iter::once(network.ip.as_str()).chain(others);
    let details: serde_json::Value =
        answer.info.get("info").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let namespaces = details.pointer("/runtimeSpec/linux/namespaces").and_then(|list| list.as_array());
    let network_namespace = namespaces
        .into_iter()
        .flatten()
        .find(|namespace| namespace["type"] == "network")
        .and_then(|namespace| namespace["path"].as_str())
        .map(PathBuf::from);
    let cgroup_parent = details.pointer("/config/linux/cgroup_parent").and_then(|path| path.as_str());
    Some(KnownSandbox {
        status: SandboxStatus {
            id: SandboxId(status.id),
            pod: PodIdentity { namespace: pod.namespace, name: pod.name, uid: pod.uid, attempt: pod.attempt },
            ready: status.state == v1::PodSandboxState::SandboxReady as i32,
            created_at: timestamp(status.created_at),
            addresses: addresses.filter_map(|address| address.parse::<IpAddr>().ok()).collect(),
            labels: from_map(status.labels),
            annotations: from_map(status.annotations),
            network_namespace,
        },
        cgroup_parent: cgroup_parent.filter(|path| !path.is_empty()).map(PathBuf::from),
    })
}

pub(super) fn container_status(status: v1::ContainerStatus, sandbox: &str) -> ContainerStatus {
    let metadata = status.metadata.unwrap_or_default();
    let state = match v1::ContainerState::try_from(status.state) {
        Ok(v1::ContainerState::ContainerCreated) => ContainerState::Created,
        Ok(v1::ContainerState::ContainerRunning) => {
            ContainerState::Running { started_at: timestamp(status.started_at) }
        }
        Ok(v1::ContainerState::ContainerExited) => ContainerState::Exited {
            started_at: timestamp(status.started_at),
            finished_at: timestamp(status.finished_at),
            exit_code: status.exit_code,
            reason: match (status.reason.as_str(), status.exit_code) {
                ("", 0) => "Completed".to_owned(),
                ("", _) => "Error".to_owned(),
                (reason, _) => reason.to_owned(),
            },
            message: status.message,
        },
        _ => ContainerState::Unknown,
    };
    ContainerStatus {
        id: ContainerId(status.id),
        sandbox: SandboxId(sandbox.to_owned()),
        name: metadata.name,
        attempt: metadata.attempt,
        image: status.image.map(|image| image.image).unwrap_or_default(),
        image_id: status.image_ref,
        state,
        created_at: timestamp(status.created_at),
        labels: from_map(status.labels),
        annotations: from_map(status.annotations),
        log_path: PathBuf::from(status.log_path),
    }
}

/// Whether a remembered status still describes a container in this listed state.
pub(super) fn is_current(known: &ContainerStatus, listed: i32) -> bool {
    match (&known.state, v1::ContainerState::try_from(listed)) {
        (ContainerState::Created, Ok(v1::ContainerState::ContainerCreated))
        | (ContainerState::Running { .. }, Ok(v1::ContainerState::ContainerRunning))
        | (ContainerState::Exited { .. }, Ok(v1::ContainerState::ContainerExited)) => true,
        // Unknown is asked for each time: the runtime may know by now.
        _ => false,
    }
}

pub(super) fn image(image: v1::Image, local: bool) -> Image {
    Image {
        id: image.id,
        digests: image.repo_digests,
        size_bytes: image.size,
        user_id: image.uid.map(|uid| uid.value),
        user_name: image.username,
        pinned: image.pinned || image.repo_tags.iter().any(|tag| tag == PAUSE_IMAGE),
        tags: image.repo_tags,
        local,
    }
}

pub(super) fn stats(stats: v1::ContainerStats, sandbox: String) -> ContainerStats {
    let value = |number: Option<v1::UInt64Value>| number.map_or(0, |number| number.value);
    ContainerStats {
        container: stats.attributes.map(|attributes| attributes.id).unwrap_or_default(),
        sandbox,
        cpu: std::time::Duration::from_nanos(stats.cpu.map_or(0, |cpu| value(cpu.usage_core_nano_seconds))),
        working_set_bytes: stats.memory.map_or(0, |memory| value(memory.working_set_bytes)),
        writable_layer_bytes: stats.writable_layer.map_or(0, |layer| value(layer.used_bytes)),
    }
}

//! What sandboxes and containers are to be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::{ContainerId, PodIdentity};

/// Whose namespace of a kind is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespaceMode {
    /// One for the whole pod.
    #[default]
    Pod,
    /// Each container has its own (meaningful for process ids only).
    Container,
    /// The machine's.
    Node,
}

/// What a sandbox shall be.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Whose sandbox.
    pub pod: PodIdentity,
    /// Host name inside.
    pub hostname: String,
    /// Folder for the containers' log files, on the host.
    pub log_directory: PathBuf,
    /// Name resolution; `None` leaves the machine's.
    pub dns: Option<DnsConfig>,
    /// Ports forwarded from the machine.
    pub port_mappings: Vec<PortMapping>,
    /// Labels kept with the sandbox and given back by [`Runtime::sandboxes`].
    pub labels: BTreeMap<String, String>,
    /// Annotations kept with the sandbox.
    pub annotations: BTreeMap<String, String>,
    /// Parent control group, for example `/kubepods/burstable/pod<uid>`.
    pub cgroup_parent: String,
    /// Network namespace.
    pub network: NamespaceMode,
    /// Process-id namespace.
    pub pid: NamespaceMode,
    /// Inter-process-communication namespace.
    pub ipc: NamespaceMode,
    /// Kernel parameters set in the sandbox.
    pub sysctls: BTreeMap<String, String>,
    /// Security settings of the sandbox itself.
    pub security: SecurityConfig,
}

/// Contents of the pod's `resolv.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Name servers, in order.
    pub servers: Vec<IpAddr>,
    /// Search path.
    pub searches: Vec<String>,
    /// Options, for example `ndots:5`.
    pub options: Vec<String>,
}

/// A machine's port that leads into the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// Transport.
    pub protocol: Protocol,
    /// Port in the pod.
    pub container_port: u16,
    /// Port on the machine.
    pub host_port: u16,
    /// Address on the machine; `None` means all.
    pub host_ip: Option<IpAddr>,
}

/// Transport protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// What a container shall be.
#[derive(Debug, Clone)]
pub struct ContainerConfig {
    /// Name within the pod.
    pub name: String,
    /// Counts starts of this container in this pod, from 0.
    pub attempt: u32,
    /// Image, as answered by [`Images::pull`] or [`Images::status`] (an id or a full reference).
    pub image: String,
    /// Replaces the image's entry point if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// Working directory; empty means the image's.
    pub working_dir: String,
    /// Environment, in order; later entries win.
    pub env: Vec<(String, String)>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Labels kept with the container.
    pub labels: BTreeMap<String, String>,
    /// Annotations kept with the container.
    pub annotations: BTreeMap<String, String>,
    /// Log file, relative to the sandbox's log folder.
    pub log_path: PathBuf,
    /// Keep standard input open.
    pub stdin: bool,
    /// Close standard input after the first client detached.
    pub stdin_once: bool,
    /// Run on a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: Resources,
    /// Security settings.
    pub security: SecurityConfig,
    /// A container of the same sandbox whose process ids this one shares; `None` for what the sandbox says.
    pub process_target: Option<ContainerId>,
}

/// A folder or file of the machine made visible in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Path on the machine.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Whether writes are refused.
    pub read_only: bool,
    /// How mounts made later propagate.
    pub propagation: MountPropagation,
}

/// Kubernetes' mount propagation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountPropagation {
    /// Neither way (`None`).
    #[default]
    Private,
    /// From the machine into the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// Limits of a container. Zero or `None` means not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Relative CPU weight, 2 to 262144.
    pub cpu_shares: u64,
    /// CPU time per period, in microseconds.
    pub cpu_quota_us: i64,
    /// The period, in microseconds.
    pub cpu_period_us: u64,
    /// Memory limit in bytes.
    pub memory_limit: u64,
    /// Preference of the kernel's out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: i64,
}

/// Security settings of a sandbox or container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityConfig {
    /// User id; excludes `run_as_username`.
    pub run_as_user: Option<i64>,
    /// User name, looked up in the image.
    pub run_as_username: String,
    /// Group id.
    pub run_as_group: Option<i64>,
    /// Further groups.
    pub supplemental_groups: Vec<i64>,
    /// All devices and capabilities.
    pub privileged: bool,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// Sets `no_new_privs`.
    pub no_new_privileges: bool,
    /// Capabilities to add, without the prefix `CAP_`.
    pub add_capabilities: Vec<String>,
    /// Capabilities to drop, without the prefix `CAP_`.
    pub drop_capabilities: Vec<String>,
    /// Seccomp filter.
    pub seccomp: Seccomp,
    /// `/proc` without masked paths.
    pub unmasked_proc: bool,
}

/// Seccomp filter of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// No filter.
    #[default]
    Unconfined,
    /// The runtime's own.
    RuntimeDefault,
    /// A profile file on the machine.
    Localhost(PathBuf),
}

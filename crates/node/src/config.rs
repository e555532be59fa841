//! What the agent is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;
use portolan_base::{Clock, Readiness};
use portolan_client::Client;
use portolan_runtime::Runtime;

use crate::pressure::Thresholds;

/// Everything the agent of one node needs. See [`crate::run`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the node.
    pub node_name: String,
    /// Way to the API.
    pub client: Client,
    /// What runs the containers.
    pub runtime: Arc<dyn Runtime>,
    /// Folder for volumes and per-pod files, kept over restarts.
    pub data_dir: PathBuf,
    /// Folder for the containers' logs, kept over restarts. Upstream: `/var/log/pods`.
    pub log_dir: PathBuf,
    /// The agent's own HTTP API; `None` for a node without one (hollow nodes).
    pub server: Option<ServerConfig>,
    /// Address of the cluster's DNS service.
    pub cluster_dns: IpAddr,
    /// Domain of the cluster, for example `cluster.local`.
    pub cluster_domain: String,
    /// The machine's `resolv.conf`, which pods with `dnsPolicy: Default` get.
    pub resolv_conf: PathBuf,
    /// Addresses of the node, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Addresses of the node's pods; empty leaves the choice to the control plane.
    pub pod_cidr: String,
    /// Labels of the node, besides host name, operating system and architecture.
    pub labels: BTreeMap<String, String>,
    /// Taints of the node.
    pub taints: Vec<Taint>,
    /// How many pods the node takes.
    pub max_pods: u32,
    /// What the node offers; `None` measures the machine.
    pub capacity: Option<Capacity>,
    /// Limits of the containers' logs.
    pub log_rotation: LogRotation,
    /// Where volumes that must not reach a disk live.
    pub memory_volumes: MemoryVolumes,
    /// Control groups of pods; `None` leaves them to the runtime.
    pub cgroups: Option<CgroupConfig>,
    /// When pods must make room; `None` for a node that only pretends.
    pub eviction: Option<EvictionConfig>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the agent writes its state (part `node`).
    pub readiness: Readiness,
}

impl Config {
    /// What pods may have of a machine.
    pub(crate) fn allocatable(&self, capacity: &Capacity) -> Capacity {
        let mut allocatable = match &self.eviction {
            Some(eviction) => eviction.thresholds.allocatable(capacity),
            None => capacity.clone(),
        };
        for bytes in allocatable.huge_pages.values_mut() {
            // Who asks for plain memory cannot have these; and nobody can, as nothing here mounts or limits them.
            allocatable.memory_bytes = allocatable.memory_bytes.saturating_sub(std::mem::take(bytes));
        }
        allocatable
    }
}

/// The agent's own HTTP API: logs, exec, attach, port-forward.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes any free one. The node's status names the real one.
    pub bind: SocketAddr,
    /// Certificate, key and the authority of client certificates.
    ///
    /// Requests need a client certificate of a member of `system:masters` or of
    /// `kube-apiserver-kubelet-client`.
    pub tls: Arc<rustls::ServerConfig>,
}

/// What a node offers to pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Processors, in thousandths.
    pub cpu_milli: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk for images, logs and `emptyDir`, in bytes.
    pub ephemeral_storage_bytes: u64,
    /// The part of the memory that is in huge pages, by the size of a page in bytes; in bytes.
    pub huge_pages: BTreeMap<u64, u64>,
}

/// When a container's log starts a new file, and how many files are kept.
#[derive(Debug, Clone, Copy)]
pub struct LogRotation {
    /// Size that ends a file, in bytes.
    pub max_bytes: u64,
    /// Files kept, the current one included.
    pub max_files: usize,
    /// How often sizes are looked at.
    pub interval: Duration,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_files: 5, interval: Duration::from_secs(10) }
    }
}

/// Where secrets, tokens and `emptyDir` with `medium: Memory` live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryVolumes {
    /// On a `tmpfs` of their own; needs the right to mount.
    Tmpfs,
    /// In plain folders, for nodes that only pretend.
    Directory,
}

/// When the node is short of something, so that pods must make room.
#[derive(Debug, Clone)]
pub struct EvictionConfig {
    /// What must be left.
    pub thresholds: Thresholds,
    /// A folder on the file system of the images.
    pub image_dir: PathBuf,
}

/// Control groups of pods.
#[derive(Debug, Clone)]
pub struct CgroupConfig {
    /// Where the control group file systems are mounted, usually `/sys/fs/cgroup`.
    pub mount: PathBuf,
    /// Parent of all pods' groups, for example `/kubepods`.
    pub parent: String,
}

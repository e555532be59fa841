//! What a node and its pods use: what agents tell the API server when it asks.
//!
//! Nothing of it is ever an object of the store; `metrics.k8s.io` shows it as it is measured.

use serde::{Deserialize, Serialize};

/// Where an agent answers with a [`NodeUsage`].
pub const PATH: &str = "/stats/usage";

/// What a node and its pods use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeUsage {
    /// The whole machine, if it could be measured.
    pub node: Option<Usage>,
    /// Pods of which something runs.
    pub pods: Vec<PodUsage>,
}

/// What one pod uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodUsage {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod: one of the same name may follow it.
    pub uid: String,
    /// Its containers that run.
    pub containers: Vec<ContainerUsage>,
}

/// What one container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerUsage {
    /// Name of the container.
    pub name: String,
    /// What it uses.
    pub usage: Usage,
}

/// Processor and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// When it was measured: milliseconds since 1970.
    pub at_ms: i64,
    /// The time before that over which the use of the processor is the mean, in milliseconds.
    pub window_ms: u64,
    /// Billionths of a processor.
    pub cpu_nanocores: u64,
    /// Memory that cannot be reclaimed.
    pub memory_bytes: u64,
}

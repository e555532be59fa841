//! What all pods' workers share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use portolan_api::time::whole_seconds;
use portolan_base::Timestamp;
use portolan_client::{EventRecorder, EventType, Informer, ObjectReference, reference};
use tokio::sync::watch;

use super::view::RuntimeView;
use crate::config::{Capacity, Config};
use crate::container::env;
use crate::container::fields::Place;
use crate::lifecycle::PodRuntime;
use crate::pod::{self, Role};
use crate::pressure::Pressures;
use crate::sources::Sources;
use crate::volumes::Volumes;

/// What all pods' workers share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) capacity: Capacity,
    /// What pods may have of it.
    pub(crate) allocatable: Capacity,
    pub(crate) view: RuntimeView,
    pub(crate) volumes: Volumes,
    pub(crate) sources: Arc<Sources>,
    pub(crate) services: Informer<Service>,
    pub(crate) events: EventRecorder,
    /// What the node is short of.
    pub(crate) pressures: watch::Receiver<Pressures>,
}

impl Context {
    /// The current time in whole seconds, the resolution of the API's times.
    pub(crate) fn now(&self) -> Timestamp {
        whole_seconds(self.config.clock.now())
    }

    /// Where a pod runs.
    pub(crate) fn place(&self, pod: &Pod, runtime: &PodRuntime) -> Place {
        let text = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect();
        let host_addresses: Vec<String> = text(&self.config.addresses);
        Place {
            node_name: self.config.node_name.clone(),
            pod_addresses: match runtime.sandbox() {
                _ if pod::host_network(pod) => host_addresses.clone(),
                Some(sandbox) => text(&sandbox.addresses),
                None => Vec::new(),
            },
            host_addresses,
            allocatable: self.allocatable.clone(),
        }
    }

    /// Variables about services for a pod's containers.
    pub(crate) fn service_variables(&self, pod: &Pod) -> BTreeMap<String, String> {
        let mut services = self.services.in_namespace("default");
        let own = pod.metadata.namespace.as_deref().unwrap_or_default();
        if own != "default" {
            services.extend(self.services.in_namespace(own));
        }
        env::service_variables(pod, &services)
    }

    /// The pod's hosts file.
    pub(crate) fn hosts_file(&self, uid: &str) -> PathBuf {
        self.volumes.pod_dir(uid).join("etc-hosts")
    }

    /// File behind a start's termination message path.
    pub(crate) fn termination_file(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.volumes.pod_dir(uid).join("containers").join(format!("{container}-{attempt}"))
    }

    /// The pod's control group, or nothing if the runtime decides.
    pub(crate) fn cgroup(&self, pod: &Pod) -> String {
        match &self.config.cgroups {
            Some(cgroups) => crate::container::resources::cgroup_path(&cgroups.parent, pod),
            None => String::new(),
        }
    }

    /// Records an event about a pod.
    pub(crate) fn pod_event(&self, pod: &Pod, kind: EventType, reason: &str, message: impl Into<String>) {
        self.events.event(&reference(pod), kind, reason, message);
    }

    /// Records an event about a container of a pod.
    pub(crate) fn container_event(
        &self,
        pod: &Pod,
        container: &str,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let list = match pod::container(pod, container).map(|(role, _)| role) {
            Some(Role::Init | Role::Sidecar) => "initContainers",
            Some(Role::Ephemeral) => "ephemeralContainers",
            Some(Role::App) | None => "containers",
        };
        let object = ObjectReference { field_path: Some(format!("spec.{list}{{{container}}}")), ..reference(pod) };
        self.events.event(&object, kind, reason, message);
    }
}

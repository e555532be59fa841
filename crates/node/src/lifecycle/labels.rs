//! What is written onto sandboxes and containers, so that a restarted agent knows them again.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use portolan_api::typed::Object;
use portolan_runtime::{ContainerId, ContainerStatus};
use sha2::{Digest, Sha256};

/// Label of sandboxes and containers with the name of their pod. Upstream's tools read it, and the next ones.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
const HASH: &str = "io.kubernetes.container.hash";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
const CRASH_DELAY: &str = "portolan.dev/crash-delay-seconds";
const TERMINATION_FILE: &str = "portolan.dev/termination-message-file";
const RESOURCES: &str = "portolan.dev/resources";
const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";

/// Labels of a sandbox.
pub(crate) fn of_pod(pod: &Pod) -> BTreeMap<String, String> {
    let own = [(POD_NAME, pod.name()), (POD_NAMESPACE, pod.namespace()), (POD_UID, pod.uid())];
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    labels
}

/// Labels of a container.
pub(crate) fn of_container(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let own = [
        (POD_NAME, pod.name()),
        (POD_NAMESPACE, pod.namespace()),
        (POD_UID, pod.uid()),
        (CONTAINER_NAME, container.name.as_str()),
    ];
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// What a start of a container must remember.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    pub(crate) restart_count: u32,
    pub(crate) hash: String,
    pub(crate) grace: Duration,
    /// How long the start after this one waits, if this one ends soon.
    pub(crate) crash_delay: Duration,
    /// File on the machine behind the termination message path.
    pub(crate) termination_file: String,
    pub(crate) termination_policy: String,
    /// What it was started with, the pod's limits included; nothing for containers of an agent that could not resize.
    pub(crate) resources: Option<ResourceRequirements>,
}

impl Memory {
    /// As annotations.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (RESTART_COUNT.to_owned(), self.restart_count.to_string()),
            (HASH.to_owned(), self.hash.clone()),
            (GRACE.to_owned(), self.grace.as_secs().to_string()),
            (CRASH_DELAY.to_owned(), self.crash_delay.as_secs().to_string()),
            (TERMINATION_FILE.to_owned(), self.termination_file.clone()),
            (TERMINATION_POLICY.to_owned(), self.termination_policy.clone()),
        ]);
        let resources = self.resources.as_ref().and_then(|resources| serde_json::to_string(resources).ok());
        annotations.extend(resources.map(|resources| (RESOURCES.to_owned(), resources)));
        annotations
    }

    /// From a container's annotations; what is missing has upstream's default.
    pub(crate) fn of(container: &ContainerStatus) -> Self {
        let text = |name: &str| container.annotations.get(name).cloned().unwrap_or_default();
        let seconds = |name: &str, default| Duration::from_secs(text(name).parse().unwrap_or(default));
        Self {
            restart_count: text(RESTART_COUNT).parse().unwrap_or(container.attempt),
            hash: text(HASH),
            grace: seconds(GRACE, 30),
            crash_delay: seconds(CRASH_DELAY, 10),
            termination_file: text(TERMINATION_FILE),
            termination_policy: text(TERMINATION_POLICY),
            resources: container.annotations.get(RESOURCES).and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

/// Changes when a running container no longer is what its specification asks for.
///
/// Name and image only, as upstream: other fields of a running pod cannot change, and new fields
/// must not restart everything after an upgrade.
pub(crate) fn hash(container: &Container) -> String {
    let mut digest = Sha256::new();
    digest.update(container.name.as_bytes());
    digest.update([0]);
    digest.update(container.image.as_deref().unwrap_or_default().as_bytes());
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The container's id as the API shows it.
pub(crate) fn container_uri(id: &ContainerId) -> String {
    format!("containerd://{}", id.0)
}

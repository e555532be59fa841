//! From names in a path to pods and containers.

use std::sync::Arc;

use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use portolan_api::typed::Object;
use portolan_runtime::{ContainerId, ContainerState, SandboxId};

use super::{Refusal, Shared};
use crate::lifecycle::PodRuntime;

/// A pod of this node and what the runtime has of it.
pub(super) fn pod(shared: &Shared, namespace: &str, name: &str) -> Result<(Arc<Pod>, Arc<PodRuntime>), Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "pod does not exist");
    let pod = shared.pods.get(namespace, name).ok_or_else(missing)?;
    let runtime = shared.context.view.latest().pod(pod.uid());
    Ok((pod, runtime))
}

/// A running container.
pub(super) fn running(
    shared: &Shared,
    namespace: &str,
    name: &str,
    container: &str,
) -> Result<(Arc<Pod>, ContainerId), Refusal> {
    let (pod, runtime) = pod(shared, namespace, name)?;
    // Not 404: what streams lack is an error of the runtime to the kubelet, and clients show its words.
    let missing = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")"));
    let status = runtime.latest(container).ok_or_else(missing)?;
    match status.state {
        ContainerState::Running { .. } => Ok((pod, status.id.clone())),
        // As if it had never been.
        _ => Err(missing()),
    }
}

/// A pod's running sandbox.
pub(super) fn sandbox(shared: &Shared, namespace: &str, name: &str) -> Result<SandboxId, Refusal> {
    let (_, runtime) = pod(shared, namespace, name)?;
    let sandbox = runtime.sandbox().filter(|sandbox| sandbox.ready);
    let missing = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("pod not found (\"{name}_{namespace}\")"));
    sandbox.map(|sandbox| sandbox.id.clone()).ok_or_else(missing)
}

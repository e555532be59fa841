//! Sandboxes and containers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_cri::v1;
use tokio::sync::watch;

use super::convert::{self, KnownSandbox};
use super::{CALL_TIMEOUT, CriRuntime, Inner, gone_is_fine, timed};
use crate::containerd::cgroup_folders;
use crate::port::*;

/// Detailed answers asked for at the same time, after a start with many pods.
const CONCURRENCY: usize = 8;

impl Inner {
    /// The detailed state of a sandbox; remembered as long as it stays in `listed_state`.
    pub(super) async fn sandbox(&self, id: &str, listed_state: Option<i32>) -> Result<Option<KnownSandbox>> {
        let ready = listed_state.map(|state| state == v1::PodSandboxState::SandboxReady as i32);
        if let Some(known) = self.cache.lock().sandboxes.get(id)
            && ready.is_none_or(|ready| ready == known.status.ready)
        {
            return Ok(Some(known.clone()));
        }
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let answer = timed("ask for a sandbox", CALL_TIMEOUT, self.runtime().pod_sandbox_status(request)).await;
        let known = match answer {
            Ok(answer) => convert::sandbox_status(answer),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(known) = &known {
            self.cache.lock().sandboxes.insert(id.to_owned(), known.clone());
        }
        Ok(known)
    }

    async fn container(&self, listed: v1::Container) -> Result<Option<ContainerStatus>> {
        if let Some(known) = self.cache.lock().containers.get(&listed.id)
            && convert::is_current(known, listed.state)
        {
            return Ok(Some(known.clone()));
        }
        let Some(status) = self.container_status(&listed.id).await? else { return Ok(None) };
        let known = convert::container_status(status, &listed.pod_sandbox_id);
        self.cache.lock().containers.insert(listed.id, known.clone());
        Ok(Some(known))
    }

    pub(super) async fn container_status(&self, id: &str) -> Result<Option<v1::ContainerStatus>> {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        match timed("ask for a container", CALL_TIMEOUT, self.runtime().container_status(request)).await {
            Ok(answer) => Ok(answer.status),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_sandboxes(&self) -> Result<Vec<v1::PodSandbox>> {
        let request = v1::ListPodSandboxRequest::default();
        let answer = timed("list sandboxes", CALL_TIMEOUT, self.runtime().list_pod_sandbox(request)).await?;
        Ok(answer.items)
    }

    pub(super) async fn list_containers(&self) -> Result<Vec<v1::Container>> {
        let request = v1::ListContainersRequest::default();
        let answer = timed("list containers", CALL_TIMEOUT, self.runtime().list_containers(request)).await?;
        Ok(answer.containers)
    }
}

/// Takes away the pod's control group, which the OCI runtime makes but does not remove.
fn remove_cgroup(known: Option<&KnownSandbox>) {
    for folder in known.and_then(|known| known.cgroup_parent.as_deref()).map(cgroup_folders).unwrap_or_default() {
        // Busy means that another attempt of the pod lives in it.
        let _ = fs::remove_dir(folder);
    }
}

#[async_trait]
impl Runtime for CriRuntime {
    async fn version(&self) -> Result<String> {
        let (name, version) = self.inner.version().await?;
        // Debian appends its own revision after a tilde.
        Ok(format!("{name}://{}", version.split('~').next().unwrap_or_default().trim_start_matches('v')))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId> {
        let request =
            v1::RunPodSandboxRequest { config: Some(convert::sandbox_config(config)), runtime_handler: String::new() };
        let answer = timed("run sandbox", CALL_TIMEOUT, self.inner.runtime().run_pod_sandbox(request)).await;
        self.inner.changed();
        answer.map(|answer| SandboxId(answer.pod_sandbox_id))
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.0.clone() };
        let answer = timed("stop sandbox", CALL_TIMEOUT, self.inner.runtime().stop_pod_sandbox(request)).await;
        self.inner.changed();
        gone_is_fine(answer.map(|_| ()))
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        let known = self.inner.sandbox(&id.0, None).await?;
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.0.clone() };
        let answer = timed("remove sandbox", CALL_TIMEOUT, self.inner.runtime().remove_pod_sandbox(request)).await;
        self.inner.changed();
        gone_is_fine(answer.map(|_| ()))?;
        self.inner.cache.lock().sandboxes.remove(&id.0);
        remove_cgroup(known.as_ref());
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        let listed = self.inner.list_sandboxes().await?;
        let ids: HashSet<String> = listed.iter().map(|sandbox| sandbox.id.clone()).collect();
        self.inner.cache.lock().sandboxes.retain(|id, _| ids.contains(id));
        let known =
            stream::iter(listed).map(async |sandbox| self.inner.sandbox(&sandbox.id, Some(sandbox.state)).await);
        let known: Vec<Option<KnownSandbox>> = known.buffered(CONCURRENCY).try_collect().await?;
        Ok(known.into_iter().flatten().map(|known| known.status).collect())
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        pod: &SandboxConfig,
    ) -> Result<ContainerId> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.0.clone(),
            config: Some(convert::container_config(config, pod)),
            sandbox_config: Some(convert::sandbox_config(pod)),
        };
        let answer = timed("create container", CALL_TIMEOUT, self.inner.runtime().create_container(request)).await;
        self.inner.changed();
        answer.map(|answer| ContainerId(answer.container_id))
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let request = v1::StartContainerRequest { container_id: id.0.clone() };
        let answer = timed("start container", CALL_TIMEOUT, self.inner.runtime().start_container(request)).await;
        self.inner.changed();
        answer.map(|_| ())
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        // Whole seconds only; a part of a second must not become "kill at once".
        let timeout = i64::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest { container_id: id.0.clone(), timeout };
        let answer = timed("stop container", grace + CALL_TIMEOUT, self.inner.runtime().stop_container(request)).await;
        self.inner.changed();
        gone_is_fine(answer.map(|_| ()))
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let request = v1::RemoveContainerRequest { container_id: id.0.clone() };
        let answer = timed("remove container", CALL_TIMEOUT, self.inner.runtime().remove_container(request)).await;
        self.inner.changed();
        gone_is_fine(answer.map(|_| ()))?;
        self.inner.cache.lock().containers.remove(&id.0);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        let listed = self.inner.list_containers().await?;
        let ids: HashSet<String> = listed.iter().map(|container| container.id.clone()).collect();
        self.inner.cache.lock().containers.retain(|id, _| ids.contains(id));
        let known = stream::iter(listed).map(|container| self.inner.container(container));
        let known: Vec<Option<ContainerStatus>> = known.buffered(CONCURRENCY).try_collect().await?;
        Ok(known.into_iter().flatten().collect())
    }

    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: id.0.clone(),
            linux: Some(convert::resources(resources)),
            ..Default::default()
        };
        timed("update resources", CALL_TIMEOUT, self.inner.runtime().update_container_resources(request)).await?;
        Ok(())
    }

    async fn stats(&self) -> Result<Vec<ContainerStats>> {
        let containers = self.inner.list_containers().await?;
        let sandboxes: HashMap<String, String> =
            containers.into_iter().map(|container| (container.id, container.pod_sandbox_id)).collect();
        let request = v1::ListContainerStatsRequest::default();
        let answer = timed("list stats", CALL_TIMEOUT, self.inner.runtime().list_container_stats(request)).await?;
        let with_sandbox = answer.stats.into_iter().filter_map(|stats| {
            let id = &stats.attributes.as_ref()?.id;
            let sandbox = sandboxes.get(id)?.clone();
            Some(convert::stats(stats, sandbox))
        });
        Ok(with_sandbox.collect())
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<()> {
        let request = v1::ReopenContainerLogRequest { container_id: id.0.clone() };
        timed("reopen log", CALL_TIMEOUT, self.inner.runtime().reopen_container_log(request)).await?;
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }
}

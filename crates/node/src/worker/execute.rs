//! Executes steps. What they achieve is seen in the runtime's state; what they learn is an outcome.

pub(super) mod image;
mod resize;
pub(super) mod start;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use portolan_base::error::chain;
use portolan_client::{DeleteOptions, EventType};
use portolan_runtime::{ContainerId, Resources, SandboxId};

use super::context::Context;
use crate::cgroup::is_less;
use crate::container::{self, SandboxInput, names, resources};
use crate::lifecycle::{Failure, ImageState, Local, LocalContainer, PodRuntime, Step, Volumes};
use crate::sources::Freshness;
use portolan_api::typed::Object;

/// First and longest delay before a failed sandbox, volume or configuration is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same for images, upstream's `imagePullBackOff`.
const IMAGE_RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// The same for the final delete of the API object.
const DELETE_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What a step learned. Everything else is seen in the runtime.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing to remember.
    Done,
    /// The volumes are there, or why not.
    Volumes(Result<(), (String, String)>),
    /// The volumes are gone, or why not.
    TornDown(Result<(), String>),
    /// The sandbox runs in a group with these limits, if those could be set; or why it does not run.
    Sandbox(Result<Option<Resources>, String>),
    /// The image is here, or the reason and message why not.
    Image(String, Result<String, (String, String)>),
    /// The container was started, or the reason and message why not.
    Started(String, Result<(), (String, String)>),
    /// The pod's group has these limits now, or why not.
    Limited(Result<Resources, String>),
    /// This start of the container has these resources now, or why not; the pod has at least the raised quota.
    Resized { container: String, id: ContainerId, raised: Option<i64>, outcome: Result<ResourceRequirements, String> },
    /// The API object is gone, or why not.
    Deleted(Result<(), String>),
    /// Logged; the next plan repeats the step after a while.
    Failed(String),
}

/// Everything a step may look at, as it was when the step was planned.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) context: Arc<Context>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) runtime: Arc<PodRuntime>,
    /// The image id found for the container that is to be started.
    pub(crate) image: Option<String>,
}

impl Job {
    /// Executes one step.
    pub(crate) async fn execute(self, step: Step) -> Outcome {
        match step {
            Step::PrepareVolumes => self.prepare_volumes().await,
            Step::TearDown => self.tear_down().await,
            Step::RunSandbox { attempt } => self.run_sandbox(attempt).await,
            Step::EnsureImage { container } => image::ensure(&self, container).await,
            Step::Start { container, attempt, crash_delay } => {
                start::start(&self, container, attempt, crash_delay).await
            }
            Step::Resize { id, container } => resize::resize(&self, id, container).await,
            Step::Limit => resize::limit(&self).await,
            Step::Stop { id, container, grace, message } => stop::stop(&self, &id, &container, grace, &message).await,
            Step::Remove { id } => {
                self.plain("remove a container", self.context.config.runtime.remove_container(&id).await)
            }
            Step::StopSandbox { id } => self.stop_sandbox(&id).await,
            Step::RemoveSandbox { id } => {
                self.plain("remove a sandbox", self.context.config.runtime.remove_sandbox(&id).await)
            }
            Step::Delete => self.delete().await,
        }
    }

    fn plain(&self, what: &str, outcome: Result<(), portolan_runtime::Error>) -> Outcome {
        match outcome {
            Ok(()) | Err(portolan_runtime::Error::NotFound { .. }) => Outcome::Done,
            Err(error) => Outcome::Failed(format!("{what}: {}", chain(&error))),
        }
    }

    async fn prepare_volumes(&self) -> Outcome {
        let context = &self.context;
        let place = context.place(&self.pod, &self.runtime);
        let prepared = context.volumes.prepare(&self.pod, &place, Freshness::Now).await;
        Outcome::Volumes(prepared.map_err(|error| {
            let message = match error.volume.as_str() {
                "" => error.message,
                volume => format!("MountVolume.SetUp failed for volume \"{volume}\" : {}", error.message),
            };
            context.pod_event(&self.pod, EventType::Warning, "FailedMount", message.clone());
            ("FailedMount".to_owned(), message)
        }))
    }

    async fn tear_down(&self) -> Outcome {
        let (context, uid) = (self.context.clone(), self.pod.uid().to_owned());
        let torn_down = tokio::task::spawn_blocking(move || context.volumes.tear_down(&uid)).await;
        let group = self.context.cgroup(&self.pod);
        if let Err(error) = crate::cgroup::remove(self.context.config.cgroups.as_ref(), &group).await {
            tracing::debug!(pod = crate::pod::display(&self.pod), "remove the pod's control group: {error}");
        }
        Outcome::TornDown(match torn_down {
            Ok(outcome) => outcome.map_err(|error| format!("take down the pod's volumes: {error}")),
            Err(error) => Err(format!("take down the pod's volumes: {error}")),
        })
    }

    async fn run_sandbox(&self, attempt: u32) -> Outcome {
        let context = &self.context;
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            context.pod_event(&self.pod, EventType::Normal, "SandboxChanged", message);
        }
        let config = self.sandbox_config(attempt).await;
        let limits = resources::of_pod(&self.pod);
        let limited = crate::cgroup::ensure(context.config.cgroups.as_ref(), &config.cgroup_parent, &limits).await;
        if let Err(error) = &limited {
            // The containers' own limits still hold.
            tracing::warn!(pod = crate::pod::display(&self.pod), "limit the pod's control group: {error}");
        }
        let made = match std::fs::create_dir_all(&config.log_directory) {
            Ok(()) => context.config.runtime.run_sandbox(&config).await.map_err(|error| chain(&error).to_string()),
            Err(error) => Err(format!("create the log folder {}: {error}", config.log_directory.display())),
        };
        Outcome::Sandbox(made.map(|_| limited.is_ok().then_some(limits)).map_err(|reason| {
            let message = format!("Failed to create pod sandbox: {reason}");
            context.pod_event(&self.pod, EventType::Warning, "FailedCreatePodSandBox", message.clone());
            message
        }))
    }

    /// What the pod's sandbox is asked to be; also needed for each of its containers.
    async fn sandbox_config(&self, attempt: u32) -> portolan_runtime::SandboxConfig {
        let config = &self.context.config;
        // A machine without the file has no resolver of its own.
        let machine = tokio::fs::read_to_string(&config.resolv_conf).await.unwrap_or_default();
        let dns = names::dns(&self.pod, config.cluster_dns, &config.cluster_domain, &machine);
        let input = SandboxInput {
            attempt,
            log_dir: &config.log_dir,
            dns,
            cgroup_parent: self.context.cgroup(&self.pod),
            seccomp_dir: &config.data_dir.join("seccomp"),
        };
        container::sandbox(&self.pod, input)
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Outcome {
        self.plain("stop a sandbox", self.context.config.runtime.stop_sandbox(id).await)
    }

    async fn delete(&self) -> Outcome {
        let options = DeleteOptions { grace_period: Some(Duration::ZERO), ..DeleteOptions::uid(self.pod.uid()) };
        let (namespace, name) = (self.pod.namespace(), self.pod.name());
        let deleted = self.context.config.client.delete::<Pod>(namespace, name, &options).await;
        Outcome::Deleted(match deleted {
            Ok(()) => Ok(()),
            // Gone, or another pod of the same name is there already.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(chain(&error).to_string()),
        })
    }
}

impl Outcome {
    /// Remembers what was learned. Pure but for the log.
    pub(crate) fn remember(self, local: &mut Local, now: portolan_base::Timestamp) {
        match self {
            Self::Done => {}
            Self::Volumes(Ok(())) => local.volumes = Volumes::Ready,
            Self::Volumes(Err((reason, message))) => {
                let before = if let Volumes::Failed(failure) = &local.volumes { Some(failure) } else { None };
                local.volumes = Volumes::Failed(Failure::after(before, reason, message, now, RETRY));
            }
            Self::TornDown(Ok(())) => local.volumes = Volumes::TornDown,
            Self::TornDown(Err(message)) => {
                tracing::warn!("{message}");
                let before = if let Volumes::Failed(failure) = &local.volumes { Some(failure) } else { None };
                local.volumes = Volumes::Failed(Failure::after(before, "FailedUnmount", message, now, RETRY));
            }
            Self::Sandbox(Ok(group)) => {
                local.sandbox_failure = None;
                local.group_failure = local.group_failure.take().filter(|_| group.is_none());
                local.group = group;
            }
            Self::Sandbox(Err(message)) => {
                let before = local.sandbox_failure.take();
                let failure = Failure::after(before.as_ref(), "FailedCreatePodSandBox", message, now, RETRY);
                local.sandbox_failure = Some(failure);
            }
            Self::Image(name, outcome) => remember_image(local.containers.entry(name).or_default(), outcome, now),
            Self::Started(name, outcome) => {
                let container = local.containers.entry(name).or_default();
                // Asked for again before the next start: the policy may be Always.
                container.image = ImageState::Unknown;
                let before = container.start_failure.take();
                container.start_failure = outcome.err().map(|(reason, message)| match reason.as_str() {
                    // Forgotten once the runtime shows the container as ended: its restart has a delay of its own.
                    start::RUN_ERROR => Failure::after(before.as_ref(), reason, message, now, RETRY),
                    _ => Failure::after(before.as_ref(), reason, message, now, IMAGE_RETRY),
                });
            }
            Self::Limited(Ok(limits)) => {
                local.group = Some(limits);
                local.group_failure = None;
            }
            Self::Limited(Err(message)) => {
                let before = local.group_failure.take();
                local.group_failure = Some(Failure::after(before.as_ref(), "Error", message, now, RETRY));
            }
            Self::Resized { container, id, raised, outcome } => {
                if let (Some(group), Some(quota)) = (&mut local.group, raised)
                    && is_less(group.cpu_quota_us, quota)
                {
                    group.cpu_quota_us = quota;
                }
                let container = local.containers.entry(container).or_default();
                match outcome {
                    Ok(resources) => {
                        container.applied = Some((id, resources));
                        container.resize_failure = None;
                    }
                    Err(message) => {
                        let before = container.resize_failure.take();
                        container.resize_failure = Some(Failure::after(before.as_ref(), "Error", message, now, RETRY));
                    }
                }
            }
            Self::Deleted(Ok(())) => local.deleted = true,
            Self::Deleted(Err(message)) => {
                tracing::warn!("delete the pod's object: {message}");
                let before = local.delete_failure.take();
                let failure = Failure::after(before.as_ref(), "FailedDelete", message, now, DELETE_RETRY);
                local.delete_failure = Some(failure);
            }
            Self::Failed(message) => tracing::warn!("{message}"),
        }
    }
}

fn remember_image(
    container: &mut LocalContainer,
    outcome: Result<String, (String, String)>,
    now: portolan_base::Timestamp,
) {
    container.image = match outcome {
        Ok(id) => ImageState::Present(id),
        Err((reason, message)) => {
            let before = if let ImageState::Failed(failure) = &container.image { Some(failure) } else { None };
            ImageState::Failed(Failure::after(before, reason, message, now, IMAGE_RETRY))
        }
    };
}

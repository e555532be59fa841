//! Giving a running container other limits.

use k8s_openapi::api::core::v1::Container;
use portolan_base::error::chain;
use portolan_client::EventType;
use portolan_runtime::ContainerId;

use super::{Job, Outcome};
use crate::cgroup;
use crate::container::resources;
use crate::pod;

/// Changes the limits of a container and of the pod that it is in.
pub(super) async fn resize(job: &Job, id: ContainerId, name: String) -> Outcome {
    let Some((_, container)) = pod::container(&job.pod, &name) else { return Outcome::Done };
    let outcome = try_resize(job, &id, &container).await;
    if let Err(reason) = &outcome {
        let message = format!("Error: {reason}");
        job.context.container_event(&job.pod, &name, EventType::Warning, "ResizeError", message);
    }
    Outcome::Resized(name, id, outcome.map(|()| container.resources.unwrap_or_default()))
}

async fn try_resize(job: &Job, id: &ContainerId, container: &Container) -> Result<(), String> {
    let context = &job.context;
    let (groups, group) = (context.config.cgroups.as_ref(), context.cgroup(&job.pod));
    let failed = |error: std::io::Error| format!("limit the pod's control group: {error}");
    cgroup::lift_quota(groups, &group).map_err(failed)?;
    let wanted = resources::of_container(&job.pod, container, context.capacity.memory_bytes);
    context.config.runtime.update_resources(id, &wanted).await.map_err(|error| chain(&error).to_string())?;
    cgroup::ensure(groups, &group, &resources::of_pod(&job.pod)).map_err(failed)
}

//! Giving a running pod and its containers other limits.

use portolan_base::error::chain;
use portolan_client::EventType;
use portolan_runtime::{ContainerId, Resources};

use super::{Job, Outcome};
use crate::cgroup;
use crate::container::resources;
use crate::lifecycle::resize::summary;
use crate::pod::{self, whole};

/// Changes the limits of a container. The pod's own follow once no container in it has more.
pub(super) async fn resize(job: &Job, id: ContainerId, name: String) -> Outcome {
    let Some((_, container)) = pod::container(&job.pod, &name) else { return Outcome::Done };
    let limits = resources::of_container(&job.pod, &container, job.context.capacity.memory_bytes);
    let raised = make_room(job, &id, &name, &limits).await;
    let outcome = match &raised {
        Ok(_) => {
            let updated = job.context.config.runtime.update_resources(&id, &limits).await;
            updated.map_err(|error| chain(&error).to_string())
        }
        Err(reason) => Err(reason.clone()),
    };
    if let Err(reason) = &outcome {
        tell_failure(job, reason);
    }
    let outcome = outcome.map(|()| whole::allowed(&job.pod, &container));
    Outcome::Resized { container: name, id, raised: raised.ok(), outcome }
}

/// Lets the pod's group have the processor time that it may have, unless a container is to have less memory than it
/// uses. Returns what the group has of it at least.
async fn make_room(job: &Job, id: &ContainerId, name: &str, limits: &Resources) -> Result<i64, String> {
    let config = &job.context.config;
    if limits.memory_limit > 0 {
        let stats = config.runtime.stats().await.map_err(|error| chain(&error).to_string())?;
        let usage = stats.iter().find(|stats| stats.container == id.0).map(|stats| stats.working_set_bytes);
        if let Some(usage) = usage.filter(|usage| *usage > limits.memory_limit) {
            return Err(below_usage(&format!("container \"{name}\""), limits.memory_limit, usage));
        }
    }
    let whole = resources::of_pod(&job.pod);
    cgroup::raise_quota(config.cgroups.as_ref(), &job.context.cgroup(&job.pod), &whole).map_err(failed)?;
    Ok(whole.cpu_quota_us)
}

/// Changes the limits of the pod's control group.
pub(super) async fn limit(job: &Job) -> Outcome {
    let limits = resources::of_pod(&job.pod);
    let (groups, group) = (job.context.config.cgroups.as_ref(), job.context.cgroup(&job.pod));
    let outcome = match cgroup::memory_usage(groups, &group) {
        Some(usage) if limits.memory_limit > 0 && usage > limits.memory_limit => {
            Err(below_usage("pod", limits.memory_limit, usage))
        }
        _ => cgroup::ensure(groups, &group, &limits).await.map_err(failed),
    };
    if let Err(reason) = &outcome {
        tell_failure(job, reason);
    }
    Outcome::Limited(outcome.map(|()| limits))
}

/// Why a limit is not set: the kernel would refuse it, or end processes to make it so.
fn below_usage(whose: &str, limit: u64, usage: u64) -> String {
    format!(
        "cannot decrease memory limits: attempting to set {whose} memory limit ({limit}) below current usage ({usage})"
    )
}

fn failed(error: std::io::Error) -> String {
    format!("limit the pod's control group: {error}")
}

fn tell_failure(job: &Job, reason: &str) {
    let message = format!("Pod resize error: {}", summary(&job.pod, reason));
    job.context.pod_event(&job.pod, EventType::Warning, "ResizeError", message);
}

//! Giving a running pod and its containers other limits.

use k8s_openapi::api::core::v1::Container;
use portolan_base::error::chain;
use portolan_client::EventType;
use portolan_runtime::ContainerId;

use super::{Job, Outcome};
use crate::cgroup;
use crate::container::resources;
use crate::lifecycle::resize::summary;
use crate::pod::{self, whole};

/// Changes the limits of a container. The pod's own follow once no container in it has more.
pub(super) async fn resize(job: &Job, id: ContainerId, name: String) -> Outcome {
    let Some((_, container)) = pod::container(&job.pod, &name) else { return Outcome::Done };
    let mut raised = None;
    let outcome = try_resize(job, &id, &container, &mut raised).await;
    if let Err(reason) = &outcome {
        tell_failure(job, reason);
    }
    Outcome::Resized { container: name, id, raised, outcome: outcome.map(|()| whole::allowed(&job.pod, &container)) }
}

/// `raised` is what the pod's group has at least of processor time, once it does.
async fn try_resize(
    job: &Job,
    id: &ContainerId,
    container: &Container,
    raised: &mut Option<i64>,
) -> Result<(), String> {
    let context = &job.context;
    let runtime = &context.config.runtime;
    let wanted = resources::of_container(&job.pod, container, context.capacity.memory_bytes);
    let stats = runtime.stats().await.map_err(|error| chain(&error).to_string())?;
    let usage = stats.iter().find(|stats| stats.container == id.0).map(|stats| stats.working_set_bytes);
    if let Some(usage) = usage.filter(|usage| wanted.memory_limit > 0 && *usage > wanted.memory_limit) {
        return Err(below_usage(&format!("container \"{}\"", container.name), wanted.memory_limit, usage));
    }
    let limits = resources::of_pod(&job.pod);
    cgroup::raise_quota(context.config.cgroups.as_ref(), &context.cgroup(&job.pod), &limits).map_err(failed)?;
    *raised = Some(limits.cpu_quota_us);
    runtime.update_resources(id, &wanted).await.map_err(|error| chain(&error).to_string())
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

//! Stopping a container.

use std::time::Duration;

use portolan_base::error::chain;
use portolan_client::EventType;
use portolan_runtime::ContainerId;
use tokio::time::Instant;

use super::{Job, Outcome};
use crate::hooks;
use crate::pod;

/// What a container gets after a hook that used up the grace period, as upstream.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Runs the `preStop` hook, then stops the container; both within `grace`.
pub(super) async fn stop(job: &Job, id: &ContainerId, name: &str, grace: Duration, message: &str) -> Outcome {
    let context = &job.context;
    context.container_event(&job.pod, name, EventType::Normal, "Killing", message);
    let begun = Instant::now();
    let specification = pod::container(&job.pod, name).map(|(_, container)| container);
    let lifecycle = specification.as_ref().and_then(|container| container.lifecycle.as_ref());
    if let (Some(specification), Some(hook)) =
        (&specification, lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()))
        && !grace.is_zero()
    {
        let ran = tokio::time::timeout(grace, hooks::run(context, &job.runtime, specification, id, hook)).await;
        let failure = match ran {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => Some(format!("it did not end within {grace:?}")),
        };
        if let Some(reason) = failure {
            let text = format!("PreStopHook failed: {reason}");
            context.container_event(&job.pod, name, EventType::Warning, "FailedPreStopHook", text);
        }
    }
    let left = if grace.is_zero() { grace } else { grace.saturating_sub(begun.elapsed()).max(LEAST_GRACE.min(grace)) };
    match context.config.runtime.stop_container(id, left).await {
        Ok(()) | Err(portolan_runtime::Error::NotFound { .. }) => Outcome::Done,
        Err(error) => Outcome::Failed(format!("stop container {name}: {}", chain(&error))),
    }
}

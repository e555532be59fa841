//! When a container that ended is started again.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_api::time::whole_seconds;
use portolan_base::Timestamp;
use portolan_runtime::{ContainerState, ContainerStatus};

use super::labels::{Memory, hash};
use super::resize;
use crate::pod::{self, RestartPolicy, Role};

/// Delay after the first crash.
pub(crate) const FIRST: Duration = Duration::from_secs(10);
/// The longest delay.
pub(crate) const CEILING: Duration = Duration::from_secs(300);
/// A container that lived this long starts over with no delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(600);

/// What comes after the end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It stays as it is.
    Nothing,
    /// Another start at once: it ended because it is to be another one.
    Start,
    /// Another start, later with each crash.
    Restart(Restart),
}

/// The start of a container again after it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restart {
    /// Not before this.
    pub(crate) at: Timestamp,
    /// The delay that leads there.
    pub(crate) delay: Duration,
    /// The delay that the start after it will have, to be remembered with it.
    pub(crate) next_delay: Duration,
}

/// What comes after `ended`, a start of `container`; nothing as long as it has not ended.
pub(crate) fn next(pod: &Pod, role: Role, container: &Container, ended: &ContainerStatus) -> Next {
    let ContainerState::Exited { exit_code, .. } = ended.state else { return Next::Nothing };
    let policy = pod::restart_policy(pod, role, container);
    let changed = policy != RestartPolicy::Never && Memory::of(ended).hash != hash(container);
    if changed || policy.restarts(exit_code) && resize::ended_for_resize(pod, container, ended) {
        return Next::Start;
    }
    restart(ended).filter(|_| policy.restarts(exit_code)).map_or(Next::Nothing, Next::Restart)
}

/// The next start of `ended`: at once after the first run, then 10 s doubling to 5 min.
///
/// The delay is remembered with the container, so it survives the agent. `None` if it has not ended.
fn restart(ended: &ContainerStatus) -> Option<Restart> {
    let ContainerState::Exited { started_at, finished_at, .. } = &ended.state else { return None };
    let memory = Memory::of(ended);
    let lived = match started_at.as_second() {
        // It could not be started at all.
        0 => Duration::ZERO,
        _ => Duration::try_from(finished_at.duration_since(*started_at)).unwrap_or_default(),
    };
    let delay = match memory.crash_delay {
        _ if lived >= HEALTHY_AFTER => Duration::ZERO,
        delay => delay,
    };
    let next_delay = if delay.is_zero() { FIRST } else { (delay * 2).min(CEILING) };
    // Decisions are made in whole seconds; a fraction would make a container wait that need not.
    Some(Restart { at: whole_seconds(*finished_at) + delay, delay, next_delay })
}

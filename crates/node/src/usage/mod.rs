//! What the machine and its containers use, measured when somebody asks.
//!
//! The kernel counts; two readings and the time between them make a rate. Nothing is read while nobody asks:
//! the first question after a pause waits for a second reading, those that follow compare with an earlier one.

mod machine;
mod sample;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_api::usage::Usage;
use portolan_base::{Clock, Timestamp};
use portolan_runtime::{ContainerId, ContainerState, ContainerStatus, Runtime};

use sample::History;
pub(crate) use sample::{Counters, Sample};

/// The time between two readings if there is no earlier one: long enough that the kernel's ticks do not
/// matter, short enough for a person who waits.
const SHORTEST: Duration = Duration::from_secs(1);

/// Reads the counters and remembers the last readings.
#[derive(Debug)]
pub(crate) struct Meter {
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    history: Mutex<History>,
}

impl Meter {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>) -> Self {
        Self { runtime, clock, history: Mutex::default() }
    }

    /// Reads all counters.
    pub(crate) async fn read(&self) -> Result<Arc<Sample>, portolan_runtime::Error> {
        let stats = self.runtime.stats().await?;
        let counters = |stats: portolan_runtime::ContainerStats| {
            let counters = Counters {
                cpu: stats.cpu,
                memory_bytes: stats.working_set_bytes,
                writable_layer_bytes: stats.writable_layer_bytes,
            };
            (stats.container, counters)
        };
        let containers = stats.into_iter().map(counters).collect();
        Ok(Arc::new(Sample { at: self.clock.now(), node: machine::counters(), containers }))
    }

    /// Reads all counters and finds what to compare them with.
    pub(crate) async fn measure(&self) -> Result<Measured, portolan_runtime::Error> {
        let mut now = self.read().await?;
        let base = self.history.lock().base(now.at);
        self.history.lock().keep(now.clone());
        let base = match base {
            Some(base) => base,
            None => {
                tokio::time::sleep(SHORTEST).await;
                let first = std::mem::replace(&mut now, self.read().await?);
                self.history.lock().keep(now.clone());
                first
            }
        };
        Ok(Measured { base, now })
    }
}

/// Two readings.
#[derive(Debug)]
pub(crate) struct Measured {
    base: Arc<Sample>,
    pub(crate) now: Arc<Sample>,
}

impl Measured {
    /// What the machine uses.
    pub(crate) fn node(&self) -> Option<Usage> {
        sample::usage(&self.now, &self.base, |sample| sample.node, None)
    }

    /// What a container uses; nothing if it does not run.
    pub(crate) fn container(&self, container: &ContainerStatus) -> Option<Usage> {
        let ContainerId(id) = &container.id;
        sample::usage(&self.now, &self.base, |sample| sample.containers.get(id).copied(), started_at(container))
    }
}

/// Since when a container counts.
pub(crate) fn started_at(container: &ContainerStatus) -> Option<Timestamp> {
    match &container.state {
        ContainerState::Running { started_at } => Some(*started_at),
        _ => None,
    }
}

//! From counters to rates. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use portolan_api::usage::Usage;
use portolan_base::Timestamp;

/// A reading that is older says nothing about now.
const OLDEST: Duration = Duration::from_secs(60);
/// Rates are over this time if there is a reading that is as old.
const WANTED: Duration = Duration::from_secs(15);
/// Readings that are closer make bad rates, and are not worth their memory.
const CLOSEST: Duration = Duration::from_millis(900);

/// Counters of the machine or of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Processor time since the start.
    pub(crate) cpu: Duration,
    /// Memory that cannot be reclaimed.
    pub(crate) memory_bytes: u64,
    /// What a container wrote over its image.
    pub(crate) writable_layer_bytes: u64,
}

/// All counters at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) node: Option<Counters>,
    /// By id of the container.
    pub(crate) containers: HashMap<String, Counters>,
}

/// The last readings, the newest at the end.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Arc<Sample>>);

impl History {
    /// What to compare a reading with: the newest one that is old enough, else the oldest.
    pub(crate) fn base(&self, now: Timestamp) -> Option<Arc<Sample>> {
        let useful = || self.0.iter().filter(|sample| (CLOSEST..=OLDEST).contains(&age(sample, now)));
        useful().rev().find(|sample| age(sample, now) >= WANTED).or_else(|| useful().next()).cloned()
    }

    /// Remembers a reading and forgets those that are too old.
    pub(crate) fn keep(&mut self, sample: Arc<Sample>) {
        self.0.retain(|old| age(old, sample.at) <= OLDEST && old.at <= sample.at);
        if self.0.back().is_none_or(|last| age(last, sample.at) >= CLOSEST) {
            self.0.push_back(sample);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn age(sample: &Sample, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(sample.at)).unwrap_or_default()
}

/// What something uses: since the earlier reading, or since it was started after that.
pub(crate) fn usage(
    now: &Sample,
    base: &Sample,
    of: impl Fn(&Sample) -> Option<Counters>,
    started_at: Option<Timestamp>,
) -> Option<Usage> {
    let counters = of(now)?;
    let before = of(base).map(|counters| (base.at, counters.cpu));
    let (since, cpu) = before.or_else(|| Some((started_at?, Duration::ZERO)))?;
    let window = Duration::try_from(now.at.duration_since(since)).ok()?;
    let nanocores = counters.cpu.checked_sub(cpu)?.as_nanos() * 1_000_000_000 / window.as_nanos().max(1);
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    (window_ms > 0).then_some(Usage {
        at_ms: now.at.as_millisecond(),
        window_ms,
        cpu_nanocores: u64::try_from(nanocores).unwrap_or(u64::MAX),
        memory_bytes: counters.memory_bytes,
    })
}

//! Counters of the whole machine, which are the same whichever version of control groups it has.

use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::Counters;
use crate::pressure::memory;

/// Reads the counters; nothing if the kernel does not show them.
pub(super) fn counters() -> Option<Counters> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let cpu = busy(&read("/proc/stat"), ticks.filter(|ticks| *ticks > 0)?)?;
    let memory = memory(&read("/proc/meminfo"))?;
    let memory_bytes = memory.capacity.saturating_sub(memory.available);
    Some(Counters { cpu, memory_bytes, writable_layer_bytes: 0 })
}

/// The time that processors were not idle.
/// <https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>
pub(super) fn busy(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, interrupts @ ..] = fields.as_slice() else { return None };
    // Interrupts, and soft ones; what follows was another machine's, or is in the first two already.
    let ticks = user + nice + system + interrupts.iter().take(2).sum::<u64>();
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second);
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

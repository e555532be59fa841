//! Which conditions hold and who must make room. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use portolan_base::Timestamp;

use super::thresholds::{Crossed, Signal};
use super::{Pressures, Resource};
use crate::admission::CRITICAL;

/// A condition stays this long after the last crossing, so that it does not flap. As upstream.
const TRANSITION: Duration = Duration::from_secs(300);

/// When thresholds were crossed last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory(BTreeMap<Resource, Timestamp>);

impl Memory {
    /// Takes in what is crossed now, and returns which conditions hold.
    pub(super) fn advance(&mut self, crossed: &[Crossed], now: Timestamp) -> Pressures {
        self.0.extend(crossed.iter().map(|crossed| (crossed.signal.resource(), now)));
        self.0.retain(|_, last| {
            now.duration_since(*last) < jiff::SignedDuration::try_from(TRANSITION).unwrap_or_default()
        });
        let holds = |resource| self.0.contains_key(&resource);
        Pressures { memory: holds(Resource::Memory), disk: holds(Resource::Disk), pid: holds(Resource::Processes) }
    }
}

/// A pod that could make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) uid: String,
    pub(super) priority: i32,
    /// What it uses of the resource that is short.
    pub(super) usage: u64,
    /// What it asked for; nothing for what cannot be asked for.
    pub(super) request: u64,
    /// Its largest container of those that use more than they asked for.
    pub(super) largest: Option<Consumer>,
}

/// A container that uses more than it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Consumer {
    pub(super) container: String,
    pub(super) usage: u64,
    pub(super) request: u64,
}

/// Returns the pod that must make room first: one that uses more than it asked for before one that does not,
/// then the least important, then the one that exceeds its request most. Critical pods never go.
pub(super) fn first_to_go(candidates: Vec<Candidate>) -> Option<Candidate> {
    let rank = |candidate: &Candidate| {
        let excess = candidate.usage.saturating_sub(candidate.request);
        (excess == 0, candidate.priority, Reverse(excess), candidate.uid.clone())
    };
    candidates.into_iter().filter(|candidate| candidate.priority < CRITICAL).min_by_key(rank)
}

/// What people read in the pod's status and event.
pub(super) fn message(crossed: &Crossed, victim: &Candidate) -> String {
    let (resource, amount): (&str, fn(u64) -> String) = match crossed.signal {
        Signal::Memory => ("memory", bytes),
        Signal::NodeDisk | Signal::ImageDisk => ("ephemeral-storage", bytes),
        Signal::NodeInodes | Signal::ImageInodes => ("inodes", |number| number.to_string()),
        Signal::Processes => ("pids", |number| number.to_string()),
    };
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        amount(crossed.least),
        amount(crossed.available)
    );
    if let Some(Consumer { container, usage, request }) = &victim.largest {
        let (usage, request) = (amount(*usage), amount(*request));
        text += &format!(
            "Container {container} was using {usage}, request is {request}, has larger consumption of {resource}. "
        );
    }
    text
}

/// Bytes as a quantity.
fn bytes(number: u64) -> String {
    match number {
        0 => "0".to_owned(),
        _ if number.is_multiple_of(1 << 20) => format!("{}Mi", number >> 20),
        _ => format!("{}Ki", number >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).expect("in range")
    }

    const SHORT: Crossed = Crossed { signal: Signal::Memory, available: 52 << 20, least: 100 << 20 };

    #[test]
    fn a_condition_comes_at_once_and_goes_after_five_quiet_minutes() {
        let mut memory = Memory::default();
        let steps = [
            (0, vec![], false),
            (10, vec![SHORT], true),
            (20, vec![], true),
            (309, vec![], true),
            (310, vec![], false),
        ];
        for (seconds, crossed, expected) in steps {
            assert_eq!(memory.advance(&crossed, at(seconds)).memory, expected, "after {seconds} s");
        }
    }

    #[test]
    fn who_exceeds_its_request_goes_first_then_the_least_important_then_the_largest() {
        let pod = |uid: &str, priority, usage, request| Candidate {
            uid: uid.to_owned(),
            priority,
            usage,
            request,
            largest: None,
        };
        let cases = [
            (vec![pod("modest", 0, 5, 10), pod("greedy", 100, 11, 10)], Some("greedy")),
            (vec![pod("small", 0, 12, 10), pod("large", 0, 30, 10)], Some("large")),
            (vec![pod("important", 10, 90, 0), pod("plain", 0, 20, 0)], Some("plain")),
            (vec![pod("modest", 0, 5, 10), pod("modest and important", 5, 9, 10)], Some("modest")),
            (vec![pod("critical", CRITICAL, 900, 0)], None),
            (vec![], None),
        ];
        for (candidates, expected) in cases {
            let text = format!("{candidates:?}");
            assert_eq!(first_to_go(candidates).map(|pod| pod.uid).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_message_says_what_was_short_and_who_used_it() {
        let largest = Some(Consumer { container: "app".into(), usage: 512 << 20, request: 0 });
        let victim = Candidate { uid: "u".into(), priority: 0, usage: 1, request: 0, largest };
        assert_eq!(
            message(&SHORT, &victim),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. \
             Container app was using 512Mi, request is 0, has larger consumption of memory. "
        );
    }
}

//! How much of what must be left on the node. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use portolan_api::quantity::Quantity;

use super::Resource;
use crate::config::Capacity;

/// Something of which a node can run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    Memory,
    NodeDisk,
    NodeInodes,
    ImageDisk,
    ImageInodes,
    Processes,
}

impl Signal {
    const ALL: [Self; 6] =
        [Self::Memory, Self::NodeDisk, Self::NodeInodes, Self::ImageDisk, Self::ImageInodes, Self::Processes];

    /// Upstream's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory.available",
            Self::NodeDisk => "nodefs.available",
            Self::NodeInodes => "nodefs.inodesFree",
            Self::ImageDisk => "imagefs.available",
            Self::ImageInodes => "imagefs.inodesFree",
            Self::Processes => "pid.available",
        }
    }

    pub(crate) fn resource(self) -> Resource {
        match self {
            Self::Memory => Resource::Memory,
            Self::NodeDisk | Self::NodeInodes | Self::ImageDisk | Self::ImageInodes => Resource::Disk,
            Self::Processes => Resource::Processes,
        }
    }
}

/// The least that must be left of something.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Least {
    /// So much.
    Amount(u64),
    /// This part of the whole, in percent.
    Percent(f64),
    /// The same, but at most so much.
    PercentUpTo(f64, u64),
}

impl Least {
    /// The amount, for a whole of this size.
    fn of(self, whole: u64) -> u64 {
        let part = |percent: f64| (whole as f64 * percent / 100.0) as u64;
        match self {
            Self::Amount(amount) => amount,
            Self::Percent(percent) => part(percent),
            Self::PercentUpTo(percent, most) => part(percent).min(most),
        }
    }
}

/// No pod needs more free disk than this to begin: a part of a large disk would be out of all proportion.
const ENOUGH_DISK: u64 = 10 << 30;

/// What must be left on the node; below that, pods must make room at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Least>);

impl Default for Thresholds {
    /// Upstream's defaults with a ceiling for large disks, and one for processes, which upstream leaves to the
    /// machine's limit.
    fn default() -> Self {
        Self(BTreeMap::from([
            (Signal::Memory, Least::Amount(100 << 20)),
            (Signal::NodeDisk, Least::PercentUpTo(10.0, ENOUGH_DISK)),
            (Signal::NodeInodes, Least::Percent(5.0)),
            (Signal::ImageDisk, Least::PercentUpTo(15.0, ENOUGH_DISK)),
            (Signal::ImageInodes, Least::Percent(5.0)),
            (Signal::Processes, Least::Percent(1.0)),
        ]))
    }
}

/// A text does not name thresholds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a threshold such as memory.available<100Mi or nodefs.available<10%; signals are memory.available, \
     nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree and pid.available"
)]
pub struct BadThresholds(String);

impl FromStr for Thresholds {
    type Err = BadThresholds;

    /// Reads upstream's form, `memory.available<100Mi,nodefs.available<10%`; an empty text names none.
    fn from_str(text: &str) -> Result<Self, BadThresholds> {
        let parse = |term: &str| {
            let (name, least) = term.split_once('<')?;
            let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name.trim())?;
            let least = match least.trim().strip_suffix('%') {
                Some(percent) => {
                    let percent: f64 = percent.parse().ok()?;
                    (0.0..=100.0).contains(&percent).then_some(Least::Percent(percent))?
                }
                None => Least::Amount(u64::try_from(Quantity::parse(least.trim()).ok()?.value()).ok()?),
            };
            Some((signal, least))
        };
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        terms.map(|term| parse(term).ok_or_else(|| BadThresholds(term.to_owned()))).collect::<Result<_, _>>().map(Self)
    }
}

/// How much is left of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) available: u64,
    pub(crate) capacity: u64,
}

/// What was measured; what could not be measured is missing.
pub(crate) type Measured = BTreeMap<Signal, Amount>;

/// A threshold that is crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) signal: Signal,
    pub(crate) available: u64,
    pub(crate) least: u64,
}

impl Thresholds {
    /// What pods may have of a node: what must be left is nobody's.
    pub(crate) fn allocatable(&self, capacity: &Capacity) -> Capacity {
        let without = |signal: Signal, whole: u64| match self.0.get(&signal) {
            Some(least) => whole.saturating_sub(least.of(whole)),
            None => whole,
        };
        Capacity {
            memory_bytes: without(Signal::Memory, capacity.memory_bytes),
            ephemeral_storage_bytes: without(Signal::NodeDisk, capacity.ephemeral_storage_bytes),
            ..capacity.clone()
        }
    }

    /// Which thresholds are crossed; memory before disk before processes, the order of relief.
    pub(crate) fn crossed(&self, measured: &Measured) -> Vec<Crossed> {
        let crossed = self.0.iter().filter_map(|(signal, least)| {
            let Amount { available, capacity } = *measured.get(signal)?;
            let least = least.of(capacity);
            (available < least).then_some(Crossed { signal: *signal, available, least })
        });
        crossed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_upstream_writes_them() {
        let cases = [
            ("memory.available<100Mi", 1),
            ("memory.available<100Mi,nodefs.available<10%, pid.available<2000", 3),
            ("", 0),
        ];
        for (text, count) in cases {
            assert_eq!(text.parse::<Thresholds>().map(|thresholds| thresholds.0.len()), Ok(count), "{text}");
        }
        for bad in [
            "memory.available",
            "memory.available<",
            "swap.available<1Gi",
            "nodefs.available<110%",
            "memory.available<x",
        ] {
            assert!(bad.parse::<Thresholds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_must_be_left_is_not_given_away() {
        let capacity =
            Capacity { cpu_milli: 2000, memory_bytes: 1 << 30, ephemeral_storage_bytes: 1000, ..Capacity::default() };
        let left = |text: &str| {
            let left = text.parse::<Thresholds>().expect("valid").allocatable(&capacity);
            (left.cpu_milli, left.memory_bytes, left.ephemeral_storage_bytes)
        };
        assert_eq!(left("memory.available<100Mi,nodefs.available<10%"), (2000, (1 << 30) - (100 << 20), 900));
        assert_eq!(left("memory.available<2Gi"), (2000, 0, 1000));
        assert_eq!(left(""), (2000, 1 << 30, 1000));
    }

    #[test]
    fn a_threshold_is_crossed_below_its_amount_or_its_part_of_the_whole() {
        let crossed = |signal, available, capacity| {
            let measured = Measured::from([(signal, Amount { available, capacity })]);
            Thresholds::default().crossed(&measured).iter().map(|crossed| crossed.least).collect::<Vec<_>>()
        };
        let mebibyte = 1 << 20;
        assert_eq!(crossed(Signal::Memory, 100 * mebibyte, 8 << 30), [0; 0]);
        assert_eq!(crossed(Signal::Memory, 99 * mebibyte, 8 << 30), [100 * mebibyte]);
        assert_eq!(crossed(Signal::NodeDisk, 10, 100), [0; 0]);
        assert_eq!(crossed(Signal::NodeDisk, 9, 100), [10]);
        assert_eq!(crossed(Signal::ImageDisk, 14, 100), [15]);
        assert_eq!(crossed(Signal::NodeInodes, 4, 100), [5]);
        let gibibyte = 1 << 30;
        assert_eq!(crossed(Signal::ImageDisk, 10 * gibibyte, 1000 * gibibyte), [0; 0], "enough of a large disk");
        assert_eq!(crossed(Signal::ImageDisk, 9 * gibibyte, 1000 * gibibyte), [10 * gibibyte]);
    }
}

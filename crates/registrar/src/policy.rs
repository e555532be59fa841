//! What to do with leases that ran out: end the registration, or suspect the network. Pure.
//!
//! The reasons for the figures stand in `docs/adr/0009-partition-policy.md`.

use std::time::Duration;

/// When the registry takes silence for a fault of the network instead of deaths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionPolicy {
    /// Share of leases that must be silent at once.
    pub share: f64,
    /// How many leases of one service at least.
    pub least_of_service: usize,
    /// How many leases of the whole registry at least.
    pub least_of_all: usize,
    /// How long a registration is kept at most after its lease ran out.
    pub longest_hold: Duration,
}

impl Default for PartitionPolicy {
    fn default() -> Self {
        Self { share: 0.15, least_of_service: 2, least_of_all: 5, longest_hold: Duration::from_secs(15 * 60) }
    }
}

/// How many leases there are, and how many of them are silent: they ran out, or missed the renewal
/// that their own habit makes one expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Leases.
    pub leases: usize,
    /// Silent ones among them.
    pub silent: usize,
}

/// How far a lease that ran out has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It ran out now.
    Fresh,
    /// Its registration is kept, for this long by now.
    Held(Duration),
    /// As before, and the fault seemed over when it was looked at last, one lease ago.
    Spared(Duration),
}

/// What to do with a lease that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// End the registration.
    End,
    /// End it: it was kept as long as a registration is kept without a sign of life.
    GiveUp,
    /// Keep it and say so.
    Hold,
    /// The fault seems over: give it one more lease to be heard of.
    Spare,
}

impl PartitionPolicy {
    /// Decides over one lease.
    pub fn decide(&self, stage: Stage, of_service: Standing, of_all: Standing) -> Decision {
        let too_many = |standing: Standing, least: usize| {
            standing.silent >= least && standing.silent as f64 > self.share * standing.leases as f64
        };
        let fault = too_many(of_service, self.least_of_service) || too_many(of_all, self.least_of_all);
        match stage {
            Stage::Held(held) | Stage::Spared(held) if held >= self.longest_hold => Decision::GiveUp,
            _ if fault => Decision::Hold,
            Stage::Held(_) => Decision::Spare,
            Stage::Fresh | Stage::Spared(_) => Decision::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_silent_leases_are_a_fault_few_are_deaths() {
        use Decision::{End, GiveUp, Hold, Spare};
        use Stage::{Fresh, Held, Spared};
        let minutes = |number: u64| Duration::from_secs(60 * number);
        // Silent of service, leases of service; silent of all, leases of all.
        let cases = [
            ("one crashed of ten", Fresh, (1, 10), (1, 1000), End),
            ("the only one crashed", Fresh, (1, 1), (1, 1000), End),
            ("two of two", Fresh, (2, 2), (2, 1000), Hold),
            ("two of twenty", Fresh, (2, 20), (2, 1000), End),
            ("fifteen of a hundred", Fresh, (15, 100), (15, 1000), End),
            ("sixteen of a hundred", Fresh, (16, 100), (16, 1000), Hold),
            ("thirty of a hundred", Fresh, (30, 100), (30, 1000), Hold),
            ("every fifth service of one instance", Fresh, (1, 1), (40, 200), Hold),
            ("two of a small registry", Fresh, (1, 5), (2, 10), End),
            ("the fault lasts", Held(minutes(5)), (30, 100), (30, 1000), Hold),
            ("the fault comes back", Spared(minutes(5)), (30, 100), (30, 1000), Hold),
            ("the fault is over", Held(minutes(5)), (10, 100), (10, 1000), Spare),
            ("not heard of after that either", Spared(minutes(6)), (3, 100), (3, 1000), End),
            ("no zombies", Held(minutes(15)), (30, 100), (30, 1000), GiveUp),
        ];
        let standing = |(silent, leases)| Standing { leases, silent };
        for (case, stage, service, all, decision) in cases {
            let decided = PartitionPolicy::default().decide(stage, standing(service), standing(all));
            assert_eq!(decided, decision, "{case}");
        }
    }
}

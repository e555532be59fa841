//! What to do with leases that ran out: end the registration, or suspect the network. Pure.
//!
//! The reasons for the figures stand in `docs/adr/0009-partition-policy.md`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is silent for longer than this is no fault that somebody waits for.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

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

impl PartitionPolicy {
    /// Takes every silence for a death.
    pub const OFF: Self =
        Self { share: f64::INFINITY, least_of_service: 0, least_of_all: 0, longest_hold: Duration::ZERO };
}

impl fmt::Display for PartitionPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { share, least_of_service, least_of_all, longest_hold } = self;
        if share.is_infinite() {
            return formatter.write_str("off");
        }
        let hold = longest_hold.as_secs();
        write!(formatter, "share={share},service={least_of_service},registry={least_of_all},hold={hold}s")
    }
}

impl FromStr for PartitionPolicy {
    type Err = String;

    /// Reads `off`, or what is not the default: `share=0.15,service=2,registry=5,hold=15m`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let mut policy = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let form = || {
                format!(
                    "{part:?}: give `off`, or of share=0.15 (0 to 1), service=2, registry=5 (leases) and hold=15m \
                     (up to 24h) what is to be different"
                )
            };
            let (name, value) = part.split_once('=').ok_or_else(form)?;
            let (name, value) = (name.trim(), value.trim());
            let leases = || value.parse().ok().filter(|leases| *leases > 0).ok_or_else(form);
            match name {
                "share" => {
                    let share = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                    policy.share = share.ok_or_else(form)?;
                }
                "service" => policy.least_of_service = leases()?,
                "registry" => policy.least_of_all = leases()?,
                "hold" => policy.longest_hold = time(value).ok_or_else(form)?,
                _ => return Err(form()),
            }
        }
        Ok(policy)
    }
}

/// Reads a whole number of seconds, minutes or hours, up to a day.
fn time(text: &str) -> Option<Duration> {
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let time = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (time <= LONGEST_HOLD).then_some(time)
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
    /// Which of both has too many silent leases for as many deaths.
    pub(crate) fn faults(&self, of_service: Standing, of_all: Standing) -> [bool; 2] {
        [(of_service, self.least_of_service), (of_all, self.least_of_all)].map(|(standing, least)| {
            standing.silent >= least && standing.silent as f64 > self.share * standing.leases as f64
        })
    }

    /// Decides over one lease.
    pub fn decide(&self, stage: Stage, of_service: Standing, of_all: Standing) -> Decision {
        let fault = self.faults(of_service, of_all).contains(&true);
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

    #[test]
    fn the_policy_is_read_as_it_is_written() {
        let default = "share=0.15,service=2,registry=5,hold=900s";
        let cases = [
            ("", Ok(default)),
            ("off", Ok("off")),
            ("hold=1m", Ok("share=0.15,service=2,registry=5,hold=60s")),
            ("service=3, share=0.5,registry=10,hold=0s", Ok("share=0.5,service=3,registry=10,hold=0s")),
            ("share=2", Err("share")),
            ("service=0", Err("service")),
            ("hold=1", Err("hold")),
            ("hold=25h", Err("hold")),
            ("on", Err("give `off`")),
        ];
        for (text, expected) in cases {
            match (text.parse::<PartitionPolicy>(), expected) {
                (Ok(policy), Ok(expected)) => assert_eq!(policy.to_string(), expected, "{text}"),
                (Err(form), Err(part)) => assert!(form.contains(part), "{text}: {form}"),
                (read, expected) => panic!("{text}: {read:?} instead of {expected:?}"),
            }
        }
        let standing = Standing { leases: 1000, silent: 1000 };
        assert_eq!(PartitionPolicy::OFF.decide(Stage::Fresh, standing, standing), Decision::End);
    }
}

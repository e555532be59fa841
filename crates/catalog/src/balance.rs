//! Which instance a caller should use. Pure: chance is an argument.

use std::sync::Arc;

use crate::model::{Instance, Locality, Status};

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the least to do.
    Least,
    /// By chance, in proportion to weights.
    Weighted,
    /// By chance and weight among the nearest.
    Nearest,
    /// The same for the same key, as long as it is there.
    Hash,
}

impl Policy {
    /// Reads `round-robin`, `least`, `weighted`, `nearest` or `hash`.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "round-robin" => Self::RoundRobin,
            "least" => Self::Least,
            "weighted" => Self::Weighted,
            "nearest" => Self::Nearest,
            "hash" => Self::Hash,
            _ => return None,
        })
    }
}

/// What a choice depends on besides the instances.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    /// How to choose.
    pub policy: Policy,
    /// Where the caller is.
    pub caller: &'a Locality,
    /// For [`Policy::Hash`].
    pub key: &'a str,
    /// How many choices were made before, for [`Policy::RoundRobin`].
    pub turn: u64,
    /// A random number.
    pub chance: u64,
    /// How much an instance has to do, for [`Policy::Least`].
    pub load: &'a dyn Fn(&Instance) -> u64,
}

/// Chooses among the instances that take requests: those that pass and those that warn, unless their
/// weight is 0. None that is critical is ever chosen.
pub fn pick<'a>(instances: &'a [Arc<Instance>], choice: &Choice<'_>) -> Option<&'a Arc<Instance>> {
    let usable = || instances.iter().filter(|instance| weight(instance) > 0);
    match choice.policy {
        Policy::RoundRobin => {
            let count = usable().count() as u64;
            usable().nth(usize::try_from(choice.turn.checked_rem(count)?).ok()?)
        }
        Policy::Least => {
            let load = |instance: &Instance| (choice.load)(instance);
            usable().min_by_key(|instance| (load(instance), mixed(choice.chance ^ hash(&instance.id))))
        }
        Policy::Weighted => weighted(usable(), choice.chance),
        Policy::Nearest => {
            let nearest = usable().map(|instance| distance(choice.caller, &instance.locality)).min()?;
            let near = usable().filter(|instance| distance(choice.caller, &instance.locality) == nearest);
            weighted(near, choice.chance)
        }
        // Rendezvous with weights: an instance that comes or goes moves only its own share of keys.
        Policy::Hash => {
            let key = hash(choice.key);
            usable().min_by(|left, right| delay(left, key).total_cmp(&delay(right, key)))
        }
    }
}

/// Puts instances into the order in which a caller should try them: the nearest first, and equally near
/// ones by chance and weight. Those that take no requests come last.
pub fn order(instances: &[Arc<Instance>], caller: &Locality, chance: u64) -> Vec<Arc<Instance>> {
    let mut keyed: Vec<_> = instances
        .iter()
        .map(|instance| {
            (weight(instance) == 0, distance(caller, &instance.locality), delay(instance, chance), instance)
        })
        .collect();
    keyed.sort_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)).then(left.2.total_cmp(&right.2)));
    keyed.into_iter().map(|(.., instance)| instance.clone()).collect()
}

/// The share of requests that an instance gets as it is now.
pub fn weight(instance: &Instance) -> u32 {
    match instance.health.status {
        Status::Passing => instance.weights.passing,
        Status::Warning => instance.weights.warning,
        Status::Critical => 0,
    }
}

/// How far apart two places are: 0 in the same rack, 1 zone, 2 region, 3 anything else. What is not
/// known is far.
pub fn distance(left: &Locality, right: &Locality) -> u8 {
    let same = |left: &str, right: &str| !left.is_empty() && left == right;
    // A zone without a region is named by itself; with one, both must agree.
    let region = same(&left.region, &right.region);
    let apart = !left.region.is_empty() && !right.region.is_empty() && !region;
    let zone = !apart && same(&left.zone, &right.zone);
    match () {
        () if zone && same(&left.rack, &right.rack) => 0,
        () if zone => 1,
        () if region => 2,
        () => 3,
    }
}

fn weighted<'a>(instances: impl Iterator<Item = &'a Arc<Instance>> + Clone, chance: u64) -> Option<&'a Arc<Instance>> {
    let total: u64 = instances.clone().map(|instance| u64::from(weight(instance))).sum();
    let mut left = chance.checked_rem(total)?;
    let mut instances = instances;
    instances.find(|instance| {
        let weight = u64::from(weight(instance));
        let found = left < weight;
        left = left.saturating_sub(weight);
        found
    })
}

/// When this instance's turn comes if each waits for a random time in inverse proportion to its weight:
/// the first is chosen in proportion to weights.
fn delay(instance: &Instance, seed: u64) -> f64 {
    let number = mixed(seed ^ mixed(hash(&instance.id) ^ hash(&instance.address)));
    // Above 0 and below 1.
    let uniform = ((number >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(weight(instance).max(1))
}

/// FNV-1a: the same in every process and release, unlike the standard library's.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Spreads similar numbers (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Health, Origin, Weights};

    fn instance(id: &str, status: Status, weight: u32, zone: &str) -> Arc<Instance> {
        Arc::new(Instance {
            name: id.into(),
            service: "web".into(),
            namespace: "default".into(),
            id: id.into(),
            address: "192.0.2.1".into(),
            ports: Arc::default(),
            health: Health { status, reason: "".into(), since: None },
            node: "".into(),
            tags: Arc::default(),
            labels: Arc::default(),
            metadata: Arc::default(),
            version: "".into(),
            weights: Weights { passing: weight, warning: 1 },
            locality: Arc::new(Locality { region: "r".into(), zone: zone.into(), rack: String::new() }),
            ttl: None,
            origin: Origin::Registry,
            checks: Arc::new([]),
            registration: None,
            created_index: 0,
            modified_index: 0,
        })
    }

    /// How often each is picked in `rounds`.
    fn counts(instances: &[Arc<Instance>], policy: Policy, zone: &str, rounds: u64) -> BTreeMap<String, u64> {
        let caller = Locality { region: "r".into(), zone: zone.into(), rack: String::new() };
        let mut counts = BTreeMap::new();
        for turn in 0..rounds {
            let (key, load) = (turn.to_string(), |instance: &Instance| u64::from(&*instance.id != "b"));
            let choice = Choice { policy, caller: &caller, key: &key, turn, chance: mixed(turn), load: &load };
            let picked = pick(instances, &choice).expect("one takes requests");
            *counts.entry(picked.id.to_string()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn each_policy_picks_as_it_says() {
        let instances = [
            instance("a", Status::Passing, 3, "z1"),
            instance("b", Status::Passing, 1, "z2"),
            instance("c", Status::Warning, 9, "z2"),
            instance("d", Status::Critical, 9, "z1"),
            instance("e", Status::Passing, 0, "z1"),
        ];
        let near = |counts: &BTreeMap<String, u64>, expected: &[(&str, u64)]| {
            assert_eq!(counts.len(), expected.len(), "{counts:?}");
            for (id, count) in expected {
                assert!(counts[*id].abs_diff(*count) <= count / 10, "{counts:?}");
            }
        };
        type Case<'a> = (Policy, &'a str, &'a [(&'a str, u64)]);
        let cases: [Case<'_>; 6] = [
            (Policy::RoundRobin, "z1", &[("a", 3000), ("b", 3000), ("c", 3000)]),
            (Policy::Least, "z1", &[("b", 9000)]),
            (Policy::Weighted, "z1", &[("a", 5400), ("b", 1800), ("c", 1800)]),
            (Policy::Nearest, "z1", &[("a", 9000)]),
            (Policy::Nearest, "z9", &[("a", 5400), ("b", 1800), ("c", 1800)]),
            (Policy::Hash, "z1", &[("a", 5400), ("b", 1800), ("c", 1800)]),
        ];
        for (policy, zone, expected) in cases {
            near(&counts(&instances, policy, zone, 9000), expected);
        }
        let none = Choice {
            policy: Policy::Weighted,
            caller: &Locality::default(),
            key: "",
            turn: 0,
            chance: 0,
            load: &|_| 0,
        };
        for policy in ["round-robin", "least", "weighted", "nearest", "hash"] {
            let policy = Policy::of(policy).expect("known");
            assert_eq!(pick(&instances[3..], &Choice { policy, ..none }), None);
        }
        assert_eq!(Policy::of("best"), None);
    }

    #[test]
    fn a_key_stays_where_it_is_when_another_instance_goes() {
        let instances: Vec<_> = (0..10).map(|number| instance(&number.to_string(), Status::Passing, 1, "")).collect();
        let caller = Locality::default();
        for key in 0..1000 {
            let key = format!("key-{key}");
            let choice = Choice { policy: Policy::Hash, caller: &caller, key: &key, turn: 0, chance: 0, load: &|_| 0 };
            let before = pick(&instances, &choice).expect("some");
            let after = pick(&instances[1..], &choice).expect("some");
            assert!(before.id == after.id || &*before.id == "0");
        }
    }

    #[test]
    fn the_nearest_come_first_and_the_critical_last() {
        let instances = [
            instance("far", Status::Passing, 1, "z2"),
            instance("down", Status::Critical, 1, "z1"),
            instance("near", Status::Passing, 1, "z1"),
        ];
        let caller = Locality { region: "r".into(), zone: "z1".into(), rack: String::new() };
        for chance in 0..50 {
            let ids: Vec<_> = order(&instances, &caller, chance).iter().map(|it| it.id.to_string()).collect();
            assert_eq!(ids, ["near", "far", "down"]);
        }
        let place = |region: &str, zone: &str, rack: &str| Locality {
            region: region.into(),
            zone: zone.into(),
            rack: rack.into(),
        };
        let cases = [
            (("r", "z", "k"), ("r", "z", "k"), 0),
            (("r", "z", "k"), ("r", "z", ""), 1),
            (("r", "z", ""), ("q", "z", ""), 3),
            (("", "z", ""), ("q", "z", ""), 1),
            (("r", "z", ""), ("r", "y", ""), 2),
            (("", "", ""), ("", "", ""), 3),
        ];
        for (left, right, apart) in cases {
            assert_eq!(distance(&place(left.0, left.1, left.2), &place(right.0, right.1, right.2)), apart);
        }
    }
}

//! Chains that choose one of a number of endpoints.

use std::time::Duration;

use super::element::{FIRST_MEMBER, Family, Map, Role};
use super::table::{PROTOCOLS, front};
use crate::nftables::{Field, Rule};

/// A chain that picks one of `count` endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Picker {
    pub(super) family: Family,
    pub(super) count: u32,
    pub(super) affinity: Option<Duration>,
}

/// The map that remembers what clients chose.
pub(super) const AFFINITY: &str = "affinity";
/// Its key.
pub(super) const CLIENT: [Field; 4] =
    [Field::SourceAddress, Field::DestinationAddress, Field::Protocol, Field::DestinationPort];

impl Picker {
    pub(super) fn name(&self) -> String {
        let (family, count) = (self.family.name(), self.count);
        match self.affinity {
            None => format!("pick_{family}_{count}"),
            Some(time) => format!("keep_{family}_{}_{count}", time.as_secs()),
        }
    }

    pub(super) fn rules(&self) -> Vec<Rule> {
        let map = |role| Map { family: self.family, role }.name();
        let key: Vec<Field> = front(self.family).iter().copied().chain([Field::Mark]).collect();
        let choose = Rule::default().mark_with(Field::Random(self.count, FIRST_MEMBER));
        let go = |role| Rule::default().if_in(&[Field::Protocol], PROTOCOLS).translate_to(&key, map(role));
        let Some(time) = self.affinity else { return vec![choose, go(Role::Endpoints)] };

        let milliseconds = time.as_secs().saturating_mul(1000);
        let remember = Rule::default().remember_mark(&CLIENT, AFFINITY, Some(milliseconds));
        vec![
            // A known client: refresh, go there. A client whose member is gone falls through, forgets it,
            // and chooses again like a new one.
            Rule::default().mark_by(&CLIENT, AFFINITY),
            Rule::default().if_in(&CLIENT, AFFINITY).remember_mark(&CLIENT, AFFINITY, Some(milliseconds)),
            go(Role::Members),
            Rule::default().remember_mark(&CLIENT, AFFINITY, None),
            choose,
            Rule::default().mark_by(&key, map(Role::Slots)),
            remember,
            go(Role::Members),
        ]
    }
}

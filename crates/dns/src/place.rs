//! Where an instance is, and in which order a caller should try what is near and far. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use portolan_catalog::{Instance, Locality, Node, Snapshot, Status, balance};

use crate::encoded::Source;
use crate::wire::{Name, Question, Writer, record};

/// What became of a question.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack of one call; a box would be an allocation")]
pub(crate) enum Verdict {
    /// The name exists; its records of that type, if any, are written.
    Exists,
    /// There is no such name.
    Unknown,
    /// The name is another name for this one.
    Alias(Name),
}

impl Verdict {
    pub(crate) fn exists(exists: bool) -> Self {
        if exists { Self::Exists } else { Self::Unknown }
    }
}

/// Where an instance or a machine is.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack of one call; a box would be an allocation")]
pub(crate) enum Place {
    Address(IpAddr),
    Host(Name),
}

impl Place {
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(address) => Some(Self::Address(address)),
            Err(_) => Name::parse(text).filter(|name| *name != Name::ROOT).map(Self::Host),
        }
    }

    /// The address of an instance, or of its machine if it told none.
    pub(crate) fn of(instance: &Instance, snapshot: &Snapshot) -> Option<Self> {
        if !instance.address.is_empty() {
            return Self::read(&instance.address);
        }
        let node = snapshot.machine(&instance.node)?;
        node.addresses.first().map(|address| Self::Address(*address)).or_else(|| Self::read(&node.host))
    }

    /// The same if it is an address.
    pub(crate) fn address_of(instance: &Instance, snapshot: &Snapshot) -> Option<IpAddr> {
        match Self::of(instance, snapshot)? {
            Self::Address(address) => Some(address),
            Self::Host(_) => None,
        }
    }
}

/// How far instances are by their addresses.
pub(crate) fn distances(instances: &[Arc<Instance>], here: &Locality, snapshot: &Snapshot) -> HashMap<IpAddr, u8> {
    let mut distances = HashMap::new();
    for instance in instances.iter().filter(|instance| answers(instance)) {
        let Some(address) = Place::address_of(instance, snapshot) else { continue };
        let far = balance::distance(here, &instance.locality);
        // Several at one address are as near as the nearest of them: that one is told.
        distances.entry(address).and_modify(|known: &mut u8| *known = far.min(*known)).or_insert(far);
    }
    distances
}

/// Whether names lead to an instance.
pub(crate) fn answers(instance: &Instance) -> bool {
    instance.health.status != Status::Critical
}

/// A machine's first address of each family.
pub(crate) fn main_addresses(node: &Node) -> impl Iterator<Item = IpAddr> {
    let first = |wanted: fn(&IpAddr) -> bool| node.addresses.iter().copied().find(wanted);
    [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)].into_iter().flatten()
}

/// Whether the record of an address is asked for.
pub(crate) fn wants_address(question: &Question, address: IpAddr) -> bool {
    let own = if address.is_ipv4() { record::A } else { record::AAAA };
    question.kind == own || question.kind == record::ANY
}

/// Whether an alias answers the question.
pub(crate) fn may_be_alias(question: &Question) -> bool {
    matches!(question.kind, record::A | record::AAAA | record::CNAME | record::ANY)
}

/// Whether the first host name of instances answers the question. An alias may only stand alone (RFC 1034, section
/// 3.6.2), so addresses go first, and of several names one is told. Who asks for addresses of a family that no instance
/// has gets the name, as from Consul: behind it there may be one.
pub(crate) fn leads_on(question: &Question, no_addresses: bool, writer: &Writer<'_>) -> bool {
    let none_of_the_kind = matches!(question.kind, record::A | record::AAAA) && !writer.has_answer();
    none_of_the_kind || (no_addresses && may_be_alias(question))
}

/// Where the clients of this server are, if that is known: on its machine.
pub(crate) fn here<'a>(snapshot: &'a Snapshot, node: &str) -> Option<&'a Locality> {
    let known = |place: &&Locality| !place.region.is_empty() || !place.zone.is_empty();
    snapshot.node(node).map(|node| &node.locality).filter(known)
}

/// Items in the order in which one question gets them: the nearest first, and equally near ones in turn, so that
/// clients which take the first are spread by the seeds of their questions.
pub(crate) fn in_turn<'a, T>(
    items: &'a [T],
    shown: impl Fn(&T) -> bool + Clone + 'a,
    distance: Option<impl Fn(&T) -> u8>,
    seed: usize,
) -> impl Iterator<Item = &'a T> {
    let all = items.iter().filter(move |item| shown(item));
    let (mut sorted, mut count) = (Vec::new(), 0);
    match distance {
        None => count = all.clone().count(),
        Some(distance) => {
            let mut keyed: Vec<(u8, &T)> = all.clone().map(|item| (distance(item), item)).collect();
            keyed.sort_by_key(|(far, _)| *far);
            for alike in keyed.chunk_by_mut(|left, right| left.0 == right.0) {
                let first = seed % alike.len();
                alike.rotate_left(first);
            }
            sorted = keyed;
        }
    }
    let alike = all.cycle().skip(seed % count.max(1)).take(count);
    alike.chain(sorted.into_iter().map(|(_, item)| item))
}

/// What an answer that may be given again was made from.
#[derive(Debug)]
pub(crate) struct Made {
    /// As long as this is the same, the answer is.
    pub(crate) from: Source,
    /// How far away its addresses are; empty if all are alike.
    pub(crate) distances: HashMap<IpAddr, u8>,
}

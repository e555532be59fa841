//! Who registered at which address: the way back from an address to its names.
//!
//! There may be as many as there are instances, so they are kept by neighbourhoods of addresses, which machines of one
//! network have in common: a few bytes for each instead of a tree's leaf. Where many share an address or its
//! neighbours, they have a tree after all, and a change costs no more than among few.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::model::Key;
use crate::persistent::PersistentMap;

/// Neighbours differ in the last bits of their addresses: this many.
const BITS: u32 = 4;
/// More than these at one neighbourhood have a tree.
const MOST_IN_LIST: usize = 48;

/// Who registered with an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resident {
    /// Instances of a service that registered themselves.
    Instances(Key),
    /// A machine: a node of the cluster, or one outside.
    Machine(Arc<str>),
}

/// Everybody by address. Cloning shares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Residents {
    blocks: PersistentMap<IpAddr, Block>,
}

#[derive(Debug, Clone)]
enum Block {
    /// In the order of their addresses.
    List(Arc<[Entry]>),
    Tree(PersistentMap<IpAddr, PersistentMap<Resident, u32>>),
}

#[derive(Debug, Clone)]
struct Entry {
    resident: Resident,
    /// How often: several instances of a service may have one address.
    count: u32,
    /// Which of the neighbours.
    last: u8,
}

impl Residents {
    /// Everybody at an address.
    pub(crate) fn at(&self, address: IpAddr) -> impl Iterator<Item = &Resident> {
        let (block, last) = split(address);
        let (list, tree) = match self.blocks.get(&block) {
            None => (None, None),
            Some(Block::List(list)) => (Some(list), None),
            Some(Block::Tree(tree)) => (None, tree.get(&address)),
        };
        let list = list.into_iter().flat_map(|list| list.iter());
        let listed = list.filter(move |entry| entry.last == last).map(|entry| &entry.resident);
        listed.chain(tree.into_iter().flat_map(|tree| tree.iter().map(|(resident, _)| resident)))
    }

    /// Moves one from an address to another, or lets it come or go.
    pub(crate) fn relocate(&mut self, from: Option<IpAddr>, to: Option<IpAddr>, resident: impl Fn() -> Resident) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.remove(from, &resident());
        }
        if let Some(to) = to {
            self.add(to, resident());
        }
    }

    fn add(&mut self, address: IpAddr, resident: Resident) {
        let (key, last) = split(address);
        let block = match self.blocks.get(&key) {
            None => Block::List(Arc::new([Entry { resident, count: 1, last }])),
            Some(Block::List(list)) => with(list, key, Entry { resident, count: 1, last }),
            Some(Block::Tree(tree)) => {
                let mut tree = tree.clone();
                count_up(&mut tree, address, resident, 1);
                Block::Tree(tree)
            }
        };
        self.blocks.insert(key, block);
    }

    fn remove(&mut self, address: IpAddr, resident: &Resident) {
        let (key, last) = split(address);
        let left = match self.blocks.get(&key) {
            None => return,
            Some(Block::List(list)) => {
                let left = list.iter().filter_map(|entry| {
                    let is_it = entry.last == last && entry.resident == *resident;
                    let count = entry.count - u32::from(is_it);
                    (count > 0).then(|| Entry { count, ..entry.clone() })
                });
                let left: Vec<Entry> = left.collect();
                (!left.is_empty()).then(|| Block::List(left.into()))
            }
            Some(Block::Tree(tree)) => {
                let mut tree = tree.clone();
                count_down(&mut tree, address, resident);
                (!tree.is_empty()).then_some(Block::Tree(tree))
            }
        };
        match left {
            Some(block) => self.blocks.insert(key, block),
            None => self.blocks.remove(&key),
        };
    }
}

/// A list with one more; a tree if that is too long.
fn with(list: &[Entry], block: IpAddr, new: Entry) -> Block {
    let mut entries = list.to_vec();
    match entries.binary_search_by(|entry| (entry.last, &entry.resident).cmp(&(new.last, &new.resident))) {
        Ok(at) => entries[at].count += 1,
        Err(at) => entries.insert(at, new),
    }
    if entries.len() <= MOST_IN_LIST {
        return Block::List(entries.into());
    }
    let mut tree = PersistentMap::default();
    for Entry { resident, count, last } in entries {
        count_up(&mut tree, join(block, last), resident, count);
    }
    Block::Tree(tree)
}

fn count_up(
    tree: &mut PersistentMap<IpAddr, PersistentMap<Resident, u32>>,
    address: IpAddr,
    resident: Resident,
    more: u32,
) {
    let mut own = tree.get(&address).cloned().unwrap_or_default();
    let count = own.get(&resident).copied().unwrap_or_default();
    own.insert(resident, count + more);
    tree.insert(address, own);
}

fn count_down(tree: &mut PersistentMap<IpAddr, PersistentMap<Resident, u32>>, address: IpAddr, resident: &Resident) {
    let Some(mut own) = tree.get(&address).cloned() else { return };
    match own.get(resident).copied() {
        None => return,
        Some(1) => own.remove(resident),
        Some(count) => own.insert(resident.clone(), count - 1),
    };
    if own.is_empty() {
        tree.remove(&address)
    } else {
        tree.insert(address, own)
    };
}

/// The neighbourhood of an address, and which of it it is.
fn split(address: IpAddr) -> (IpAddr, u8) {
    const LAST: u8 = (1 << BITS) - 1;
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            (Ipv4Addr::from_bits(bits & !u32::from(LAST)).into(), bits as u8 & LAST)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (Ipv6Addr::from_bits(bits & !u128::from(LAST)).into(), bits as u8 & LAST)
        }
    }
}

/// The opposite of [`split`].
fn join(block: IpAddr, last: u8) -> IpAddr {
    match block {
        IpAddr::V4(block) => Ipv4Addr::from_bits(block.to_bits() | u32::from(last)).into(),
        IpAddr::V6(block) => Ipv6Addr::from_bits(block.to_bits() | u128::from(last)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn shown(residents: &Residents, text: &str) -> Vec<String> {
        let name = |resident: &Resident| match resident {
            Resident::Instances(key) => key.to_string(),
            Resident::Machine(name) => name.to_string(),
        };
        let mut names: Vec<String> = residents.at(address(text)).map(name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn neighbours_are_told_apart() {
        let mut residents = Residents::default();
        let service = |name: &str| Resident::Instances(Key::new("shop", name));
        for (text, resident) in [
            ("10.5.5.5", service("cart")),
            ("10.5.5.5", service("cart")),
            ("10.5.5.5", Resident::Machine("vm".into())),
            ("10.5.5.6", service("pay")),
            ("2001:db8::5", service("cart")),
        ] {
            residents.add(address(text), resident);
        }
        let older = residents.clone();
        residents.remove(address("10.5.5.5"), &service("cart"));
        residents.remove(address("10.5.5.6"), &service("cart"));
        residents.remove(address("2001:db8::5"), &service("cart"));
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("10.5.5.5", &["shop/cart", "vm"], &["shop/cart", "vm"]),
            ("10.5.5.6", &["shop/pay"], &["shop/pay"]),
            ("10.5.5.7", &[], &[]),
            ("10.5.5.21", &[], &[]),
            ("2001:db8::5", &["shop/cart"], &[]),
        ];
        for (text, before, after) in cases {
            assert_eq!(shown(&older, text), before, "{text}");
            assert_eq!(shown(&residents, text), after, "{text}");
        }
        residents.remove(address("10.5.5.5"), &service("cart"));
        assert_eq!(shown(&residents, "10.5.5.5"), ["vm"]);
    }

    /// However many share an address or its neighbourhood: the same as a plain map of sets.
    #[test]
    fn many_at_one_place_are_as_those_of_a_plain_map() {
        let (mut residents, mut model) = (Residents::default(), BTreeMap::<(u8, u32), u32>::new());
        let mut state = 7_u32;
        for step in 0..6000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (last, service) = ((state >> 8) as u8 % 3, (state >> 16) % 200);
            let place = IpAddr::from([192, 0, 2, last]);
            let resident = Resident::Instances(Key::new("default", format!("s{service}")));
            // First it grows, then it shrinks to nothing.
            if step < 3000 && state >> 30 != 0 {
                residents.add(place, resident);
                *model.entry((last, service)).or_default() += 1;
            } else {
                residents.remove(place, &resident);
                if let Some(count) = model.get_mut(&(last, service)) {
                    *count -= 1;
                }
                model.retain(|_, count| *count > 0);
            }
            if step % 500 == 0 {
                for last in 0..3 {
                    let of_place = model.keys().filter(|(at, _)| *at == last);
                    let mut expected: Vec<String> = of_place.map(|(_, number)| format!("default/s{number}")).collect();
                    expected.sort_unstable();
                    assert_eq!(shown(&residents, &format!("192.0.2.{last}")), expected, "step {step}");
                }
            }
        }
        for ((last, service), count) in model {
            let resident = Resident::Instances(Key::new("default", format!("s{service}")));
            (0..count).for_each(|_| residents.remove([192, 0, 2, last].into(), &resident));
        }
        assert!(residents.blocks.is_empty());
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 40, "{}", size_of::<Entry>());
    }
}

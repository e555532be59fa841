//! A map whose versions share what they have in common.
//!
//! Three levels: a root of 64 branches, each of 64 leaves, each a short sorted list. A change
//! copies one root, one branch and one leaf, whatever the size of the map, and two versions are
//! compared by skipping every part that is the same allocation. Made for up to a few hundred
//! thousand entries.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

const FAN_OUT: usize = 64;

/// A map with cheap clones and cheap differences.
#[derive(Debug)]
pub struct PersistentMap<K, V> {
    root: Arc<[Option<Branch<K, V>>; FAN_OUT]>,
    length: usize,
}

type Leaf<K, V> = Arc<Vec<(K, V)>>;
type Branch<K, V> = Arc<[Option<Leaf<K, V>>; FAN_OUT]>;

impl<K, V> Clone for PersistentMap<K, V> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), length: self.length }
    }
}

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        Self { root: Arc::new([const { None }; FAN_OUT]), length: 0 }
    }
}

impl<K: Hash + Ord + Clone, V: Clone> PersistentMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Ord + ?Sized,
    {
        let (branch, leaf) = slot(key);
        let leaf = self.root[branch].as_ref()?[leaf].as_ref()?;
        leaf.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok().map(|index| &leaf[index].1)
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (branch, leaf) = slot(&key);
        let branch = Arc::make_mut(&mut self.root)[branch].get_or_insert_with(|| Arc::new([const { None }; FAN_OUT]));
        let leaf = Arc::make_mut(Arc::make_mut(branch)[leaf].get_or_insert_with(Default::default));
        match leaf.binary_search_by(|(candidate, _)| candidate.cmp(&key)) {
            Ok(index) => Some(std::mem::replace(&mut leaf[index].1, value)),
            Err(index) => {
                leaf.insert(index, (key, value));
                self.length += 1;
                None
            }
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Ord + ?Sized,
    {
        self.get(key)?;
        let (branch, leaf) = slot(key);
        let branch = Arc::make_mut(Arc::make_mut(&mut self.root)[branch].as_mut()?);
        let entries = Arc::make_mut(branch[leaf].as_mut()?);
        let index = entries.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        let (_, value) = entries.remove(index);
        if entries.is_empty() {
            branch[leaf] = None;
        }
        self.length -= 1;
        Some(value)
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.root
            .iter()
            .flatten()
            .flat_map(|branch| branch.iter().flatten())
            .flat_map(|leaf| leaf.iter().map(|(key, value)| (key, value)))
    }

    /// Keys whose value is not the same in `older`: added, changed (by `same`) or removed.
    ///
    /// Parts that both versions share are not looked at.
    pub fn changed_since(&self, older: &Self, same: impl Fn(&V, &V) -> bool) -> Vec<K> {
        let mut changed = Vec::new();
        if Arc::ptr_eq(&self.root, &older.root) {
            return changed;
        }
        for (new_branch, old_branch) in self.root.iter().zip(older.root.iter()) {
            if same_allocation(new_branch.as_ref(), old_branch.as_ref()) {
                continue;
            }
            for index in 0..FAN_OUT {
                let new_leaf = new_branch.as_ref().and_then(|branch| branch[index].as_ref());
                let old_leaf = old_branch.as_ref().and_then(|branch| branch[index].as_ref());
                if !same_allocation(new_leaf, old_leaf) {
                    compare_leaves(new_leaf, old_leaf, &same, &mut changed);
                }
            }
        }
        changed
    }
}

fn compare_leaves<K: Ord + Clone, V>(
    new: Option<&Leaf<K, V>>,
    old: Option<&Leaf<K, V>>,
    same: &impl Fn(&V, &V) -> bool,
    changed: &mut Vec<K>,
) {
    let new = new.map_or(&[][..], |leaf| leaf);
    let old = old.map_or(&[][..], |leaf| leaf);
    let find = |entries: &[(K, V)], key: &K| entries.binary_search_by(|(candidate, _)| candidate.cmp(key)).ok();
    for (key, value) in new {
        if find(old, key).is_none_or(|index| !same(value, &old[index].1)) {
            changed.push(key.clone());
        }
    }
    changed.extend(old.iter().filter(|(key, _)| find(new, key).is_none()).map(|(key, _)| key.clone()));
}

fn same_allocation<T: ?Sized>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        (None, None) => true,
        _ => false,
    }
}

fn slot<Q: Hash + ?Sized>(key: &Q) -> (usize, usize) {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    ((hash >> 58) as usize, (hash >> 52) as usize % FAN_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_found_without_looking_at_what_is_shared() {
        let mut map = PersistentMap::default();
        for number in 0..10_000_u32 {
            map.insert(number, number);
        }
        let older = map.clone();
        map.insert(7, 0);
        map.remove(&8);
        map.insert(10_000, 1);
        let mut looked_at = std::cell::Cell::new(0);
        let mut changed = map.changed_since(&older, |left, right| {
            looked_at.set(looked_at.get() + 1);
            left == right
        });
        changed.sort_unstable();
        assert_eq!(changed, [7, 8, 10_000]);
        assert!(*looked_at.get_mut() < 100, "{looked_at:?}");
        assert_eq!((older.get(&7), older.get(&8), older.len()), (Some(&7), Some(&8), 10_000));
        assert_eq!((map.get(&7), map.get(&8), map.len()), (Some(&0), None, 10_000));
        assert_eq!(map.iter().count(), 10_000);
    }
}

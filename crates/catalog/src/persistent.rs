//! A map whose versions share what they have in common.
//!
//! A tree by the bits of the keys' hashes, four at a time, whose leaves hold a few entries each. A change copies the
//! nodes on the way to one leaf, and two versions are compared by skipping every part that is the same allocation.
//! Wide nodes would make the way shorter, but each child of a copied node costs a count up now and a count down later,
//! each in a place of its own.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

const BITS: u32 = 4;
const FAN_OUT: usize = 1 << BITS;
/// A leaf with more is split, as long as the hash has bits left.
const MOST_IN_LEAF: usize = 6;

/// A map with cheap clones and cheap differences.
#[derive(Debug)]
pub struct PersistentMap<K, V> {
    root: Arc<Node<K, V>>,
    length: usize,
}

#[derive(Debug, Clone)]
enum Node<K, V> {
    Branch([Child<K, V>; FAN_OUT]),
    Leaf(Vec<Entry<K, V>>),
}

type Child<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Debug, Clone)]
struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
}

impl<K, V> Clone for PersistentMap<K, V> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), length: self.length }
    }
}

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), length: 0 }
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
        let hash = hash(key);
        let (mut node, mut shift) = (&*self.root, 0);
        loop {
            match node {
                Node::Branch(children) => node = children[slot(hash, shift)].as_deref()?,
                Node::Leaf(entries) => {
                    let found = entries.iter().find(|entry| entry.hash == hash && entry.key.borrow() == key);
                    return found.map(|entry| &entry.value);
                }
            }
            shift += BITS;
        }
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = insert(&mut self.root, 0, Entry { hash: hash(&key), key, value });
        self.length += usize::from(old.is_none());
        old
    }

    /// Removes `key` and returns its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Ord + ?Sized,
    {
        self.get(key)?;
        let (value, _) = remove(&mut self.root, 0, hash(key), key);
        self.length -= usize::from(value.is_some());
        value
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (mut waiting, mut leaf) = (vec![&*self.root], [].iter());
        std::iter::from_fn(move || {
            loop {
                if let Some(Entry { key, value, .. }) = leaf.next() {
                    return Some((key, value));
                }
                match waiting.pop()? {
                    Node::Branch(children) => waiting.extend(children.iter().flatten().map(|child| &**child)),
                    Node::Leaf(entries) => leaf = entries.iter(),
                }
            }
        })
    }

    /// Keys whose value is not the same in `older`: added, changed (by `same`) or removed.
    ///
    /// Parts that both versions share are not looked at.
    pub fn changed_since(&self, older: &Self, same: impl Fn(&V, &V) -> bool) -> Vec<K> {
        let mut changed = Vec::new();
        compare(Some(&self.root), Some(&older.root), &same, &mut changed);
        changed
    }
}

fn insert<K: Ord + Clone, V: Clone>(node: &mut Arc<Node<K, V>>, shift: u32, new: Entry<K, V>) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Branch(children) => match &mut children[slot(new.hash, shift)] {
            Some(child) => insert(child, shift + BITS, new),
            none => {
                *none = Some(Arc::new(Node::Leaf(vec![new])));
                None
            }
        },
        Node::Leaf(entries) => {
            let known = entries.iter_mut().find(|entry| entry.hash == new.hash && entry.key == new.key);
            if let Some(known) = known {
                return Some(std::mem::replace(&mut known.value, new.value));
            }
            if entries.len() < MOST_IN_LEAF || shift + BITS > u64::BITS {
                entries.reserve_exact(1);
                entries.push(new);
                return None;
            }
            let mut leaves = [const { Vec::new() }; FAN_OUT];
            for entry in entries.drain(..).chain([new]) {
                leaves[slot(entry.hash, shift)].push(entry);
            }
            *Arc::make_mut(node) = Node::Branch(leaves.map(|mut entries| {
                entries.shrink_to_fit();
                (!entries.is_empty()).then(|| Arc::new(Node::Leaf(entries)))
            }));
            None
        }
    }
}

/// Returns the value, and whether nothing is left of the node.
fn remove<K, V, Q>(node: &mut Arc<Node<K, V>>, shift: u32, hash: u64, key: &Q) -> (Option<V>, bool)
where
    K: Ord + Clone + std::borrow::Borrow<Q>,
    V: Clone,
    Q: Ord + ?Sized,
{
    match Arc::make_mut(node) {
        Node::Branch(children) => {
            let child = &mut children[slot(hash, shift)];
            let Some(below) = child else { return (None, false) };
            let (value, gone) = remove(below, shift + BITS, hash, key);
            if gone {
                *child = None;
            }
            (value, gone && children.iter().all(Option::is_none))
        }
        Node::Leaf(entries) => {
            let at = entries.iter().position(|entry| entry.hash == hash && entry.key.borrow() == key);
            let value = at.map(|at| entries.swap_remove(at).value);
            (value, entries.is_empty())
        }
    }
}

fn compare<K: Ord + Clone, V>(
    new: Option<&Arc<Node<K, V>>>,
    old: Option<&Arc<Node<K, V>>>,
    same: &impl Fn(&V, &V) -> bool,
    changed: &mut Vec<K>,
) {
    match (new, old) {
        (None, None) => {}
        (Some(new), Some(old)) if Arc::ptr_eq(new, old) => {}
        (Some(new), Some(old)) => match (&**new, &**old) {
            (Node::Branch(new), Node::Branch(old)) => {
                for (new, old) in new.iter().zip(old) {
                    compare(new.as_ref(), old.as_ref(), same, changed);
                }
            }
            (Node::Leaf(new), Node::Leaf(old)) => {
                compare_entries(&new.iter().collect::<Vec<_>>(), &old.iter().collect::<Vec<_>>(), same, changed);
            }
            // A leaf was split, or what was split went.
            (new, old) => compare_entries(&all(new), &all(old), same, changed),
        },
        (Some(only), None) | (None, Some(only)) => changed.extend(all(only).into_iter().map(|entry| entry.key.clone())),
    }
}

fn all<K, V>(node: &Node<K, V>) -> Vec<&Entry<K, V>> {
    match node {
        Node::Branch(children) => children.iter().flatten().flat_map(|child| all(child)).collect(),
        Node::Leaf(entries) => entries.iter().collect(),
    }
}

fn compare_entries<K: Ord + Clone, V>(
    new: &[&Entry<K, V>],
    old: &[&Entry<K, V>],
    same: &impl Fn(&V, &V) -> bool,
    changed: &mut Vec<K>,
) {
    // Either side is a leaf, or what became of one.
    let find = |entries: &[&Entry<K, V>], wanted: &Entry<K, V>| {
        entries.iter().position(|entry| entry.hash == wanted.hash && entry.key == wanted.key)
    };
    for entry in new {
        if find(old, entry).is_none_or(|at| !same(&entry.value, &old[at].value)) {
            changed.push(entry.key.clone());
        }
    }
    changed.extend(old.iter().filter(|entry| find(new, entry).is_none()).map(|entry| entry.key.clone()));
}

fn hash<Q: Hash + ?Sized>(key: &Q) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}

fn slot(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize % FAN_OUT
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

    /// Hashes alike whatever it is.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Alike(u8);

    impl Hash for Alike {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            0_u8.hash(state);
        }
    }

    #[test]
    fn keys_of_one_hash_are_kept_apart() {
        let mut map = PersistentMap::default();
        for number in 0..100 {
            assert_eq!(map.insert(Alike(number), number), None);
        }
        let older = map.clone();
        for number in (0..100).step_by(2) {
            assert_eq!(map.remove(&Alike(number)), Some(number));
            assert_eq!(map.remove(&Alike(number)), None);
        }
        assert_eq!((map.len(), map.iter().count(), map.get(&Alike(2)), map.get(&Alike(3))), (50, 50, None, Some(&3)));
        let mut changed = map.changed_since(&older, |left, right| left == right);
        changed.sort_unstable();
        assert_eq!(changed, (0..100).step_by(2).map(Alike).collect::<Vec<_>>());
    }

    #[test]
    fn versions_differ_in_what_was_done_between_them() {
        let mut versions = vec![PersistentMap::default()];
        for step in 0..300_u32 {
            let mut next = versions[versions.len() - 1].clone();
            for number in 0..20 {
                let key = step.wrapping_mul(7919).wrapping_add(number * 104_729) % 200;
                if (step + number) % 3 == 0 {
                    next.remove(&key)
                } else {
                    next.insert(key, step)
                };
            }
            versions.push(next);
        }
        for (at, step) in [(0, 300), (100, 101), (50, 250), (299, 300), (300, 0)] {
            let (older, newer) = (&versions[at], &versions[step]);
            let expected: Vec<u32> = (0..200).filter(|key| older.get(key) != newer.get(key)).collect();
            let mut changed = newer.changed_since(older, |left, right| left == right);
            changed.sort_unstable();
            assert_eq!(changed, expected, "{at} to {step}");
            assert_eq!(newer.len(), newer.iter().count());
        }
        let mut emptied = versions[300].clone();
        (0..200).for_each(|key| {
            emptied.remove(&key);
        });
        assert!(emptied.is_empty() && emptied.iter().next().is_none());
    }
}

//! Who owns whom.

use std::collections::{HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use portolan_client::Key;

use super::namespace_of;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What the collector knows of an object. Keys are unique over all kinds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) finalizers: Vec<String>,
    pub(super) deleting: bool,
}

impl Node {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            owners: metadata.owner_references.clone().unwrap_or_default(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
        }
    }

    pub(super) fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|found| found == finalizer)
    }

    /// Is being deleted and waits for its dependents.
    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }
}

/// The objects that own something, are owned, or are held up; by key and by owner.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Key, Node>,
    keys: HashMap<String, Key>,
    dependents: HashMap<String, HashSet<Key>>,
    /// Owners that were looked for and do not exist.
    absent: HashSet<String>,
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Keep,
    /// Nothing is known of these owners: find out whether they exist.
    Verify(Vec<OwnerReference>),
    /// All owners are gone.
    Delete {
        foreground: bool,
    },
    /// Some owners are gone, others hold the object.
    Disown(Vec<OwnerReference>),
    /// Let the dependents live without this owner, then let it go.
    OrphanDependents(Vec<Key>),
    /// Delete the dependents that hold this owner up.
    DeleteDependents(Vec<Key>),
    /// Nothing holds it any more.
    RemoveFinalizer(&'static str),
}

impl Graph {
    /// Takes in the present state of an object and returns the keys that it concerns too.
    pub(super) fn set(&mut self, key: &Key, node: Option<Node>) -> Vec<Key> {
        let old = self.nodes.get(key).cloned();
        if old == node {
            return Vec::new();
        }
        let mut concerned = Vec::new();
        if let Some(old) = &old {
            for owner in &old.owners {
                if let Some(keys) = self.dependents.get_mut(&owner.uid) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.dependents.remove(&owner.uid);
                    }
                }
                // An owner may have been waiting for this.
                concerned.extend(self.keys.get(&owner.uid).filter(|key| self.nodes[*key].deleting).cloned());
            }
            let replaced = node.as_ref().is_none_or(|node| node.uid != old.uid);
            if replaced {
                self.keys.remove(&old.uid);
                self.nodes.remove(key);
            }
            if replaced || node.as_ref().is_some_and(Node::waits_for_dependents) {
                concerned.extend(self.dependents.get(&old.uid).into_iter().flatten().cloned());
            }
            if replaced && self.dependents.contains_key(&old.uid) {
                self.absent.insert(old.uid.clone());
            }
        }
        if let Some(node) = node {
            for owner in &node.owners {
                self.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
            }
            self.absent.remove(&node.uid);
            self.keys.insert(node.uid.clone(), key.clone());
            self.nodes.insert(key.clone(), node);
        }
        concerned
    }

    /// Notes that an owner was looked for and does not exist.
    pub(super) fn set_absent(&mut self, uid: &str) {
        self.absent.insert(uid.to_owned());
    }

    /// Whether an object is known, or is an owner that something known names.
    pub(super) fn concerns(&self, key: &Key, uid: &str) -> bool {
        self.nodes.contains_key(key) || self.dependents.contains_key(uid)
    }

    pub(super) fn node(&self, key: &Key) -> Option<&Node> {
        self.nodes.get(key)
    }

    /// Owners of an object that live in another namespace: there is none of that name where it would look.
    pub(super) fn strangers(&self, key: &Key) -> Vec<OwnerReference> {
        let owners = self.nodes.get(key).map(|node| &*node.owners).unwrap_or_default();
        let strangers =
            owners.iter().filter(|owner| self.keys.get(&owner.uid).is_some_and(|owner| is_stranger(owner, key)));
        strangers.cloned().collect()
    }

    /// Returns what is due for an object.
    pub(super) fn decide(&self, key: &Key) -> Decision {
        let Some(node) = self.nodes.get(key) else { return Decision::Keep };
        if node.deleting {
            return self.decide_deleting(node);
        }
        if node.owners.is_empty() {
            return Decision::Keep;
        }
        let (mut solid, mut waiting, mut gone, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for owner in &node.owners {
            let found = self.keys.get(&owner.uid);
            match found.map(|found| (is_stranger(found, key), &self.nodes[found])) {
                Some((true, _)) => gone.push(owner.clone()),
                Some((false, found)) if found.waits_for_dependents() => waiting.push(owner.clone()),
                Some((false, _)) => solid.push(owner.clone()),
                None if self.absent.contains(&owner.uid) => gone.push(owner.clone()),
                None => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            return Decision::Verify(unknown);
        }
        if !solid.is_empty() {
            return if solid.len() == node.owners.len() { Decision::Keep } else { Decision::Disown(solid) };
        }
        let has_dependents = self.dependents.contains_key(&node.uid);
        Decision::Delete { foreground: !waiting.is_empty() && has_dependents || node.has(FOREGROUND) }
    }

    fn decide_deleting(&self, node: &Node) -> Decision {
        let dependents = self.dependents.get(&node.uid);
        let mut keys: Vec<Key> = dependents.into_iter().flatten().cloned().collect();
        keys.sort();
        if node.has(ORPHAN) {
            return if keys.is_empty() { Decision::RemoveFinalizer(ORPHAN) } else { Decision::OrphanDependents(keys) };
        }
        if !node.has(FOREGROUND) {
            return Decision::Keep;
        }
        // Objects that own each other in a circle would wait for one another forever.
        keys.retain(|key| self.holds_up(key, node) && !self.waits_for(key, node));
        if keys.is_empty() {
            return Decision::RemoveFinalizer(FOREGROUND);
        }
        // What is already going wakes its owner when it is gone; until then asking again would never end.
        keys.retain(|key| !self.nodes[key].deleting);
        if keys.is_empty() { Decision::Keep } else { Decision::DeleteDependents(keys) }
    }

    /// Whether the owner may not go before the dependent.
    fn holds_up(&self, dependent: &Key, owner: &Node) -> bool {
        let owners = &self.nodes[dependent].owners;
        owners.iter().any(|found| found.uid == owner.uid && found.block_owner_deletion == Some(true))
    }

    /// Whether an object goes only after another, because of those that it waits for in turn.
    fn waits_for(&self, key: &Key, other: &Node) -> bool {
        let (mut seen, mut rest) = (HashSet::new(), vec![key]);
        while let Some(key) = rest.pop() {
            let node = &self.nodes[key];
            if node.uid == other.uid {
                return true;
            }
            if node.waits_for_dependents() && seen.insert(&node.uid) {
                let dependents = self.dependents.get(&node.uid).into_iter().flatten();
                rest.extend(dependents.filter(|key| self.holds_up(key, node)));
            }
        }
        false
    }
}

/// Whether an owner lives in another namespace than what names it. Those without a namespace own anything.
fn is_stranger(owner: &Key, dependent: &Key) -> bool {
    let namespace = namespace_of(owner);
    !namespace.is_empty() && namespace != namespace_of(dependent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference { uid: uid.to_owned(), block_owner_deletion: Some(true), ..OwnerReference::default() }
    }

    fn node(uid: &str, owners: &[&str]) -> Node {
        let owners = owners.iter().map(|uid| owner(uid)).collect();
        Node { uid: uid.to_owned(), owners, finalizers: Vec::new(), deleting: false }
    }

    fn deleting(uid: &str, finalizer: &str) -> Node {
        Node { deleting: true, finalizers: vec![finalizer.to_owned()], ..node(uid, &[]) }
    }

    fn key(name: &str) -> Key {
        Key::new("pods|n", name)
    }

    #[test]
    fn dependents_follow_their_last_owner() {
        let mut graph = Graph::default();
        graph.set(&key("a"), Some(node("a", &[])));
        graph.set(&key("b"), Some(node("b", &[])));
        graph.set(&key("c"), Some(node("c", &["a", "b"])));
        assert_eq!(graph.decide(&key("c")), Decision::Keep);
        assert_eq!(graph.set(&key("a"), None), [key("c")]);
        assert_eq!(graph.decide(&key("c")), Decision::Disown(vec![owner("b")]));
        graph.set(&key("b"), None);
        assert_eq!(graph.decide(&key("c")), Decision::Delete { foreground: false });
    }

    #[test]
    fn an_owner_of_another_namespace_owns_nothing() {
        let mut graph = Graph::default();
        let elsewhere = Key::new("pods|other", "a");
        graph.set(&elsewhere, Some(node("a", &[])));
        graph.set(&Key::new("nodes|", "m"), Some(node("m", &[])));
        for (name, owners, strangers, decision) in [
            ("c", vec!["a"], vec!["a"], Decision::Delete { foreground: false }),
            ("d", vec!["m"], vec![], Decision::Keep),
            ("e", vec!["a", "m"], vec!["a"], Decision::Disown(vec![owner("m")])),
        ] {
            graph.set(&key(name), Some(node(name, &owners)));
            let strangers: Vec<OwnerReference> = strangers.into_iter().map(owner).collect();
            assert_eq!((graph.strangers(&key(name)), graph.decide(&key(name))), (strangers, decision), "{name}");
        }
    }

    #[test]
    fn an_owner_never_seen_is_looked_for_before_anything_is_deleted() {
        let mut graph = Graph::default();
        graph.set(&key("c"), Some(node("c", &["x"])));
        assert_eq!(graph.decide(&key("c")), Decision::Verify(vec![owner("x")]));
        graph.set_absent("x");
        assert_eq!(graph.decide(&key("c")), Decision::Delete { foreground: false });
    }

    #[test]
    fn foreground_deletion_waits_for_blocking_dependents() {
        let mut graph = Graph::default();
        graph.set(&key("a"), Some(node("a", &[])));
        graph.set(&key("c"), Some(node("c", &["a"])));
        assert_eq!(graph.set(&key("a"), Some(deleting("a", FOREGROUND))), [key("c")]);
        assert_eq!(graph.decide(&key("a")), Decision::DeleteDependents(vec![key("c")]));
        assert_eq!(graph.decide(&key("c")), Decision::Delete { foreground: false });
        assert_eq!(graph.set(&key("c"), None), [key("a")]);
        assert_eq!(graph.decide(&key("a")), Decision::RemoveFinalizer(FOREGROUND));
    }

    #[test]
    fn a_circle_of_owners_comes_apart() {
        let waiting = |uid: &str, owner: &str| Node {
            deleting: true,
            finalizers: vec![FOREGROUND.to_owned()],
            ..node(uid, &[owner])
        };
        let mut graph = Graph::default();
        for (name, owner) in [("a", "c"), ("b", "a"), ("c", "b")] {
            graph.set(&key(name), Some(node(name, &[owner])));
        }
        graph.set(&key("a"), Some(waiting("a", "c")));
        assert_eq!(graph.decide(&key("a")), Decision::DeleteDependents(vec![key("b")]));
        assert_eq!(graph.decide(&key("b")), Decision::Delete { foreground: true });
        graph.set(&key("b"), Some(waiting("b", "a")));
        assert_eq!(graph.decide(&key("a")), Decision::Keep);
        assert_eq!(graph.decide(&key("c")), Decision::Delete { foreground: true });
        assert_eq!(graph.set(&key("c"), Some(waiting("c", "b"))), [key("b"), key("a")]);
        for name in ["a", "b", "c"] {
            assert_eq!(graph.decide(&key(name)), Decision::RemoveFinalizer(FOREGROUND), "{name}");
        }
        // What stands outside of the circle is still waited for.
        graph.set(&key("d"), Some(node("d", &["b"])));
        assert_eq!(graph.decide(&key("b")), Decision::DeleteDependents(vec![key("d")]));
    }

    #[test]
    fn orphans_are_released_before_their_owner_goes() {
        let mut graph = Graph::default();
        graph.set(&key("a"), Some(deleting("a", ORPHAN)));
        graph.set(&key("c"), Some(node("c", &["a"])));
        assert_eq!(graph.decide(&key("a")), Decision::OrphanDependents(vec![key("c")]));
        assert_eq!(graph.set(&key("c"), Some(node("c", &[]))), [key("a")]);
        assert_eq!(graph.decide(&key("a")), Decision::RemoveFinalizer(ORPHAN));
    }

    #[test]
    fn a_new_object_of_the_same_name_is_not_the_old_owner() {
        let mut graph = Graph::default();
        graph.set(&key("a"), Some(node("a1", &[])));
        graph.set(&key("c"), Some(node("c", &["a1"])));
        assert_eq!(graph.set(&key("a"), Some(node("a2", &[]))), [key("c")]);
        assert_eq!(graph.decide(&key("c")), Decision::Delete { foreground: false });
    }
}

//! The objects of an informer and its indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::queue::Key;

/// Objects by namespace and name, with an index by controlling owner.
#[derive(Debug)]
pub(super) struct Store<T> {
    metadata: fn(&T) -> &ObjectMeta,
    namespaces: BTreeMap<String, BTreeMap<String, Arc<T>>>,
    owners: HashMap<Owner, BTreeSet<Key>>,
    count: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Owner {
    Uid(String),
    /// Nobody, in this namespace.
    Nobody(String),
}

impl Owner {
    fn of(metadata: &ObjectMeta) -> Self {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        match owners.iter().find(|owner| owner.controller == Some(true)) {
            Some(owner) => Self::Uid(owner.uid.clone()),
            None => Self::Nobody(metadata.namespace.clone().unwrap_or_default()),
        }
    }
}

impl<T> Store<T> {
    pub(super) fn new(metadata: fn(&T) -> &ObjectMeta) -> Self {
        Self { metadata, namespaces: BTreeMap::new(), owners: HashMap::new(), count: 0 }
    }

    /// Puts an object in and returns the one it replaces.
    pub(super) fn insert(&mut self, key: Key, object: Arc<T>) -> Option<Arc<T>> {
        let owner = Owner::of((self.metadata)(&object));
        let objects = self.namespaces.entry(key.namespace.clone()).or_default();
        let old = objects.insert(key.name.clone(), object);
        match &old {
            Some(old) => self.disown(&key, old),
            None => self.count += 1,
        }
        self.owners.entry(owner).or_default().insert(key);
        old
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let objects = self.namespaces.get_mut(&key.namespace)?;
        let old = objects.remove(&key.name)?;
        if objects.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        self.count -= 1;
        self.disown(key, &old);
        Some(old)
    }

    fn disown(&mut self, key: &Key, object: &Arc<T>) {
        let owner = Owner::of((self.metadata)(object));
        if let Some(owned) = self.owners.get_mut(&owner) {
            owned.remove(key);
            if owned.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.namespaces.get(namespace)?.get(name).cloned()
    }

    pub(super) fn list(&self) -> Vec<Arc<T>> {
        let mut objects = Vec::with_capacity(self.count);
        objects.extend(self.namespaces.values().flat_map(|objects| objects.values().cloned()));
        objects
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let keys = |(namespace, objects): (&String, &BTreeMap<String, Arc<T>>)| {
            objects.keys().map(|name| Key::new(namespace, name)).collect::<Vec<_>>()
        };
        self.namespaces.iter().flat_map(keys).collect()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        self.namespaces.get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn controlled_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.owned(&Owner::Uid(uid.to_owned()))
    }

    pub(super) fn orphans(&self, namespace: &str) -> Vec<Arc<T>> {
        self.owned(&Owner::Nobody(namespace.to_owned()))
    }

    fn owned(&self, owner: &Owner) -> Vec<Arc<T>> {
        let keys = self.owners.get(owner).into_iter().flatten();
        keys.filter_map(|key| self.get(&key.namespace, &key.name)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn object(name: &str, owner: Option<&str>) -> Arc<ObjectMeta> {
        let owner =
            owner.map(|uid| OwnerReference { uid: uid.to_owned(), controller: Some(true), ..Default::default() });
        Arc::new(ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("n".to_owned()),
            owner_references: Some(owner.into_iter().collect()),
            ..Default::default()
        })
    }

    fn names(objects: &[Arc<ObjectMeta>]) -> Vec<&str> {
        objects.iter().filter_map(|object| object.name.as_deref()).collect()
    }

    #[test]
    fn the_owner_index_follows_adoption_release_and_removal() {
        let mut store = Store::new(|object: &ObjectMeta| object);
        store.insert(Key::new("n", "a"), object("a", None));
        store.insert(Key::new("n", "b"), object("b", Some("u")));
        assert_eq!((names(&store.orphans("n")), names(&store.controlled_by("u"))), (vec!["a"], vec!["b"]));
        store.insert(Key::new("n", "a"), object("a", Some("u")));
        assert_eq!((names(&store.orphans("n")), names(&store.controlled_by("u"))), (vec![], vec!["a", "b"]));
        store.remove(&Key::new("n", "b"));
        store.insert(Key::new("n", "a"), object("a", None));
        assert_eq!((names(&store.orphans("n")), store.controlled_by("u").len(), store.len()), (vec!["a"], 0, 1));
    }
}

//! Instances by the ids that their clients know them by. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use portolan_api::typed::ServiceInstance;
use portolan_client::Key;

/// Objects whose names are not their ids. There may be very many, so an id is kept as its hash; who looks one up
/// compares the object's own.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    hasher: RandomState,
    objects: HashMap<u64, Vec<Arc<Key>>>,
    hashes: HashMap<Arc<Key>, u64>,
}

impl Ids {
    /// Notes what became of an object.
    pub(crate) fn follow(&mut self, key: &Key, object: Option<&ServiceInstance>) {
        let id = object.map(|object| object.spec.instance_id.as_str());
        let id = id.filter(|id| !id.is_empty() && *id != key.name);
        let hash = id.map(|id| self.hasher.hash_one((key.namespace.as_str(), id)));
        let before = self.hashes.get(key).copied();
        if before == hash {
            return;
        }
        if let Some(before) = before {
            self.hashes.remove(key);
            if let Some(objects) = self.objects.get_mut(&before) {
                objects.retain(|object| **object != *key);
                if objects.is_empty() {
                    self.objects.remove(&before);
                }
            }
        }
        if let Some(hash) = hash {
            let key = Arc::new(key.clone());
            self.objects.entry(hash).or_default().push(key.clone());
            self.hashes.insert(key, hash);
        }
    }

    /// Objects of a namespace that may have this id.
    pub(crate) fn candidates(&self, namespace: &str, id: &str) -> &[Arc<Key>] {
        self.objects.get(&self.hasher.hash_one((namespace, id))).map_or(&[], |objects| objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_the_objects_that_have_it_now() {
        let mut ids = Ids::default();
        let object = |id: &str| {
            let mut object = ServiceInstance::default();
            object.spec.instance_id = id.to_owned();
            object
        };
        let follow = |ids: &mut Ids, name: &str, id: Option<&str>| {
            ids.follow(&Key::new("shop", name), id.map(object).as_ref());
        };
        let shown = |ids: &Ids, namespace: &str, id: &str| {
            let mut names: Vec<&str> = ids.candidates(namespace, id).iter().map(|key| key.name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        follow(&mut ids, "a-1", Some("a:1"));
        follow(&mut ids, "a-2", Some("a:1"));
        follow(&mut ids, "own", Some("own"));
        assert_eq!((shown(&ids, "shop", "a:1"), shown(&ids, "other", "a:1")), ("a-1 a-2".into(), String::new()));
        assert_eq!(shown(&ids, "shop", "own"), "", "whose name it is needs no look-up");
        follow(&mut ids, "a-1", Some("b:1"));
        assert_eq!((shown(&ids, "shop", "a:1"), shown(&ids, "shop", "b:1")), ("a-2".into(), "a-1".into()));
        follow(&mut ids, "a-1", None);
        follow(&mut ids, "a-2", None);
        assert!(ids.objects.is_empty() && ids.hashes.is_empty());
    }
}

//! The objects of an informer and its indexes.
//!
//! A decoded object takes ten times the memory of its bytes, and most objects of a large cluster are
//! looked at once. So the bytes are kept of all objects, and the decoded form of those that
//! changed last.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::encoded::{raw_at, string_at};

use crate::queue::Key;

/// How many decoded objects are kept. Small clusters have no more, so there each version of an
/// object is decoded once.
const DECODED: usize = 2048;

/// How the objects of an informer are read.
#[derive(Debug)]
pub(super) struct Form<T> {
    pub(super) decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    pub(super) metadata: fn(&T) -> &ObjectMeta,
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

/// Objects by namespace and name, with an index by controlling owner.
#[derive(Debug)]
pub(super) struct Store<T> {
    form: Form<T>,
    namespaces: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Slot<T>>>,
    owners: HashMap<Arc<str>, BTreeSet<Place>>,
    orphans: HashMap<Arc<str>, BTreeSet<Place>>,
    /// Where decoded objects are, the oldest first. May name objects that are gone.
    decoded: VecDeque<Place>,
    capacity: usize,
    count: usize,
}

/// Namespace and name, sharing the texts of the map.
type Place = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Slot<T> {
    encoded: Box<[u8]>,
    decoded: Option<Arc<T>>,
    owner: Option<Arc<str>>,
}

fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

/// The bytes without `metadata.managedFields`, which is often half of an object and which only the
/// server reads. An update without it leaves it as it is.
pub(super) fn trimmed(encoded: &[u8]) -> Box<[u8]> {
    const MEMBER: &[u8] = b"\"managedFields\":";
    let Some(fields) = raw_at(encoded, &["metadata", "managedFields"]) else { return encoded.into() };
    let value = fields.as_ptr() as usize - encoded.as_ptr() as usize;
    let (mut start, mut end) = (value.saturating_sub(MEMBER.len()), value + fields.len());
    // Other spellings (white space) are left as they are.
    if encoded.get(start..value) != Some(MEMBER) || !fields.starts_with(b"[") || !fields.ends_with(b"]") {
        return encoded.into();
    }
    if encoded.get(end) == Some(&b',') {
        end += 1;
    } else if start > 0 && encoded[start - 1] == b',' {
        start -= 1;
    }
    [&encoded[..start], &encoded[end..]].concat().into()
}

impl<T> Store<T> {
    pub(super) fn new(form: Form<T>) -> Self {
        Self::with_capacity(form, DECODED)
    }

    fn with_capacity(form: Form<T>, capacity: usize) -> Self {
        Self {
            form,
            namespaces: BTreeMap::new(),
            owners: HashMap::new(),
            orphans: HashMap::new(),
            decoded: VecDeque::new(),
            capacity,
            count: 0,
        }
    }

    /// Puts an object in, in both forms, and returns the one it replaces.
    pub(super) fn insert(&mut self, key: &Key, encoded: Box<[u8]>, object: Arc<T>) -> Option<Arc<T>> {
        let old = self.get(&key.namespace, &key.name);
        let place = match self.disown(key) {
            Some(place) => place,
            None => {
                let namespace = self.namespaces.get_key_value(key.namespace.as_str());
                let namespace = namespace.map_or_else(|| key.namespace.as_str().into(), |(known, _)| known.clone());
                self.count += 1;
                (namespace, key.name.as_str().into())
            }
        };
        let owner: Option<Arc<str>> = controller((self.form.metadata)(&object)).map(|uid| {
            let known = self.owners.get_key_value(uid);
            known.map_or_else(|| uid.into(), |(known, _)| known.clone())
        });
        match &owner {
            Some(owner) => self.owners.entry(owner.clone()).or_default().insert(place.clone()),
            None => self.orphans.entry(place.0.clone()).or_default().insert(place.clone()),
        };
        let slot = Slot { encoded, decoded: Some(object), owner };
        let replaced = self.namespaces.entry(place.0.clone()).or_default().insert(place.1.clone(), slot);
        if replaced.is_none_or(|replaced| replaced.decoded.is_none()) {
            self.remember(place);
        }
        old
    }

    /// Notes that the object at a place is decoded, and forgets the oldest one beyond the capacity.
    fn remember(&mut self, place: Place) {
        self.decoded.push_back(place);
        while self.decoded.len() > self.capacity {
            let Some((namespace, name)) = self.decoded.pop_front() else { return };
            if let Some(slot) = self.namespaces.get_mut(&namespace).and_then(|objects| objects.get_mut(&name)) {
                slot.decoded = None;
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        self.disown(key)?;
        let objects = self.namespaces.get_mut(key.namespace.as_str())?;
        let old = objects.remove(key.name.as_str())?;
        if objects.is_empty() {
            self.namespaces.remove(key.namespace.as_str());
        }
        self.count -= 1;
        self.read(&old)
    }

    /// Takes an object out of the index of owners.
    fn disown(&mut self, key: &Key) -> Option<Place> {
        let (namespace, objects) = self.namespaces.get_key_value(key.namespace.as_str())?;
        let (name, slot) = objects.get_key_value(key.name.as_str())?;
        let place = (namespace.clone(), name.clone());
        let (index, owner) = match &slot.owner {
            Some(owner) => (&mut self.owners, owner),
            None => (&mut self.orphans, namespace),
        };
        if let Some(owned) = index.get_mut(owner) {
            owned.remove(&place);
            if owned.is_empty() {
                index.remove(owner);
            }
        }
        Some(place)
    }

    fn read(&self, slot: &Slot<T>) -> Option<Arc<T>> {
        if let Some(object) = &slot.decoded {
            return Some(object.clone());
        }
        match (self.form.decode)(&slot.encoded) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                // It was decoded before it was put in.
                tracing::error!("an object can no longer be decoded: {error}");
                None
            }
        }
    }

    fn slot(&self, namespace: &str, name: &str) -> Option<&Slot<T>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// Whether this version of an object is there already.
    pub(super) fn has(&self, key: &Key, resource_version: &str) -> bool {
        self.slot(&key.namespace, &key.name).is_some_and(|slot| {
            string_at(&slot.encoded, &["metadata", "resourceVersion"]).is_some_and(|found| found == resource_version)
        })
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.read(self.slot(namespace, name)?)
    }

    /// The objects whose bytes please `keep`, of one namespace or of all.
    pub(super) fn filter(&self, namespace: Option<&str>, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        let all = self.namespaces.iter().filter(|(found, _)| namespace.is_none_or(|wanted| wanted == &***found));
        let slots = all.flat_map(|(_, objects)| objects.values()).filter(|slot| keep(&slot.encoded));
        slots.filter_map(|slot| self.read(slot)).collect()
    }

    pub(super) fn list(&self) -> Vec<Arc<T>> {
        self.filter(None, |_| true)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let keys = |(namespace, objects): (&Arc<str>, &BTreeMap<Arc<str>, Slot<T>>)| {
            objects.keys().map(|name| Key::new(&**namespace, &**name)).collect::<Vec<_>>()
        };
        self.namespaces.iter().flat_map(keys).collect()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let objects = self.namespaces.get(namespace).into_iter().flat_map(BTreeMap::values);
        objects.filter_map(|slot| self.read(slot)).collect()
    }

    pub(super) fn controlled_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.at(self.owners.get(uid), |_| true)
    }

    /// The objects of a namespace without a controlling owner whose bytes please `keep`.
    pub(super) fn orphans(&self, namespace: &str, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        self.at(self.orphans.get(namespace), keep)
    }

    fn at(&self, places: Option<&BTreeSet<Place>>, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        let slots = places.into_iter().flatten().filter_map(|(namespace, name)| self.slot(namespace, name));
        slots.filter(|slot| keep(&slot.encoded)).filter_map(|slot| self.read(slot)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FORM: Form<ObjectMeta> =
        Form { decode: |bytes| serde_json::from_slice(bytes), metadata: |metadata| metadata };

    fn insert(store: &mut Store<ObjectMeta>, name: &str, owner: Option<&str>) {
        let owners =
            owner.map(|uid| json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid, "controller": true}));
        let owners: Vec<_> = owners.into_iter().collect();
        let encoded = json!({"name": name, "namespace": "n", "ownerReferences": owners}).to_string();
        let object = (store.form.decode)(encoded.as_bytes()).expect("is metadata");
        store.insert(&Key::new("n", name), encoded.into_bytes().into(), Arc::new(object));
    }

    fn names(objects: &[Arc<ObjectMeta>]) -> Vec<&str> {
        objects.iter().filter_map(|object| object.name.as_deref()).collect()
    }

    #[test]
    fn the_owner_index_follows_adoption_release_and_removal() {
        for capacity in [0, 1, 100] {
            let mut store = Store::with_capacity(FORM, capacity);
            let owned = |store: &Store<ObjectMeta>| {
                let (orphans, owned) = (store.orphans("n", |_| true), store.controlled_by("u"));
                (names(&orphans).join(" "), names(&owned).join(" "), store.len())
            };
            insert(&mut store, "a", None);
            insert(&mut store, "b", Some("u"));
            assert_eq!(owned(&store), ("a".into(), "b".into(), 2));
            insert(&mut store, "a", Some("u"));
            assert_eq!(owned(&store), (String::new(), "a b".into(), 2));
            assert_eq!(store.remove(&Key::new("n", "b")).and_then(|old| old.name.clone()).as_deref(), Some("b"));
            insert(&mut store, "a", None);
            assert_eq!(owned(&store), ("a".into(), String::new(), 1));
        }
    }

    #[test]
    fn keeps_the_decoded_form_of_no_more_than_its_capacity() {
        let mut store = Store::with_capacity(FORM, 2);
        for name in ["a", "b", "a", "c", "b", "d"] {
            insert(&mut store, name, None);
        }
        let slots: Vec<_> = store.namespaces["n"].values().map(|slot| slot.decoded.is_some()).collect();
        assert_eq!(slots.iter().filter(|decoded| **decoded).count(), 2);
        assert_eq!(names(&store.list()), ["a", "b", "c", "d"]);
        assert_eq!(names(&store.filter(Some("n"), |bytes| bytes.windows(3).any(|part| part == b"\"c\""))), ["c"]);
    }

    #[test]
    fn trims_what_only_the_server_reads() {
        for (whole, expected) in [
            (r#"{"metadata":{"managedFields":[{"a":"}"}],"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
            (r#"{"metadata":{"name":"a","managedFields":[]},"spec":1}"#, r#"{"metadata":{"name":"a"},"spec":1}"#),
            (r#"{"metadata":{"managedFields":[{}]}}"#, r#"{"metadata":{}}"#),
            (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
            (r#"{"metadata":{"managedFields": []}}"#, r#"{"metadata":{"managedFields": []}}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(&*trimmed(whole.as_bytes()), expected.as_bytes());
        }
    }
}

//! The objects of an informer and its indexes.
//!
//! A decoded object takes ten times the memory of its bytes, and most objects of a large cluster are
//! looked at once or never. So the bytes are kept of all objects, and the decoded form of those that
//! somebody asked for last.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use portolan_api::encoded::{controller, raw_at, string_at};

use super::kept::{Difference, Kept, Opening, Shared};
use crate::queue::Key;

/// Of how many encoded bytes the decoded objects are kept, which take more than ten times as much.
/// Small clusters have no more, so there each version of an object is decoded once.
const DECODED: usize = 1 << 20;
/// Versions that are foretold at the same time: as many as may be on their way.
const FORETOLD: usize = 4096;

/// How the objects of an informer are read.
#[derive(Debug)]
pub(super) struct Form<T> {
    pub(super) decode: fn(&[u8]) -> Result<T, serde_json::Error>,
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
    /// Names of objects without a controlling owner, by namespace.
    orphans: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// What the bytes of all shared objects begin with.
    opening: Option<Opening>,
    decoded: Mutex<Decoded>,
    /// Of how many encoded bytes the decoded objects are kept.
    capacity: usize,
    count: usize,
    /// Decoded forms of versions that have not arrived yet, with their revisions.
    foretold: HashMap<Key, (u64, Arc<T>)>,
    /// The newest revision that something has arrived with, of any object.
    arrived: u64,
}

/// Where decoded objects are.
#[derive(Debug, Default)]
struct Decoded {
    /// The oldest first, with the length of its encoded bytes. May name objects that are gone.
    places: VecDeque<(Place, usize)>,
    /// The sum of the lengths.
    bytes: usize,
}

impl Decoded {
    fn note(&mut self, place: Place, size: usize) {
        self.places.push_back((place, size));
        self.bytes += size;
    }
}

/// Namespace and name, sharing the texts of the map.
type Place = (Arc<str>, Arc<str>);

/// One version of an object.
#[derive(Debug)]
pub(super) struct Slot<T> {
    kept: Kept,
    decoded: OnceLock<Arc<T>>,
    owner: Option<Arc<str>>,
}

impl<T> Slot<T> {
    /// The decoded form, if somebody asked for it.
    pub(super) fn decoded(&self) -> Option<&Arc<T>> {
        self.decoded.get()
    }
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
            opening: None,
            decoded: Mutex::default(),
            capacity,
            count: 0,
            foretold: HashMap::new(),
            arrived: 0,
        }
    }

    /// Keeps an object that shares its memory, or its bytes if it does not begin like the others.
    pub(super) fn keep(&mut self, opening: &[u8], object: Shared) -> Kept {
        let known = self.opening.get_or_insert_with(|| opening.into());
        if **known == *opening { Kept::Shared(object) } else { Kept::whole(&object, opening) }
    }

    /// The bytes of a version in one piece.
    pub(super) fn bytes<'a>(&self, kept: &'a Kept, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        kept.bytes(self.opening.as_deref().unwrap_or_default(), scratch)
    }

    /// Puts a version in and returns the one it replaces. In `scratch` are its bytes then, if they
    /// had to be put together.
    pub(super) fn insert(&mut self, key: &Key, kept: Kept, scratch: &mut Vec<u8>) -> Option<Slot<T>> {
        let owner = controller(self.bytes(&kept, scratch)).and_then(|owner| string_at(owner, &["uid"]));
        let owner: Option<Arc<str>> = owner.map(|uid| {
            let known = self.owners.get_key_value(&*uid);
            known.map_or_else(|| (*uid).into(), |(known, _)| known.clone())
        });
        let place = match self.disown(key) {
            Some(place) => place,
            None => {
                let namespace = self.namespaces.get_key_value(key.namespace.as_str());
                let namespace = namespace.map_or_else(|| key.namespace.as_str().into(), |(known, _)| known.clone());
                self.count += 1;
                (namespace, key.name.as_str().into())
            }
        };
        match &owner {
            Some(owner) => self.owners.entry(owner.clone()).or_default().insert(place.clone()),
            None => self.orphans.entry(place.0.clone()).or_default().insert(place.1.clone()),
        };
        self.forget();
        let mut slot = Slot { kept, decoded: OnceLock::new(), owner };
        if let Some(object) = self.foretold_as(key, &slot.kept) {
            let size = self.bytes(&slot.kept, scratch).len();
            self.adopt(&place, &mut slot, object, size);
        }
        self.namespaces.entry(place.0).or_default().insert(place.1, slot)
    }

    /// Something arrived with this revision. Called before what arrived is put in or taken out.
    pub(super) fn arrives(&mut self, revision: u64) {
        self.arrived = self.arrived.max(revision);
    }

    /// Takes the decoded form of a version that is there or will arrive from who wrote it, so that nobody has to
    /// decode it.
    pub(super) fn foretell(&mut self, key: &Key, revision: u64, object: Arc<T>) {
        let Some((namespace, name, slot)) = self.slot(&key.namespace, &key.name) else {
            // Versions arrive in their order: one that is not there although later ones are has gone already, and nothing
            // would take it out again.
            if revision > self.arrived {
                self.expect(key, revision, object);
            }
            return;
        };
        // Of bytes whose revision is not known by itself nothing is adopted.
        let Some(present) = slot.kept.revision() else { return };
        if present < revision {
            return self.expect(key, revision, object);
        }
        if present == revision && slot.decoded.get().is_none() {
            let place = (namespace.clone(), name.clone());
            let size = self.bytes(&slot.kept, &mut Vec::new()).len();
            let found = self.namespaces.get_mut(&place.0).and_then(|objects| objects.get_mut(&place.1));
            if let Some(slot) = found {
                // The lock of the store is held for writing, so nobody has decoded it meanwhile.
                let _ = slot.decoded.set(object);
                self.decoded.get_mut().note(place, size);
            }
        }
    }

    fn expect(&mut self, key: &Key, revision: u64, object: Arc<T>) {
        if self.foretold.len() < FORETOLD {
            self.foretold.insert(key.clone(), (revision, object));
        }
    }

    /// What was foretold of exactly this version. What was foretold of an older one is over.
    fn foretold_as(&mut self, key: &Key, kept: &Kept) -> Option<Arc<T>> {
        let (foretold, _) = self.foretold.get(key)?;
        if kept.revision().is_some_and(|revision| revision < *foretold) {
            return None;
        }
        let (foretold, object) = self.foretold.remove(key)?;
        (kept.revision() == Some(foretold)).then_some(object)
    }

    fn adopt(&mut self, place: &Place, slot: &mut Slot<T>, object: Arc<T>, size: usize) {
        slot.decoded = OnceLock::from(object);
        self.decoded.get_mut().note(place.clone(), size);
    }

    /// Everything that there was has arrived: what is still foretold may be gone already.
    pub(super) fn forget_foretold(&mut self) {
        self.foretold.clear();
    }

    /// Forgets the oldest decoded objects beyond the capacity.
    fn forget(&mut self) {
        let decoded = self.decoded.get_mut();
        while decoded.bytes > self.capacity {
            let Some(((namespace, name), bytes)) = decoded.places.pop_front() else { return };
            decoded.bytes -= bytes;
            if let Some(slot) = self.namespaces.get_mut(&namespace).and_then(|objects| objects.get_mut(&name)) {
                slot.decoded.take();
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Slot<T>> {
        self.foretold.remove(key);
        self.disown(key)?;
        let objects = self.namespaces.get_mut(key.namespace.as_str())?;
        let old = objects.remove(key.name.as_str())?;
        if objects.is_empty() {
            self.namespaces.remove(key.namespace.as_str());
        }
        self.count -= 1;
        Some(old)
    }

    /// Takes an object out of the index of owners.
    fn disown(&mut self, key: &Key) -> Option<Place> {
        let (namespace, objects) = self.namespaces.get_key_value(key.namespace.as_str())?;
        let (name, slot) = objects.get_key_value(key.name.as_str())?;
        let place = (namespace.clone(), name.clone());
        match &slot.owner {
            Some(owner) => {
                if let Some(owned) = self.owners.get_mut(owner) {
                    owned.remove(&place);
                    if owned.is_empty() {
                        self.owners.remove(&owner.clone());
                    }
                }
            }
            None => {
                if let Some(names) = self.orphans.get_mut(namespace) {
                    names.remove(name);
                    if names.is_empty() {
                        self.orphans.remove(namespace);
                    }
                }
            }
        }
        Some(place)
    }

    /// Decodes bytes that an informer keeps.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<Arc<T>> {
        match (self.form.decode)(bytes) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                tracing::error!("an object cannot be decoded and is left out: {error}");
                None
            }
        }
    }

    /// The decoded form; kept if `wanted`, or as long as there is room.
    fn read(&self, namespace: &Arc<str>, name: &Arc<str>, slot: &Slot<T>, wanted: Wanted) -> Option<Arc<T>> {
        if let Some(object) = slot.decoded.get() {
            return Some(object.clone());
        }
        let mut scratch = Vec::new();
        let bytes = self.bytes(&slot.kept, &mut scratch);
        let object = self.decode(bytes)?;
        let mut decoded = self.decoded.lock();
        let has_room = decoded.bytes + bytes.len() <= self.capacity;
        if (wanted == Wanted::Itself || has_room) && slot.decoded.set(object.clone()).is_ok() {
            decoded.note((namespace.clone(), name.clone()), bytes.len());
        }
        Some(object)
    }

    fn slot(&self, namespace: &str, name: &str) -> Option<(&Arc<str>, &Arc<str>, &Slot<T>)> {
        let (namespace, objects) = self.namespaces.get_key_value(namespace)?;
        let (name, slot) = objects.get_key_value(name)?;
        Some((namespace, name, slot))
    }

    /// Whether this version of an object is there already.
    pub(super) fn has(&self, key: &Key, resource_version: &str) -> bool {
        self.slot(&key.namespace, &key.name).is_some_and(|(.., slot)| match slot.kept.revision() {
            Some(revision) => resource_version.parse() == Ok(revision),
            None => {
                let mut scratch = Vec::new();
                let found = string_at(self.bytes(&slot.kept, &mut scratch), &["metadata", "resourceVersion"]);
                found.is_some_and(|found| found == resource_version)
            }
        })
    }

    /// Shows the bytes of an object.
    pub(super) fn show<R>(&self, namespace: &str, name: &str, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let (.., slot) = self.slot(namespace, name)?;
        Some(look(self.bytes(&slot.kept, &mut Vec::new())))
    }

    /// What the present version differs in from one that was taken out.
    pub(super) fn difference(&self, key: &Key, old: &Slot<T>) -> Difference {
        let present = self.slot(&key.namespace, &key.name);
        present.map_or(Difference::More, |(.., slot)| slot.kept.difference(&old.kept))
    }

    /// Shows the bytes of a version that was taken out.
    pub(super) fn show_slot<R>(&self, slot: &Slot<T>, look: impl FnOnce(&[u8]) -> R) -> R {
        look(self.bytes(&slot.kept, &mut Vec::new()))
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let (namespace, name, slot) = self.slot(namespace, name)?;
        self.read(namespace, name, slot, Wanted::Itself)
    }

    /// The objects whose bytes please `keep`, of one namespace or of all.
    pub(super) fn filter(&self, namespace: Option<&str>, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        let mut scratch = Vec::new();
        let mut found = Vec::new();
        for (namespace, objects) in
            self.namespaces.iter().filter(|(it, _)| namespace.is_none_or(|wanted| wanted == &***it))
        {
            for (name, slot) in objects {
                if keep(self.bytes(&slot.kept, &mut scratch)) {
                    found.extend(self.read(namespace, name, slot, Wanted::AmongOthers));
                }
            }
        }
        found
    }

    pub(super) fn list(&self) -> Vec<Arc<T>> {
        let all = self.namespaces.iter();
        let slots =
            all.flat_map(|(namespace, objects)| objects.iter().map(move |(name, slot)| (namespace, name, slot)));
        slots.filter_map(|(namespace, name, slot)| self.read(namespace, name, slot, Wanted::AmongOthers)).collect()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let keys = |(namespace, objects): (&Arc<str>, &BTreeMap<Arc<str>, Slot<T>>)| {
            objects.keys().map(|name| Key::new(&**namespace, &**name)).collect::<Vec<_>>()
        };
        self.namespaces.iter().flat_map(keys).collect()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let Some((namespace, objects)) = self.namespaces.get_key_value(namespace) else { return Vec::new() };
        objects.iter().filter_map(|(name, slot)| self.read(namespace, name, slot, Wanted::AmongOthers)).collect()
    }

    pub(super) fn controlled_by(&self, uid: &str) -> Vec<Arc<T>> {
        let places = self.owners.get(uid).into_iter().flatten();
        let slots = places.filter_map(|(namespace, name)| self.slot(namespace, name));
        slots.filter_map(|(namespace, name, slot)| self.read(namespace, name, slot, Wanted::AmongOthers)).collect()
    }

    /// The objects of a namespace without a controlling owner whose bytes please `keep`.
    pub(super) fn orphans(&self, namespace: &str, keep: impl Fn(&[u8]) -> bool) -> Vec<Arc<T>> {
        let mut scratch = Vec::new();
        let names = self.orphans.get(namespace).into_iter().flatten();
        let mut found = Vec::new();
        for (namespace, name, slot) in names.filter_map(|name| self.slot(namespace, name)) {
            if keep(self.bytes(&slot.kept, &mut scratch)) {
                found.extend(self.read(namespace, name, slot, Wanted::AmongOthers));
            }
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}

/// What somebody asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// This object.
    Itself,
    /// One of a list, which may be longer than there is room for decoded objects.
    AmongOthers,
}

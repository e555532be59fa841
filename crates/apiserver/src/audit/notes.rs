//! What those who decide about a request say about it in the audit log.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use portolan_api::schema::Emptied;
use serde_json::Value;

/// What is said about one request.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Whether there is a record of the request.
    are_kept: bool,
    /// Annotations by key. What was said first stays, as upstream.
    annotations: Mutex<BTreeMap<String, String>>,
    /// The same for records that hold what requests send.
    of_bodies: Mutex<BTreeMap<String, String>>,
    /// What the object that came with the request says of itself.
    identity: Mutex<BTreeMap<&'static str, String>>,
    /// Empty lists and maps of that object, which are not kept.
    emptied: Mutex<Emptied>,
}

/// Fields of an object's metadata that tell which one it is.
const IDENTITY: [&str; 4] = ["name", "namespace", "uid", "resourceVersion"];

impl Notes {
    /// Those of a request that is recorded, or is not.
    pub(crate) fn new(are_kept: bool) -> Self {
        Self { are_kept, ..Self::default() }
    }

    /// Whether anybody will see what is noted.
    pub(crate) fn are_kept(&self) -> bool {
        self.are_kept
    }

    /// Says which object came with the request, as it came.
    pub(crate) fn came(&self, object: &Value) {
        let text = |field: &'static str| object["metadata"][field].as_str().map(|text| (field, text.to_owned()));
        *self.identity.lock() = IDENTITY.into_iter().filter_map(text).filter(|(_, text)| !text.is_empty()).collect();
    }

    /// Which object came with the request.
    pub(crate) fn take_identity(&self) -> BTreeMap<&'static str, String> {
        std::mem::take(&mut self.identity.lock())
    }

    /// Says which empty lists and maps came with the object.
    pub(crate) fn came_empty(&self, emptied: Emptied) {
        *self.emptied.lock() = emptied;
    }

    /// An object made of the one that came, with the empty lists and maps that it had: how upstream shows what is
    /// wrong with it. `None` if it had none.
    pub(crate) fn as_it_came(&self, object: &Value) -> Option<Value> {
        self.emptied.lock().restored(object)
    }

    /// Says something, unless it was said before.
    pub(crate) fn add(&self, key: String, value: String) {
        Self::add_to(&mut self.annotations.lock(), key, value);
    }

    /// Says something that is only for records that hold what requests send.
    pub(crate) fn add_of_bodies(&self, key: String, value: String) {
        Self::add_to(&mut self.of_bodies.lock(), key, value);
    }

    fn add_to(notes: &mut BTreeMap<String, String>, key: String, value: String) {
        if let Some(known) = notes.get(&key).filter(|known| **known != value) {
            tracing::warn!(key, value, known, "an annotation of an audit event is set twice");
            return;
        }
        notes.insert(key, value);
    }

    /// All that was said; `has_bodies`: whether the record holds what the request sent.
    pub(crate) fn take(&self, has_bodies: bool) -> BTreeMap<String, String> {
        let mut notes = std::mem::take(&mut *self.annotations.lock());
        if has_bodies {
            notes.append(&mut self.of_bodies.lock());
        }
        notes
    }
}

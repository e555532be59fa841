//! What those who decide about a request say about it in the audit log.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Annotations of one request, by key. What was said first stays, as upstream.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<BTreeMap<String, String>>);

impl Notes {
    /// Says something, unless it was said before.
    pub(crate) fn add(&self, key: String, value: String) {
        let mut notes = self.0.lock();
        if let Some(known) = notes.get(&key).filter(|known| **known != value) {
            tracing::warn!(key, value, known, "an annotation of an audit event is set twice");
            return;
        }
        notes.insert(key, value);
    }

    /// All that was said.
    pub(crate) fn take(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.0.lock())
    }
}

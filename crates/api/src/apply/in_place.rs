//! Applies to the stored bytes of an object.
//!
//! Most applies say again what is there, are the first of a manager who says what is there, or give a few fields
//! other values. Of those the list of managers is written, and the bytes of what changes: neither the object nor what
//! the other managers own needs to be decoded. One walk along the applied object and the stored bytes holds the one
//! against its schema and against the other, writes down the paths that are claimed, and notes what differs.

use std::ops::Range;

use serde_json::Value;

use super::compare::Comparison;
use super::edit::Edit;
use super::manifest::Manifest;
use super::recorded::{self, Owner};
use super::walk::Walk;
use super::{Force, Kind, Manager, last_applied};
use crate::time;

#[cfg(test)]
mod tests;

/// What an apply makes of the stored bytes of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct InPlace {
    /// The new `managedFields`, encoded; `None` if they are as they were.
    pub managers: Option<Vec<u8>>,
    /// Where the old ones stand in the stored bytes.
    place: Range<usize>,
    /// What else changes, in the order of the stored bytes.
    edits: Vec<Edit>,
}

/// Applies `applied` to a stored object, if that gives nothing up: what [`super::apply_apart`] would say then.
///
/// `None` is said of all that is not worth the effort too, of errors and conflicts for instance. The whole way has to
/// be gone then.
pub fn apply_in_place(
    stored: &[u8],
    applied: &Manifest<'_>,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
) -> Option<InPlace> {
    let says = |path: &[&str]| applied.at(path).is_some();
    if kind.ignored.iter().any(|path| says(path)) || says(&["metadata", "managedFields"]) {
        return None;
    }
    if manager.name == last_applied::KUBECTL
        && (says(&["metadata", "annotations", last_applied::ANNOTATION])
            || crate::encoded::raw_at(stored, &["metadata", "annotations", last_applied::ANNOTATION]).is_some())
    {
        return None;
    }
    let mut walk = Walk::new(stored, manager.api_version);
    walk.object(applied.fields(), kind.schema)?;
    let Walk { paths, managers: mut list, place, mut edits, .. } = walk;
    let owned = Some(paths.bytes).filter(|owned| !owned.is_empty() && !list.is_empty())?;
    let own = list.iter().position(|entry| entry.applies_as(manager)).map(|place| list.remove(place));
    // What nobody owns any more would go.
    if own.is_some_and(|own| own.fields != owned && !recorded::is_within(own.fields, &owned)) {
        return None;
    }
    let now;
    let losses;
    if edits.is_empty() {
        // Nobody loses anything.
        let mut own = own.unwrap_or(Owner::agreeing(manager, &owned));
        own.fields = &owned;
        list.push(own);
    } else {
        let mut comparison = Comparison::default();
        edits.iter_mut().for_each(|edit| comparison.add(edit.take_comparison()));
        losses = recorded::losses(&list, &comparison, force)?;
        recorded::lose(&mut list, &losses);
        now = time::format(manager.now);
        list.push(Owner::changing(manager, &now, &owned));
    }
    list.sort_by(Owner::order);
    let managers = recorded::write(&list, manager.api_version);
    let managers = Some(managers).filter(|managers| **managers != stored[place.clone()]);
    Some(InPlace { managers, place, edits })
}

impl InPlace {
    /// Whether the object is as it was, but for who owns its fields.
    pub fn leaves_object(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether all that changes is values of labels and annotations whose names `is_free` accepts, new ones included.
    pub fn only_notes(&self, is_free: impl Fn(&str) -> bool) -> bool {
        self.edits.iter().all(|edit| {
            let ["metadata", "labels" | "annotations", name] = edit.fields()[..] else { return false };
            is_free(name)
        })
    }

    /// The labels or annotations that change, with what they become.
    pub fn changed_notes(&self, part: &str) -> Value {
        let note = |edit: &Edit| match edit.fields()[..] {
            ["metadata", found, name] if found == part => Some((name.to_owned(), edit.value().clone())),
            _ => None,
        };
        Value::Object(self.edits.iter().filter_map(note).collect())
    }

    /// The new stored bytes.
    pub fn encoded(&self, stored: &[u8]) -> Vec<u8> {
        let managers = self.managers.as_ref().map(|managers| (&self.place, &managers[..]));
        let mut changes: Vec<(&Range<usize>, &[u8])> = self.edits.iter().map(Edit::written).chain(managers).collect();
        // Fields that come into one place are in their order.
        changes.sort_by_key(|(range, _)| range.start);
        let more: usize = changes.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut new = Vec::with_capacity(stored.len() + more);
        let mut done = 0;
        for (range, bytes) in changes {
            new.extend_from_slice(&stored[done..range.start]);
            new.extend_from_slice(bytes);
            done = range.end;
        }
        new.extend_from_slice(&stored[done..]);
        new
    }

    /// Changes the object as it was decoded from those bytes; its managers are left alone.
    pub fn change(&self, object: &mut Value) {
        self.edits.iter().for_each(|edit| edit.put_into(object));
    }
}

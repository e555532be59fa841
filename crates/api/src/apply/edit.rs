//! One value that an apply changes in a stored object.

use std::ops::Range;

use serde_json::Value;

use super::claim;
use super::compare::{self, Comparison};
use super::fields::Element;
use super::merge;
use crate::description::Schema;
use crate::schema;

/// A field that gets another value, or is new.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    /// What it replaces in the stored bytes.
    range: Range<usize>,
    /// What is written there.
    bytes: Vec<u8>,
    name: String,
    value: Value,
    /// How the object around the field differs.
    comparison: Comparison,
    /// The way to that object, from its end.
    way: Vec<Step>,
}

/// A step of the way into an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Field(String),
    /// An item of a list: its element and its place.
    Item(String, usize),
}

impl Edit {
    /// Gives the field `name` of an object another value than `old`, which stands at `range` of the stored bytes; or
    /// makes it. `None` if it cannot be had so, or if it would not be stored as it is applied.
    pub(super) fn new(
        range: Range<usize>,
        name: &str,
        (old, applied): (Option<&Value>, &Value),
        (around, place): (Schema<'_>, Schema<'_>),
    ) -> Option<Self> {
        let examined = claim::examined(applied, place);
        if !examined.problems.is_empty() {
            return None;
        }
        let value = if examined.is_canonical { applied.clone() } else { merge::canonical(applied, place) };
        let mut pruned = value.clone();
        drop(schema::prune(&mut pruned, place));
        let findings = schema::check_at(&value, place);
        let is_kept = pruned == value && !value.is_null() && !place.leaves_out(&value);
        if !is_kept || findings.wrong_type.is_some() || !findings.unknown.is_empty() || old == Some(&value) {
            return None;
        }
        let comparison = compare::compare_field(name, old, &value, around);
        let bytes = serde_json::to_vec(&value).ok()?;
        Some(Self { range, bytes, name: name.to_owned(), value, comparison, way: Vec::new() })
    }

    /// Writes a new field with its name, before what stands there or as the last one.
    pub(super) fn insert(&mut self, before_others: bool, is_only: bool) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + self.name.len() + 4);
        if !before_others && !is_only {
            bytes.push(b',');
        }
        super::encoded::text(&self.name, &mut bytes);
        bytes.push(b':');
        bytes.append(&mut self.bytes);
        if before_others {
            bytes.push(b',');
        }
        self.bytes = bytes;
    }

    /// Says that the object that was thought of as the whole is in another one.
    pub(super) fn inside(&mut self, step: Step) {
        self.way.push(step);
    }

    /// What it changes in the stored bytes.
    pub(super) fn written(&self) -> (&Range<usize>, &[u8]) {
        (&self.range, &self.bytes)
    }

    /// What the field becomes.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// The names of the fields on the way, if there are no items among them; else nothing.
    pub(super) fn fields(&self) -> Vec<&str> {
        let mut names = Vec::with_capacity(self.way.len() + 1);
        for step in self.way.iter().rev() {
            match step {
                Step::Field(name) => names.push(&**name),
                Step::Item(..) => return Vec::new(),
            }
        }
        names.push(&self.name);
        names
    }

    /// How the whole object differs by it; said once.
    pub(super) fn take_comparison(&mut self) -> Comparison {
        let around = |inner: Comparison, step: &Step| {
            let element = match step {
                Step::Field(name) => Element::field(name),
                Step::Item(element, _) => Element::Item(element.as_str().into()),
            };
            inner.inside(&element)
        };
        self.way.iter().fold(std::mem::take(&mut self.comparison), around)
    }

    /// Changes an object that was decoded.
    pub(super) fn put_into(&self, object: &mut Value) {
        let inner = self.way.iter().rev().try_fold(object, |value, step| match step {
            Step::Field(name) => value.get_mut(name),
            Step::Item(_, place) => value.get_mut(*place),
        });
        if let Some(Value::Object(fields)) = inner {
            fields.insert(self.name.clone(), self.value.clone());
        }
    }
}

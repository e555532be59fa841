//! How two objects differ.

use serde_json::Value;

use super::always;
use super::fields::{Element, FieldSet};
use super::shape::{self, Item, Parts, Place};
use crate::description::Schema;

/// The paths in which an object differs from another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet<'static>,
    pub(super) modified: FieldSet<'static>,
    pub(super) removed: FieldSet<'static>,
}

impl Comparison {
    /// What was added or got another value.
    pub(super) fn changed(&self) -> FieldSet<'static> {
        let mut changed = self.added.clone();
        changed.add(self.modified.clone());
        changed
    }

    /// Drops what a write does not reach.
    pub(super) fn ignore(&mut self, ignored: &[&[&str]]) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            ignored.iter().for_each(|path| set.remove_field(path));
        }
    }

    /// Adds what else differs.
    pub(super) fn add(&mut self, other: Self) {
        self.added.add(other.added);
        self.modified.add(other.modified);
        self.removed.add(other.removed);
    }

    /// The same seen from around the element that differs so.
    pub(super) fn inside(self, element: &Element<'_>) -> Self {
        let mut around = Self::default();
        around.insert_children(element, self);
        around
    }

    fn insert_children(&mut self, element: &Element<'_>, children: Self) {
        let sets = [&mut self.added, &mut self.modified, &mut self.removed];
        for (set, children) in sets.into_iter().zip([children.added, children.modified, children.removed]) {
            if !children.is_empty() {
                set.put(element.owned(), false, children);
            }
        }
    }
}

/// The paths in which `new` differs from `old`.
pub(super) fn compare(old: &Value, new: &Value, schema: Schema<'_>) -> Comparison {
    let mut found = Comparison::default();
    compare_content(Some(old), Some(new), Some(schema), &mut found);
    found
}

/// The paths in which an object differs by one of its fields, which it has now.
pub(super) fn compare_field(name: &str, old: Option<&Value>, new: &Value, around: Schema<'_>) -> Comparison {
    let mut found = Comparison::default();
    let inner = around.field(name);
    let zero = if old.is_none() { always::zero(inner) } else { None };
    compare_element(old.or(zero.as_ref()), Some(new), inner, &Element::field(name), &mut found);
    found
}

/// Compares what is in two values of which at least one is there.
fn compare_content(old: Option<&Value>, new: Option<&Value>, place: Place<'_>, found: &mut Comparison) {
    if old == new {
        return;
    }
    let (old_parts, new_parts) = (old.map(|it| shape::parts(it, place)), new.map(|it| shape::parts(it, place)));
    match (&old_parts, &new_parts) {
        (Some(Parts::Object(_)), _) | (_, Some(Parts::Object(_))) => compare_fields(old, new, place, found),
        (Some(Parts::List(_)), _) | (_, Some(Parts::List(_))) => {
            let list = |value: Option<Parts<'_>>| match value {
                Some(Parts::List(_)) => true,
                Some(_) | None => false,
            };
            let old = old.filter(|_| list(old_parts)).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let new = new.filter(|_| list(new_parts)).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            compare_items(old, new, place, found);
        }
        _ => {}
    }
}

fn compare_fields(old: Option<&Value>, new: Option<&Value>, place: Place<'_>, found: &mut Comparison) {
    let old_fields = old.and_then(Value::as_object);
    let new_fields = new.and_then(Value::as_object);
    let mut compare = |name: &str, old_value: Option<&Value>, new_value: Option<&Value>| {
        if old_value == new_value {
            return;
        }
        let inner = shape::field(place, name);
        // Some fields are there in every object.
        let filled = |value: Option<&Value>, is_there: bool| {
            if value.is_none() && is_there { always::zero(inner) } else { None }
        };
        let old_zero = filled(old_value, old_fields.is_some());
        let new_zero = filled(new_value, new_fields.is_some());
        let (old_value, new_value) = (old_value.or(old_zero.as_ref()), new_value.or(new_zero.as_ref()));
        compare_element(old_value, new_value, inner, &Element::field(name), found);
    };
    for (name, value) in old_fields.into_iter().flatten() {
        compare(name, Some(value), new_fields.and_then(|fields| fields.get(name)));
    }
    for (name, value) in new_fields.into_iter().flatten() {
        if old_fields.is_none_or(|fields| !fields.contains_key(name)) {
            compare(name, None, Some(value));
        }
    }
}

fn compare_items(old: &[Value], new: &[Value], place: Place<'_>, found: &mut Comparison) {
    let (old, new) = (shape::index(old, place), shape::index(new, place));
    let inner = shape::items(place);
    for element in old.keys().chain(new.keys().filter(|element| !old.contains_key(*element))) {
        let (old_item, new_item) = (old.get(element), new.get(element));
        let element = &Element::Item(element.as_str().into());
        match (old_item, new_item) {
            // Duplicates are compared as a whole.
            (Some(Item::Several(old)), Some(Item::Several(new))) => {
                if old != new {
                    insert(&mut found.modified, element);
                }
            }
            (Some(Item::Several(_)), new) => {
                if let Some(new) = new {
                    compare_element(None, Some(new.first()), inner, element, found);
                }
                insert(&mut found.removed, element);
            }
            (old, Some(Item::Several(_))) => {
                if let Some(old) = old {
                    compare_element(Some(old.first()), None, inner, element, found);
                }
                insert(&mut found.added, element);
            }
            (old, new) => compare_element(old.map(Item::first), new.map(Item::first), inner, element, found),
        }
    }
}

fn insert(set: &mut FieldSet<'static>, element: &Element<'_>) {
    set.put(element.owned(), true, FieldSet::default());
}

fn compare_element(
    old: Option<&Value>,
    new: Option<&Value>,
    place: Place<'_>,
    element: &Element<'_>,
    found: &mut Comparison,
) {
    if old == new {
        return;
    }
    let is_whole = |value: Option<&Value>| value.is_none_or(|value| matches!(shape::parts(value, place), Parts::Whole));
    let is_empty = |value: Option<&Value>| value.is_none_or(shape::is_empty);
    let is_leaf = (is_whole(old) && is_whole(new)) || (is_empty(old) && is_empty(new));
    match (old, new) {
        (None, _) => insert(&mut found.added, element),
        (_, None) => insert(&mut found.removed, element),
        // What is no longer taken apart, or only now, is another value; unless it was just empty.
        _ if is_leaf || is_other_shape(old, new, place) => insert(&mut found.modified, element),
        _ => {}
    }
    if !is_leaf {
        let mut children = Comparison::default();
        compare_content(old, new, place, &mut children);
        found.insert_children(element, children);
    }
}

fn is_other_shape(old: Option<&Value>, new: Option<&Value>, place: Place<'_>) -> bool {
    let is_whole = |value: Option<&Value>| {
        value.is_some_and(|value| !value.is_null() && matches!(shape::parts(value, place), Parts::Whole))
    };
    is_whole(old) != is_whole(new)
}

//! Sets of paths that were recorded when the schema was another one.

use super::fields::{Element, FieldSet};
use super::shape::{self, Place};
use crate::description::{Schema, Type};

/// Where the schema has one owner for the whole but the set names parts, the set gets the whole.
pub(super) fn reconcile(set: &mut FieldSet<'_>, schema: Schema<'_>) {
    let mut atomic = Vec::new();
    find_atomic(set, Some(schema), &mut Vec::new(), &mut atomic);
    for path in atomic {
        set.replace_by_whole(&path);
    }
}

/// Finds the paths of parts whose whole is atomic by now.
fn find_atomic<'a>(
    set: &'a FieldSet<'_>,
    place: Place<'_>,
    path: &mut Vec<&'a Element<'a>>,
    found: &mut Vec<Vec<Element<'static>>>,
) {
    let Some(schema) = place else { return };
    for node in set.branches() {
        let inner = match &node.element {
            Element::Field(name) => shape::field(place, name),
            Element::Item(_) => schema.items(),
        };
        let Some(inner) = inner else { continue };
        path.push(&node.element);
        let has_owners = matches!(inner.r#type(), Type::Struct(_) | Type::Map(_) | Type::List(_));
        if has_owners && inner.is_atomic() {
            found.push(path.iter().map(|element| element.owned()).collect());
        } else {
            find_atomic(&node.children, Some(inner), path, found);
        }
        path.pop();
    }
}

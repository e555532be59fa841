//! Sets of paths that were recorded when the schema was another one.

use super::FieldSet;
use super::fields::Children;
use super::shape::{self, Place};
use crate::description::{Schema, Type};

/// Where the schema has one owner for the whole but the set names parts, the set gets the whole.
pub(super) fn reconcile(set: &mut FieldSet, schema: Schema<'_>) {
    let mut atomic = Vec::new();
    find_atomic(set.children(), Some(schema), &mut Vec::new(), &mut atomic);
    for path in atomic {
        set.replace_by_whole(&path);
    }
}

/// Finds the paths of parts whose whole is atomic by now.
fn find_atomic<'a>(set: Children<'a>, place: Place<'_>, path: &mut Vec<&'a str>, found: &mut Vec<Vec<String>>) {
    let Some(schema) = place else { return };
    for (element, node) in set.branches() {
        let inner = match element.strip_prefix("f:") {
            Some(name) => shape::field(place, name),
            None => schema.items(),
        };
        let Some(inner) = inner else { continue };
        path.push(element);
        let has_owners = matches!(inner.r#type(), Type::Struct(_) | Type::Map(_) | Type::List(_));
        if has_owners && inner.is_atomic() {
            found.push(path.iter().map(|element| (*element).to_owned()).collect());
        } else {
            find_atomic(node.children(), Some(inner), path, found);
        }
        path.pop();
    }
}

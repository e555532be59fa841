//! Applies of those who give nothing up, to an object whose managers stand beside it.
//!
//! Of the other managers nothing is read but who they are, unless they own what changes.

use serde_json::Value;

use super::compare::compare;
use super::recorded::{self, Owner};
use super::stored::Cursor;
use super::{Apart, Force, Kind, Manager, claim, claimed, last_applied, merge, wanted};
use crate::time;

/// What [`super::apply_apart`] returns for such an apply. `None` for all others, and for those that are refused.
pub(super) fn apply(
    live: Apart<'_>,
    applied: &Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
) -> Option<(Value, Option<Vec<u8>>)> {
    if applied.pointer("/metadata/managedFields").is_some()
        || (manager.name == last_applied::KUBECTL
            && [live.object, applied].into_iter().any(|object| last_applied::annotation(object).is_some()))
    {
        return None;
    }
    let mut cursor = Cursor::new(live.managers);
    let mut list = recorded::read(&mut cursor, manager.api_version, kind.schema).filter(|list| !list.is_empty())?;
    let examined = claim::examined(applied, kind.schema);
    if !examined.problems.is_empty() {
        return None;
    }
    let wanted = wanted(applied, examined.is_canonical, kind);
    let owned = claimed(&wanted, kind).encoded();
    let own = list.iter().position(|entry| entry.applies_as(manager)).map(|place| list.remove(place));
    if owned.is_empty() || own.is_some_and(|own| own.fields != owned && !recorded::is_within(own.fields, &owned)) {
        return None;
    }
    let mut merged = live.object.clone();
    merge::merge(&mut merged, &wanted, Some(kind.schema));
    let now = time::format(manager.now);
    let losses;
    if merged == *live.object {
        // Nobody loses anything.
        let mut own = own.unwrap_or(Owner::agreeing(manager, &owned));
        own.fields = &owned;
        list.push(own);
    } else {
        let mut comparison = compare(live.object, &merged, kind.schema);
        comparison.ignore(kind.ignored);
        losses = recorded::losses(&list, &comparison, force)?;
        recorded::lose(&mut list, &losses);
        list.push(Owner::changing(manager, &now, &owned));
    }
    list.sort_by(Owner::order);
    Some((merged, Some(recorded::write(&list, manager.api_version))))
}

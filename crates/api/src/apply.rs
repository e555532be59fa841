//! Server-side apply, and who owns which field.
//!
//! Source: `sigs.k8s.io/structured-merge-diff` and KEP-555. Each manager owns a set of paths. An
//! apply merges the applied object into the live one, gives the applied paths to its manager,
//! removes what that manager owned before and nobody owns now, and is refused if it changes what
//! others own, unless forced. Any other write takes the ownership of what it changes.

use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::description::Schema;

mod conflict;
mod created;
mod fields;
mod managers;
#[cfg(test)]
mod tests;
mod walk;

pub use conflict::{Conflict, Conflicts};
pub use created::managers_of_new;
pub use fields::FieldSet;
use managers::{Entry, Managers, Operation};

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// Name: the `fieldManager` parameter, or what comes before the `/` of the user agent.
    pub name: &'a str,
    /// `group/version` of the request.
    pub api_version: &'a str,
    /// Subresource that is written; empty for the object itself.
    pub subresource: &'a str,
    /// The time of the request.
    pub now: Timestamp,
}

/// What happens if others own a field that is applied with another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// The apply is refused.
    No,
    /// They lose it.
    Yes,
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The applied object is not fit to be applied.
    #[error("{0}")]
    Invalid(String),
    /// Others own fields that would change.
    #[error("{0}")]
    Conflicts(Conflicts),
}

/// Merges `applied` into `live` by the schema of their kind. Nobody's ownership changes.
pub fn merge(live: &Value, applied: &Value, schema: Schema<'_>) -> Value {
    walk::merge(live, applied, schema)
}

/// Applies `applied` to `live` and returns the new object with its `managedFields`.
///
/// `applied` should be pruned. The result equals `live` if the apply changes nothing: then nothing
/// is to be written. Defaults are the caller's to fill in afterwards.
///
/// # Errors
/// The applied object has fields that its kind lacks, items that cannot be told apart, or
/// `managedFields`; or it changes what others own and `force` does not allow that.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    schema: Schema<'_>,
    manager: &Manager<'_>,
    force: Force,
) -> Result<Value, Error> {
    let mut applied = applied.clone();
    let metadata = applied.get_mut("metadata").and_then(Value::as_object_mut);
    if metadata.is_some_and(|metadata| metadata.get("managedFields").is_some_and(|it| !it.is_null())) {
        return Err(Error::Invalid("metadata.managedFields must be nil".into()));
    }
    reset(&mut applied, schema, manager.subresource);
    let mut owned = walk::field_set(&applied, schema).map_err(|problem| {
        let kind = schema
            .definition()
            .and_then(|it| it.kind.as_ref())
            .map(|kind| kind.borrowed().to_string())
            .unwrap_or_default();
        let name = |field| applied.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or_default();
        let name = [name("namespace"), name("name")].join("/");
        let name = name.trim_start_matches('/');
        Error::Invalid(format!("failed to create typed patch object ({name}; {kind}): {problem}"))
    })?;
    owned.strip();

    let nothing = Value::Object(Map::new());
    let mut managers = Managers::of(live);
    if let Some(live) = live.filter(|_| managers.entries.is_empty()) {
        managers.entries.extend(before_first_apply(live, schema, manager));
    }
    let live = live.unwrap_or(&nothing);
    let mut merged = walk::merge(live, &applied, schema);
    if let Some(metadata) = merged.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let before = managers.take(manager, Operation::Apply);
    if let Some(before) = &before {
        let mut everything = owned.clone();
        managers.entries.iter().for_each(|entry| everything.add(&entry.fields));
        walk::prune(&mut merged, schema, before.fields.children(), everything.children());
    }
    let mut comparison = walk::compare(live, &merged, schema);
    comparison.strip();
    let changed = comparison.changed();
    let conflicts = managers.conflicts(&changed, manager.api_version);
    if force == Force::No && !conflicts.is_empty() {
        return Err(Error::Conflicts(conflicts));
    }
    managers.take_away(&changed, &comparison.removed, manager.api_version);
    if !owned.is_empty() {
        let unchanged = before.filter(|before| before.fields == owned && before.api_version == manager.api_version);
        managers.entries.push(unchanged.unwrap_or_else(|| Entry::new(manager, Operation::Apply, owned)));
    }
    managers.store(&mut merged);
    Ok(merged)
}

/// Records in `new` that `manager` wrote what differs between it and `live`.
///
/// `live` is `None` for a new object. To be called on the object that will be stored, after
/// defaults are filled in.
pub fn track_update(live: Option<&Value>, new: &mut Value, schema: Schema<'_>, manager: &Manager<'_>) {
    let given = new.pointer_mut("/metadata/managedFields").map(Value::take).unwrap_or_default();
    let given_entries = given.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_reset = matches!(given_entries, [Value::Object(entry)] if entry.is_empty());
    // Who writes the object itself may rewrite the list, as kubectl does to take over fields.
    let may_rewrite = !given_entries.is_empty() && manager.subresource.is_empty();
    let is_as_before = live.is_some_and(|live| live.pointer("/metadata/managedFields") == Some(&given));
    let mut managers = match given {
        _ if is_reset => Managers::default(),
        given if may_rewrite || is_as_before => Managers::from_value(given),
        _ => Managers::of(live),
    };
    let had_none = live.is_some() && managers.entries.is_empty();
    let nothing = Value::Object(Map::new());
    let mut comparison = walk::compare(live.unwrap_or(&nothing), new, schema);
    comparison.strip();
    let changed = comparison.changed();
    let is_nobodys = is_reset || (had_none && changed.is_empty());
    if !is_nobodys {
        let before = managers.take(manager, Operation::Update);
        managers.take_away(&changed, &comparison.removed, manager.api_version);
        let mut owned = before.as_ref().map(|before| before.fields.clone()).unwrap_or_default();
        owned.remove(&comparison.removed);
        owned.add(&changed);
        if !owned.is_empty() {
            let unchanged = before.filter(|_| comparison.is_same());
            managers.entries.push(unchanged.unwrap_or_else(|| Entry::new(manager, Operation::Update, owned)));
        }
        managers.limit_updates();
    }
    managers.store(new);
}

/// Fields that a write to this subresource cannot change.
fn reset(applied: &mut Value, schema: Schema<'_>, subresource: &str) {
    let has_status = schema.definition().is_some_and(|definition| definition.has_status);
    let Some(fields) = applied.as_object_mut() else { return };
    if subresource == "status" {
        fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    } else if has_status {
        fields.remove("status");
    }
}

/// An owner for the fields of an object that was written before anyone was recorded.
fn before_first_apply(live: &Value, schema: Schema<'_>, manager: &Manager<'_>) -> Option<Entry> {
    let mut comparison = walk::compare(&Value::Object(Map::new()), live, schema);
    comparison.strip();
    let manager = Manager { name: "before-first-apply", subresource: "", ..*manager };
    (!comparison.added.is_empty()).then(|| Entry::new(&manager, Operation::Update, comparison.added))
}

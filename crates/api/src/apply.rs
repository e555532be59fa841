//! Server-side apply, and who owns which field.
//!
//! Source: `sigs.k8s.io/structured-merge-diff` and KEP-555. Each manager owns a set of paths. An
//! apply merges the applied object into the live one, gives the applied paths to its manager,
//! removes what that manager owned before and nobody owns now, and is refused if it changes what
//! others own, unless forced. Any other write takes the ownership of what it changes.

use std::borrow::Cow;

use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::description::Schema;

mod always;
mod changed;
mod claim;
mod compare;
mod conflict;
mod created;
mod edit;
pub(crate) mod encoded;
mod fields;
mod in_place;
mod known;
mod last_applied;
mod managers;
mod manifest;
mod merge;
pub(crate) mod paths;
mod reconcile;
mod recorded;
mod scale;
mod segments;
mod shape;
mod stored;
#[cfg(test)]
mod tests;
mod walk;

pub use conflict::{Conflict, Conflicts};
pub use created::managers_of_new;
use fields::FieldSet;
pub use in_place::{InPlace, apply_in_place};
pub(crate) use managers::Operation;
use managers::{Entry, Managers, Versions};
pub use manifest::{Fields, Items, Manifest, Part};
pub use scale::{ReplicasPath, replicas_of_parent, replicas_to_parent};

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

impl<'a> Manager<'a> {
    /// The name as it is written down.
    fn recorded_name(&self) -> &'a str {
        recorded_name(self.name)
    }
}

/// The name of a manager as it is written down.
pub(crate) fn recorded_name(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}

/// An object as a version has it, with the schema of that version.
pub type Versioned<'v, 'a> = (Cow<'v, Value>, Schema<'a>);

/// What is written.
#[derive(Clone, Copy)]
pub struct Kind<'a> {
    /// The schema of the kind in the version of the request.
    pub schema: Schema<'a>,
    /// Fields that the write cannot change: nobody owns them by it.
    pub ignored: &'a [&'a [&'a str]],
    /// The object as another `group/version` has it; `None` if that is not served.
    pub convert: &'a dyn for<'v> Fn(&'v Value, &str) -> Option<Versioned<'v, 'a>>,
}

/// A stored object whose managers stand beside it, still encoded.
#[derive(Debug, Clone, Copy)]
pub struct Apart<'a> {
    /// The object without `managedFields`.
    pub object: &'a Value,
    /// What stands there; empty if nothing does.
    pub managers: &'a [u8],
}

/// Where the managers of an object stand.
#[derive(Debug, Clone, Copy)]
enum Recorded<'a> {
    /// In its metadata.
    Inside(Option<&'a Value>),
    /// Beside it, encoded.
    Apart(&'a [u8]),
}

impl<'a> Recorded<'a> {
    /// The managers; none if the list is malformed.
    fn managers(self) -> Managers<'a> {
        match self {
            Self::Inside(object) => Managers::of(object),
            Self::Apart([]) => Managers::default(),
            Self::Apart(list) => Managers::parse(list).unwrap_or_default(),
        }
    }
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
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The applied object does not fit its schema.
    #[error("{0}")]
    Untyped(String),
    /// Others own fields that would change.
    #[error("{0}")]
    Conflicts(Conflicts),
}

/// Merges `applied` into `live` by the schema of their kind. Nobody's ownership changes.
///
/// # Errors
/// The applied object does not fit the schema.
pub fn merge(live: &Value, applied: &Value, schema: Schema<'_>) -> Result<Value, String> {
    let problems = claim::examined(applied, schema).problems;
    if !problems.is_empty() {
        return Err(listed(&problems));
    }
    let mut merged = live.clone();
    merge::merge(&mut merged, applied, Some(schema));
    Ok(merged)
}

/// Applies `applied` to `live` and returns the new object with its `managedFields`.
///
/// `applied` is the object as the client sent it: not pruned, nulls included. The result equals
/// `live` if the apply changes nothing: then nothing is to be written. To drop nulls and fill in
/// defaults is the caller's matter.
///
/// # Errors
/// The applied object has fields that its kind lacks, items that cannot be told apart, or
/// `managedFields`; or it changes what others own and `force` does not allow that.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
) -> Result<Value, Error> {
    let recorded = Recorded::Inside(live);
    let (mut object, managers) =
        apply_to(live, recorded, applied, kind, manager, force, |managers| managers.into_list())?;
    managers::store(managers, &mut object);
    Ok(object)
}

/// The same for an object whose managers stand beside it. Returns the new object without them, and the new
/// `managedFields`, encoded; `None` if nobody owns anything.
///
/// # Errors
/// As [`apply`].
pub fn apply_apart(
    live: Option<Apart<'_>>,
    applied: &Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
) -> Result<(Value, Option<Vec<u8>>), Error> {
    if let Some(applied) = live.and_then(|live| changed::apply(live, applied, kind, manager, force)) {
        return Ok(applied);
    }
    let recorded = Recorded::Apart(live.map_or(b"", |live| live.managers));
    apply_to(live.map(|live| live.object), recorded, applied, kind, manager, force, |managers| managers.encode())
}

/// `finish` gives the managers the form that the caller wants.
fn apply_to<T>(
    live: Option<&Value>,
    recorded: Recorded<'_>,
    applied: &Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
    finish: impl Fn(Managers<'_>) -> Option<T>,
) -> Result<(Value, Option<T>), Error> {
    if applied.pointer("/metadata/managedFields").is_some_and(|it| !it.is_null()) {
        return Err(Error::BadRequest("metadata.managedFields must be nil".into()));
    }
    let examined = claim::examined(applied, kind.schema);
    if !examined.problems.is_empty() {
        return Err(Error::Untyped(untyped(applied, &examined.problems)));
    }
    let wanted = wanted(applied, examined.is_canonical, kind);
    let apply_fields = |force| apply_fields(live, recorded, &wanted, kind, manager, force, &finish);
    let outcome = match apply_fields(force) {
        // What client-side apply set is not in the way of its successor.
        Err(mut conflicts) if manager.name == last_applied::KUBECTL => {
            if let Some(live) = live {
                last_applied::allow_unchanged(&mut conflicts, live, kind.schema, manager.api_version);
            }
            if conflicts.is_empty() { apply_fields(Force::Yes) } else { Err(conflicts) }
        }
        outcome => outcome,
    };
    let (mut object, managers) = outcome.map_err(Error::Conflicts)?;
    if manager.name == last_applied::KUBECTL {
        last_applied::update(&mut object, applied);
    }
    Ok((object, managers))
}

/// Why an object cannot be applied.
fn untyped(applied: &Value, problems: &[String]) -> String {
    format!("failed to create typed patch object ({}): {}", shown(applied), listed(problems))
}

fn listed(problems: &[String]) -> String {
    match problems {
        [problem] => problem.clone(),
        problems => format!("errors:\n  {}", problems.join("\n  ")),
    }
}

/// Why the result of an apply is not of the types of its kind.
pub fn unconverted(applied: &Value, problem: &str) -> String {
    format!(
        "failed to convert new object ({}) to proper version: unable to convert unstructured object to {}: {problem}",
        shown(applied),
        shown_kind(applied),
    )
}

/// What upstream calls an object: `namespace/name; apps/v1, Kind=Deployment`.
fn shown(applied: &Value) -> String {
    let text = |path| applied.pointer(path).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}; {}", text("/metadata/namespace"), text("/metadata/name"), shown_kind(applied))
}

fn shown_kind(applied: &Value) -> String {
    let text = |name| applied.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={}", text("kind"))
}

fn apply_fields<T>(
    live: Option<&Value>,
    recorded: Recorded<'_>,
    applied: &Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    force: Force,
    finish: impl Fn(Managers<'_>) -> Option<T>,
) -> Result<(Value, Option<T>), Conflicts> {
    let owned = claimed(applied, kind);
    let nothing = Value::Object(Map::new());
    let mut managers = recorded.managers();
    let recorded_none = managers.entries.is_empty();
    if let Some(live) = live.filter(|_| recorded_none) {
        managers.entries.extend(before_first_apply(live, kind, manager));
    }
    let live = live.unwrap_or(&nothing);
    let versions = Versions { kind, version: manager.api_version };
    managers.reconcile(live, &versions);
    let mut merged = without_managers(live);
    merge::merge(&mut merged, applied, Some(kind.schema));
    let before = managers.take(manager, Operation::Apply);
    if let Some(before) = before.as_ref().filter(|before| !before.fields.is_within(&owned)) {
        let owners = managers.owned_with(&owned);
        if let Some((_, schema)) = versions.of(&merged, &before.api_version) {
            let whole =
                managers.others(manager.api_version, &before.api_version).map(|others| (others, merged.clone()));
            merge::prune(&mut merged, Some(schema), &before.fields, &owners);
            for (other, whole) in whole.iter().flat_map(|(others, whole)| others.iter().map(move |it| (it, whole))) {
                // Versions in which the object has other fields are not looked at.
                if let Some((Cow::Borrowed(_), schema)) = versions.of(whole, other) {
                    merge::restore(&mut merged, whole, Some(schema));
                }
            }
        }
    }
    let is_same = is_same(live, &merged);
    if is_same {
        // Nobody loses anything.
        managers.entries.retain(|entry| !entry.fields.is_empty() && versions.of(live, &entry.api_version).is_some());
    } else {
        managers.give_up(live, &merged, &versions, force)?;
    }
    if is_same && owned.is_empty() && recorded_none {
        // Says nothing and changes nothing: nor is it recorded who owned what before.
        return Ok((merged, None));
    }
    if !owned.is_empty() {
        let mut entry = Entry::new(manager, Operation::Apply, owned);
        if is_same {
            entry.time = before.and_then(|before| before.time);
        }
        managers.entries.push(entry);
    }
    Ok((merged, finish(managers)))
}

/// What is wanted of an applied object: what the write can change, in the form in which it is stored.
fn wanted<'v>(applied: &'v Value, is_canonical: bool, kind: &Kind<'_>) -> Cow<'v, Value> {
    if is_canonical && !reaches_ignored(applied, kind) {
        return Cow::Borrowed(applied);
    }
    let mut wanted = merge::canonical(applied, kind.schema);
    ignore(&mut wanted, kind.ignored);
    Cow::Owned(wanted)
}

/// Whether an applied object says something of what the write cannot change.
fn reaches_ignored(applied: &Value, kind: &Kind<'_>) -> bool {
    let is_there = |path: &&[&str]| path.iter().try_fold(applied, |value, name| value.get(*name)).is_some();
    kind.ignored.iter().any(is_there)
}

/// The paths that are claimed with what is wanted.
fn claimed<'v>(wanted: &'v Value, kind: &Kind<'_>) -> FieldSet<'v> {
    let mut owned = claim::field_set(wanted, Some(kind.schema));
    ignored(kind.ignored, &mut owned);
    owned.strip();
    owned
}

/// An object that does not say who owns its fields.
fn without_managers(object: &Value) -> Value {
    let Some(fields) = object.as_object() else { return object.clone() };
    let kept = |(name, value): (&String, &Value)| {
        let metadata = value.as_object().filter(|_| name == "metadata");
        let value = metadata.map_or_else(
            || value.clone(),
            |metadata| {
                let kept = metadata.iter().filter(|(name, _)| *name != "managedFields");
                Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
            },
        );
        (name.clone(), value)
    };
    Value::Object(fields.iter().map(kept).collect())
}

/// Whether two objects are the same but for who owns their fields.
fn is_same(live: &Value, merged: &Value) -> bool {
    let (Some(live), Some(merged)) = (live.as_object(), merged.as_object()) else { return live == merged };
    let metadata_is_same = || {
        let count =
            |metadata: &Map<String, Value>| metadata.len() - usize::from(metadata.contains_key("managedFields"));
        match (live.get("metadata").and_then(Value::as_object), merged.get("metadata").and_then(Value::as_object)) {
            (Some(live), Some(merged)) => {
                let mut fields = live.iter().filter(|(name, _)| *name != "managedFields");
                count(live) == count(merged) && fields.all(|(name, value)| merged.get(name) == Some(value))
            }
            (live, merged) => live == merged,
        }
    };
    live.len() == merged.len()
        && live.iter().filter(|(name, _)| *name != "metadata").all(|(name, value)| merged.get(name) == Some(value))
        && metadata_is_same()
}

/// Records in `new` that `manager` wrote what differs between it and `live`.
///
/// `live` is `None` for a new object. To be called on the object as the client wants it, after
/// defaults are filled in and before anything else is.
pub fn track_update(live: Option<&Value>, new: &mut Value, kind: &Kind<'_>, manager: &Manager<'_>) {
    let list = track(live, Recorded::Inside(live), new, kind, manager, |managers| managers.into_list());
    managers::store(list, new);
}

/// The same for an object whose managers stand beside it. Returns the new `managedFields`, encoded, and takes
/// those out of `new` that a client may have given; `None` if nobody owns anything.
pub fn track_update_apart(live: Apart<'_>, new: &mut Value, kind: &Kind<'_>, manager: &Manager<'_>) -> Option<Vec<u8>> {
    track(Some(live.object), Recorded::Apart(live.managers), new, kind, manager, |managers| managers.encode())
}

fn track<T>(
    live: Option<&Value>,
    recorded: Recorded<'_>,
    new: &mut Value,
    kind: &Kind<'_>,
    manager: &Manager<'_>,
    finish: impl FnOnce(Managers<'_>) -> Option<T>,
) -> Option<T> {
    let metadata = new.get_mut("metadata").and_then(Value::as_object_mut);
    let given = metadata.and_then(|metadata| metadata.remove("managedFields")).unwrap_or_default();
    // Who writes a subresource has no say in who owns what; else a list may be given, as kubectl
    // does to take over fields, and one with nothing in it starts anew.
    let is_reset = manager.subresource.is_empty()
        && given.as_array().is_some_and(|entries| match &entries[..] {
            [] => true,
            [Value::Object(entry)] => entry.is_empty(),
            _ => false,
        });
    let given = if manager.subresource.is_empty() { Managers::read(&given) } else { None };
    let mut managers = match given.filter(|given| !given.entries.is_empty()) {
        _ if is_reset => Managers::default(),
        Some(given) => given,
        None => recorded.managers(),
    };
    if live.is_some() && managers.entries.is_empty() {
        // Until the first apply to an object that nobody is recorded for, nobody is.
        return finish(managers);
    }
    let nothing = Value::Object(Map::new());
    let live = live.unwrap_or(&nothing);
    let versions = Versions { kind, version: manager.api_version };
    managers.reconcile(live, &versions);
    let mut comparison = compare::compare(live, new, kind.schema);
    comparison.ignore(kind.ignored);
    managers.take_changed(live, new, &comparison, &versions);
    let mut changed = comparison.changed();
    changed.strip();
    if !changed.is_empty() {
        if let Some(before) = managers.take(manager, Operation::Update) {
            changed.add(before.fields);
        }
        managers.entries.push(Entry::new(manager, Operation::Update, changed));
    }
    managers.limit_updates();
    finish(managers)
}

/// Drops fields that a write cannot change.
fn ignore(object: &mut Value, ignored: &[&[&str]]) {
    for path in ignored {
        let Some((last, way)) = path.split_last() else { continue };
        let mut place = Some(&mut *object);
        for name in way {
            place = place.and_then(|value| value.get_mut(*name));
        }
        if let Some(Value::Object(fields)) = place {
            fields.remove(*last);
        }
    }
}

fn ignored(paths: &[&[&str]], set: &mut FieldSet<'_>) {
    paths.iter().for_each(|path| set.remove_field(path));
}

/// An owner for the fields of an object that was written before anyone was recorded.
fn before_first_apply<'a>(live: &Value, kind: &Kind<'_>, manager: &Manager<'a>) -> Option<Entry<'a>> {
    let mut comparison = compare::compare(&Value::Object(Map::new()), live, kind.schema);
    comparison.ignore(kind.ignored);
    let mut owned = comparison.changed();
    owned.strip();
    let manager = Manager { name: "before-first-apply", ..*manager };
    (!owned.is_empty()).then(|| Entry::new(&manager, Operation::Update, owned))
}

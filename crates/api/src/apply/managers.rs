//! The list of managers in `metadata.managedFields`.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::compare::{Comparison, compare};
use super::{Conflict, Conflicts, FieldSet, Force, Kind, Manager, Versioned, reconcile};
use crate::time;

/// At most this many managers that update are told apart; the changes of older ones are merged.
const UPDATE_LIMIT: usize = 10;

/// The manager of merged older changes.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager and what it owns.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

impl Entry {
    pub(super) fn new(manager: &Manager<'_>, operation: Operation, fields: FieldSet) -> Self {
        Self {
            manager: if manager.name.is_empty() { "unknown" } else { manager.name }.to_owned(),
            operation,
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
            time: Some(time::format(manager.now)),
            fields,
        }
    }

    fn from_value(mut value: Value) -> Option<Self> {
        let fields = FieldSet::from_value(value.get_mut("fieldsV1").map(Value::take).unwrap_or_default());
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" || !fields.is_well_formed() {
            return None;
        }
        Some(Self {
            manager: text("manager").to_owned(),
            operation,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: value.get("time").and_then(Value::as_str).map(str::to_owned),
            fields,
        })
    }

    fn into_value(self) -> Value {
        let mut value = json!({
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
            "manager": self.manager,
            "operation": self.operation.name(),
        });
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.as_str().into();
        }
        if let Some(time) = &self.time {
            value["time"] = time.as_str().into();
        }
        value["fieldsV1"] = self.fields.into_value();
        value
    }

    /// How messages name it.
    fn describe(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    pub(super) fn is(&self, manager: &Manager<'_>, operation: Operation) -> bool {
        self.manager == if manager.name.is_empty() { "unknown" } else { manager.name }
            && self.operation == operation
            && self.subresource == manager.subresource
            // A manager applies with one version at a time.
            && (operation == Operation::Apply || self.api_version == manager.api_version)
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(time::parse).map_or(0, |time| time.as_second())
    }

    fn order(&self) -> (Operation, i64, &str, &str, &str) {
        (self.operation, self.seconds(), &self.manager, &self.api_version, &self.subresource)
    }
}

/// The versions of the object that is written.
pub(super) struct Versions<'k, 'a> {
    pub(super) kind: &'k Kind<'a>,
    /// That of the request.
    pub(super) version: &'k str,
}

impl<'a> Versions<'_, 'a> {
    /// The object in a version. `None` if that is not served.
    pub(super) fn of<'v>(&self, object: &'v Value, version: &str) -> Option<Versioned<'v, 'a>> {
        if version == self.version {
            return Some((Cow::Borrowed(object), self.kind.schema));
        }
        (self.kind.convert)(object, version)
    }

    fn compare(&self, old: &Value, new: &Value, version: &str) -> Option<Comparison> {
        let (old, schema) = self.of(old, version)?;
        let (new, _) = self.of(new, version)?;
        let mut comparison = compare(&old, &new, schema);
        comparison.ignore(self.kind.ignored);
        Some(comparison)
    }
}

/// All managers of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Managers {
    pub(super) entries: Vec<Entry>,
}

impl Managers {
    /// The managers that an object names; none if the list is malformed.
    pub(super) fn of(object: Option<&Value>) -> Self {
        let list = object.and_then(|it| it.pointer("/metadata/managedFields"));
        list.cloned().and_then(Self::from_value).unwrap_or_default()
    }

    /// The managers of a list; `None` if it is malformed.
    pub(super) fn from_value(list: Value) -> Option<Self> {
        let Value::Array(entries) = list else { return None };
        let mut managers = Self { entries: entries.into_iter().map(Entry::from_value).collect::<Option<_>>()? };
        // Entries of one manager count as one.
        let mut known: Vec<(String, Operation, String, String)> = Vec::new();
        managers.entries.retain(|entry| {
            let version = if entry.operation == Operation::Apply { String::new() } else { entry.api_version.clone() };
            let id = (entry.manager.clone(), entry.operation, version, entry.subresource.clone());
            let is_new = !known.contains(&id);
            known.push(id);
            is_new
        });
        Some(managers)
    }

    /// Takes a manager out of the list.
    pub(super) fn take(&mut self, manager: &Manager<'_>, operation: Operation) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.is(manager, operation))?;
        Some(self.entries.remove(index))
    }

    /// Fits what is owned to the schemas of today.
    pub(super) fn reconcile(&mut self, live: &Value, versions: &Versions<'_, '_>) {
        for entry in &mut self.entries {
            if let Some((_, schema)) = versions.of(live, &entry.api_version) {
                reconcile::reconcile(&mut entry.fields, schema);
            }
        }
    }

    /// What anyone owns: those in the list, or who applies `applied`.
    ///
    /// Sets of other versions are taken as they are: a field has one name in most versions, and to
    /// keep one that nobody owns is the lesser harm.
    pub(super) fn owned_with(&self, applied: &FieldSet) -> FieldSet {
        let mut owned = applied.clone();
        self.entries.iter().for_each(|entry| owned.add(&entry.fields));
        owned
    }

    /// Ends the ownership of what an apply changed or removed. Managers of versions that are gone are
    /// dropped.
    ///
    /// # Errors
    /// What the managers in the list own and would lose, unless that is forced.
    pub(super) fn give_up(
        &mut self,
        old: &Value,
        new: &Value,
        versions: &Versions<'_, '_>,
        force: Force,
    ) -> Result<(), Conflicts> {
        let mut comparisons: HashMap<String, Option<Comparison>> = HashMap::new();
        for entry in &self.entries {
            comparisons
                .entry(entry.api_version.clone())
                .or_insert_with(|| versions.compare(old, new, &entry.api_version));
        }
        let comparison = |entry: &Entry| comparisons.get(&entry.api_version).and_then(Option::as_ref);
        self.entries
            .sort_by(|left, right| left.manager.cmp(&right.manager).then_with(|| left.order().cmp(&right.order())));
        let mut conflicts = Vec::new();
        for entry in &self.entries {
            let Some(comparison) = comparison(entry) else { continue };
            let common = entry.fields.common(&comparison.changed());
            let manager = entry.describe();
            conflicts
                .extend(common.paths().into_iter().map(|(field, path)| Conflict::new(manager.clone(), field, path)));
        }
        if force == Force::No && !conflicts.is_empty() {
            return Err(Conflicts(conflicts));
        }
        self.entries.retain_mut(|entry| {
            let Some(comparison) = comparison(entry) else { return false };
            entry.lose(comparison);
            !entry.fields.is_empty()
        });
        Ok(())
    }

    /// Ends the ownership of what a write changed or removed.
    pub(super) fn take_changed(
        &mut self,
        old: &Value,
        new: &Value,
        comparison: &Comparison,
        versions: &Versions<'_, '_>,
    ) {
        let mut others: HashMap<String, Option<Comparison>> = HashMap::new();
        self.entries.retain_mut(|entry| {
            if entry.api_version == versions.version {
                entry.lose(comparison);
            } else {
                let other = others
                    .entry(entry.api_version.clone())
                    .or_insert_with(|| versions.compare(old, new, &entry.api_version));
                let Some(other) = other else { return false };
                entry.lose(other);
            }
            !entry.fields.is_empty()
        });
    }

    /// Merges the oldest updates of each version into one entry while there are too many.
    pub(super) fn limit_updates(&mut self) {
        let updates = |entries: &[Entry]| entries.iter().filter(|it| it.operation == Operation::Update).count();
        let mut count = updates(&self.entries);
        if count <= UPDATE_LIMIT {
            return;
        }
        let (mut updates, others): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.operation == Operation::Update);
        updates.sort_by(|left, right| {
            (left.seconds(), &left.manager, &left.api_version, &left.subresource).cmp(&(
                right.seconds(),
                &right.manager,
                &right.api_version,
                &right.subresource,
            ))
        });
        let mut kept: Vec<Entry> = Vec::new();
        let mut queue = updates.into_iter();
        while count > UPDATE_LIMIT
            && let Some(entry) = queue.next()
        {
            // The first of a version is what later ones are merged into.
            match kept.iter_mut().find(|bucket| bucket.api_version == entry.api_version) {
                None => kept.push(entry),
                Some(bucket) => {
                    bucket.manager = ANCIENT.to_owned();
                    bucket.subresource = String::new();
                    bucket.fields.add(&entry.fields);
                    bucket.time = entry.time;
                    count -= 1;
                }
            }
        }
        self.entries = others;
        self.entries.extend(kept);
        self.entries.extend(queue);
    }

    /// Writes the list into an object.
    pub(super) fn store(mut self, object: &mut Value) {
        let Some(fields) = object.as_object_mut() else { return };
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        self.entries.sort_by(|left, right| left.order().cmp(&right.order()));
        metadata.insert("managedFields".into(), self.entries.into_iter().map(Entry::into_value).collect());
    }
}

impl Entry {
    fn lose(&mut self, comparison: &Comparison) {
        self.fields.remove(&comparison.added);
        self.fields.remove(&comparison.modified);
        self.fields.remove(&comparison.removed);
    }
}

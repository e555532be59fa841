//! The list of managers in `metadata.managedFields`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use portolan_base::go;
use serde_json::{Map, Value};

use super::compare::{Comparison, compare};
use super::fields::FieldSet;
use super::{Conflict, Conflicts, Force, Kind, Manager, Versioned, reconcile};
use crate::time;

/// At most this many managers that update are told apart; the changes of older ones are merged.
const UPDATE_LIMIT: usize = 10;

/// The manager of merged older changes.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    /// The operation of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Apply, Self::Update].into_iter().find(|operation| operation.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager and what it owns.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) manager: Cow<'a, str>,
    pub(super) operation: Operation,
    pub(super) api_version: Cow<'a, str>,
    pub(super) subresource: Cow<'a, str>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) fields: FieldSet<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(manager: &Manager<'a>, operation: Operation, fields: FieldSet<'a>) -> Self {
        Self {
            manager: manager.recorded_name().into(),
            operation,
            api_version: manager.api_version.into(),
            subresource: manager.subresource.into(),
            time: Some(time::format(manager.now).into()),
            fields,
        }
    }

    fn read(value: &'a Value) -> Option<Self> {
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = Operation::of(text("operation"))?;
        if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        Some(Self {
            manager: text("manager").into(),
            operation,
            api_version: text("apiVersion").into(),
            subresource: text("subresource").into(),
            time: value.get("time").and_then(Value::as_str).map(Cow::Borrowed),
            fields: value.get("fieldsV1").map_or_else(|| Some(FieldSet::default()), FieldSet::read)?,
        })
    }

    fn into_value(self) -> Value {
        let mut members = Map::new();
        let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
        set("apiVersion", self.api_version.into());
        set("fieldsType", "FieldsV1".into());
        set("fieldsV1", self.fields.to_value());
        set("manager", self.manager.into());
        set("operation", self.operation.name().into());
        if !self.subresource.is_empty() {
            set("subresource", self.subresource.into());
        }
        if let Some(time) = self.time {
            set("time", time.into());
        }
        Value::Object(members)
    }

    /// How messages name it.
    fn describe(&self) -> String {
        let mut text = go::quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", go::quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    pub(super) fn is(&self, manager: &Manager<'_>, operation: Operation) -> bool {
        self.manager == manager.recorded_name()
            && self.operation == operation
            && self.subresource == manager.subresource
            // A manager applies with one version at a time.
            && (operation == Operation::Apply || self.api_version == manager.api_version)
    }

    /// Whether both are about one manager.
    fn is_same_manager(&self, other: &Self) -> bool {
        (&self.manager, self.operation, &self.subresource) == (&other.manager, other.operation, &other.subresource)
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().map_or(0, seconds)
    }

    fn order(&self) -> (Operation, i64, &str, &str, &str) {
        (self.operation, self.seconds(), &self.manager, &self.api_version, &self.subresource)
    }
}

/// The second that a manager's time names; the epoch if it names none.
pub(super) fn seconds(time: &str) -> i64 {
    time::parse(time).map_or(0, |time| time.as_second())
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
pub(super) struct Managers<'a> {
    pub(super) entries: Vec<Entry<'a>>,
}

impl<'a> Managers<'a> {
    /// The managers that an object names; none if the list is malformed.
    pub(super) fn of(object: Option<&'a Value>) -> Self {
        let list = object.and_then(|it| it.get("metadata")?.get("managedFields"));
        list.and_then(Self::read).unwrap_or_default()
    }

    /// The managers of a list; `None` if it is malformed.
    pub(super) fn read(list: &'a Value) -> Option<Self> {
        Self::of_entries(list.as_array()?.iter().map(Entry::read))
    }

    /// The managers of entries; `None` if one is malformed.
    pub(super) fn of_entries(entries: impl Iterator<Item = Option<Entry<'a>>>) -> Option<Self> {
        let mut managers = Self::default();
        for entry in entries {
            let entry = entry?;
            // Entries of one manager count as one.
            if !managers.entries.iter().any(|known| known.is_same_manager(&entry)) {
                managers.entries.push(entry);
            }
        }
        Some(managers)
    }

    /// Takes a manager out of the list.
    pub(super) fn take(&mut self, manager: &Manager<'_>, operation: Operation) -> Option<Entry<'a>> {
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
    pub(super) fn owned_with(&self, applied: &FieldSet<'a>) -> FieldSet<'a> {
        let mut owned = applied.clone();
        self.entries.iter().for_each(|entry| owned.add(entry.fields.clone()));
        owned
    }

    /// The versions besides `before` in which somebody owns something after an apply in version `own`. `None` if there
    /// are none, as for most objects.
    pub(super) fn others(&self, own: &str, before: &str) -> Option<BTreeSet<String>> {
        let all = self.entries.iter().map(|entry| &*entry.api_version).chain([own]);
        let others: BTreeSet<String> = all.filter(|version| *version != before).map(str::to_owned).collect();
        if others.is_empty() { None } else { Some(others) }
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
            if !comparisons.contains_key(&*entry.api_version) {
                let comparison = versions.compare(old, new, &entry.api_version);
                comparisons.insert(entry.api_version.to_string(), comparison);
            }
        }
        let comparison = |entry: &Entry<'_>| comparisons.get(&*entry.api_version).and_then(Option::as_ref);
        self.entries
            .sort_by(|left, right| left.manager.cmp(&right.manager).then_with(|| left.order().cmp(&right.order())));
        let mut conflicts = Vec::new();
        for entry in &self.entries {
            let Some(comparison) = comparison(entry).filter(|_| force == Force::No) else { continue };
            let common = entry.fields.common(&comparison.changed());
            let manager = entry.describe();
            conflicts
                .extend(common.paths().into_iter().map(|(field, path)| Conflict::new(manager.clone(), field, path)));
        }
        if !conflicts.is_empty() {
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
                    .entry(entry.api_version.to_string())
                    .or_insert_with(|| versions.compare(old, new, &entry.api_version));
                let Some(other) = other else { return false };
                entry.lose(other);
            }
            !entry.fields.is_empty()
        });
    }

    /// Merges the oldest updates of each version into one entry while there are too many.
    pub(super) fn limit_updates(&mut self) {
        let updates = |entries: &[Entry<'_>]| entries.iter().filter(|it| it.operation == Operation::Update).count();
        let mut count = updates(&self.entries);
        if count <= UPDATE_LIMIT {
            return;
        }
        let (mut updates, others): (Vec<Entry<'a>>, Vec<Entry<'a>>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.operation == Operation::Update);
        updates.sort_by(|left, right| {
            (left.seconds(), &left.manager, &left.api_version, &left.subresource).cmp(&(
                right.seconds(),
                &right.manager,
                &right.api_version,
                &right.subresource,
            ))
        });
        let mut kept: Vec<Entry<'a>> = Vec::new();
        let mut queue = updates.into_iter();
        while count > UPDATE_LIMIT
            && let Some(entry) = queue.next()
        {
            // The first of a version is what later ones are merged into.
            match kept.iter_mut().find(|bucket| bucket.api_version == entry.api_version) {
                None => kept.push(entry),
                Some(bucket) => {
                    bucket.manager = ANCIENT.into();
                    bucket.subresource = "".into();
                    bucket.fields.add(entry.fields);
                    bucket.time = entry.time;
                    count -= 1;
                }
            }
        }
        self.entries = others;
        self.entries.extend(kept);
        self.entries.extend(queue);
    }

    /// The list as `managedFields` has it; `None` if nobody owns anything.
    pub(super) fn into_list(self) -> Option<Value> {
        let entries = self.in_order();
        (!entries.is_empty()).then(|| entries.into_iter().map(Entry::into_value).collect())
    }

    /// The entries as they are written down.
    pub(super) fn in_order(mut self) -> Vec<Entry<'a>> {
        self.entries.sort_by(|left, right| left.order().cmp(&right.order()));
        self.entries
    }
}

/// Writes a list of managers into an object.
pub(super) fn store(list: Option<Value>, object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    match list {
        Some(list) => metadata.insert("managedFields".into(), list),
        None => metadata.remove("managedFields"),
    };
}

impl Entry<'_> {
    fn lose(&mut self, comparison: &Comparison) {
        self.fields.remove(&comparison.added);
        self.fields.remove(&comparison.modified);
        self.fields.remove(&comparison.removed);
    }
}

//! The list of managers in `metadata.managedFields`.

use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::{Conflict, Conflicts, FieldSet, Manager};
use crate::time;

/// At most this many managers that update are told apart; the changes of older ones are merged.
const UPDATE_LIMIT: usize = 10;

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
            manager: manager.name.to_owned(),
            operation,
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
            time: Some(time::format(manager.now)),
            fields,
        }
    }

    fn from_value(mut value: Value) -> Option<Self> {
        let fields = FieldSet::from_value(value.get_mut("fieldsV1").map(Value::take).unwrap_or_default());
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match value.get("operation").and_then(Value::as_str)? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
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

    fn is(&self, manager: &Manager<'_>, operation: Operation) -> bool {
        self.manager == manager.name
            && self.operation == operation
            && self.subresource == manager.subresource
            // A manager applies with one version at a time.
            && (operation == Operation::Apply || self.api_version == manager.api_version)
    }

    fn order(&self) -> (Operation, Option<Timestamp>, &str, &str, &str) {
        let time = self.time.as_deref().and_then(time::parse);
        (self.operation, time, &self.manager, &self.api_version, &self.subresource)
    }
}

/// All managers of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Managers {
    pub(super) entries: Vec<Entry>,
}

impl Managers {
    /// The managers that an object names; malformed entries are left out.
    pub(super) fn of(object: Option<&Value>) -> Self {
        let list = object.and_then(|it| it.pointer("/metadata/managedFields"));
        list.cloned().map(Self::from_value).unwrap_or_default()
    }

    /// The managers of a list; malformed entries are left out.
    pub(super) fn from_value(list: Value) -> Self {
        let Value::Array(entries) = list else { return Self::default() };
        Self { entries: entries.into_iter().filter_map(Entry::from_value).collect() }
    }

    /// Takes a manager out of the list.
    pub(super) fn take(&mut self, manager: &Manager<'_>, operation: Operation) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.is(manager, operation))?;
        Some(self.entries.remove(index))
    }

    /// What in `changed` the managers in the list own. Sets of other versions cannot be compared.
    pub(super) fn conflicts(&self, changed: &FieldSet, api_version: &str) -> Conflicts {
        let mut conflicts = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.api_version == api_version) {
            let fields = entry.fields.common(changed).leaves();
            conflicts.extend(fields.into_iter().map(|field| Conflict { manager: entry.describe(), field }));
        }
        conflicts.sort_by(|left, right| (&left.manager, &left.field).cmp(&(&right.manager, &right.field)));
        Conflicts(conflicts)
    }

    /// Ends the ownership of fields that someone else changed or removed.
    pub(super) fn take_away(&mut self, changed: &FieldSet, removed: &FieldSet, api_version: &str) {
        for entry in self.entries.iter_mut().filter(|entry| entry.api_version == api_version) {
            entry.fields.remove(changed);
            entry.fields.remove(removed);
        }
        self.entries.retain(|entry| !entry.fields.is_empty());
    }

    /// Merges the oldest updates of one version into one entry while there are too many.
    pub(super) fn limit_updates(&mut self) {
        self.entries.sort_by(|left, right| left.order().cmp(&right.order()));
        let is_update = |entry: &Entry| entry.operation == Operation::Update && entry.subresource.is_empty();
        while self.entries.iter().filter(|entry| is_update(entry)).count() > UPDATE_LIMIT {
            let Some(oldest) = self.entries.iter().position(|it| is_update(it) && it.manager != "ancient-changes")
            else {
                return;
            };
            let mut oldest = self.entries.remove(oldest);
            let ancient = self.entries.iter_mut().find(|entry| {
                is_update(entry) && entry.manager == "ancient-changes" && entry.api_version == oldest.api_version
            });
            match ancient {
                Some(ancient) => {
                    ancient.fields.add(&oldest.fields);
                    ancient.time = oldest.time;
                }
                None => {
                    oldest.manager = "ancient-changes".into();
                    self.entries.insert(0, oldest);
                    if self.entries.iter().all(|entry| !is_update(entry) || entry.manager == "ancient-changes") {
                        return;
                    }
                }
            }
        }
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

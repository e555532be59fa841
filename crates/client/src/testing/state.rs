//! The objects of the fake server.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_base::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::request::Selection;
use crate::error::Status;

/// Group and resource.
pub(super) type Resource = (String, String);
/// Namespace and name.
pub(super) type Name = (String, String);

#[derive(Default)]
pub(super) struct State {
    pub(super) revision: u64,
    /// Watches cannot begin before this revision.
    compacted: u64,
    objects: BTreeMap<Resource, BTreeMap<Name, Value>>,
    history: Vec<Change>,
    watchers: Vec<Watcher>,
    serial: u64,
}

struct Change {
    revision: u64,
    resource: Resource,
    old: Option<Value>,
    new: Option<Value>,
}

struct Watcher {
    selection: Selection,
    sender: UnboundedSender<Bytes>,
}

pub(super) fn failure(code: u16, reason: &str, message: impl Into<String>) -> Box<Status> {
    Box::new(Status {
        code,
        status: "Failure".to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        ..Status::default()
    })
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
}

impl Change {
    /// The watch event this change is for a selection.
    fn event(&self, selection: &Selection) -> Option<Bytes> {
        let selects = |object: &&Value| selection.matches(&self.resource, object);
        let old = self.old.as_ref().filter(selects);
        match (old, self.new.as_ref().filter(selects)) {
            (None, Some(new)) => Some(line("ADDED", new)),
            (Some(_), Some(new)) => Some(line("MODIFIED", new)),
            (Some(old), None) => {
                let mut last = self.new.clone().unwrap_or_else(|| old.clone());
                last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
                Some(line("DELETED", &last))
            }
            (None, None) => None,
        }
    }
}

impl State {
    pub(super) fn objects(&self, group: &str, resource: &str) -> impl Iterator<Item = &Value> {
        self.objects.get(&(group.to_owned(), resource.to_owned())).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn get(&self, resource: &Resource, name: &Name) -> Result<&Value, Box<Status>> {
        self.objects
            .get(resource)
            .and_then(|objects| objects.get(name))
            .ok_or_else(|| failure(404, "NotFound", format!("{} \"{}\" not found", resource.1, name.1)))
    }

    fn write(&mut self, resource: &Resource, name: Name, mut new: Option<Value>) -> Value {
        self.revision += 1;
        if let Some(object) = &mut new {
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        }
        let objects = self.objects.entry(resource.clone()).or_default();
        let old = match &new {
            Some(object) => objects.insert(name, object.clone()),
            None => objects.remove(&name),
        };
        let answer = new.clone().or_else(|| old.clone()).unwrap_or_default();
        let change = Change { revision: self.revision, resource: resource.clone(), old, new };
        self.watchers.retain(|watcher| match change.event(&watcher.selection) {
            Some(event) => watcher.sender.send(event).is_ok(),
            None => !watcher.sender.is_closed(),
        });
        self.history.push(change);
        answer
    }

    pub(super) fn create(
        &mut self,
        resource: &Resource,
        namespace: &str,
        mut object: Value,
        now: Timestamp,
    ) -> Result<Value, Box<Status>> {
        self.serial += 1;
        let metadata = &mut object["metadata"];
        if let (None, Some(prefix)) = (metadata["name"].as_str(), metadata["generateName"].as_str()) {
            metadata["name"] = json!(format!("{prefix}{:05}", self.serial));
        }
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(failure(422, "Invalid", "metadata.name: Required value"));
        }
        let key = (namespace.to_owned(), name);
        if self.get(resource, &key).is_ok() {
            return Err(failure(409, "AlreadyExists", format!("{} \"{}\" already exists", resource.1, key.1)));
        }
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        metadata["uid"] = json!(format!("uid-{}", self.serial));
        metadata["creationTimestamp"] = json!(Time(now));
        metadata["generation"] = json!(1);
        if resource.1 == "namespaces" && object["spec"]["finalizers"].is_null() {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
        }
        Ok(self.write(resource, key, Some(object)))
    }

    /// Replaces an object; `subresource` is `""`, `status` or `finalize`.
    pub(super) fn update(
        &mut self,
        resource: &Resource,
        key: Name,
        subresource: &str,
        mut object: Value,
    ) -> Result<Value, Box<Status>> {
        let old = self.get(resource, &key)?.clone();
        let version = &object["metadata"]["resourceVersion"];
        if version.as_str().is_some_and(|version| Some(version) != old["metadata"]["resourceVersion"].as_str()) {
            let message = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(failure(409, "Conflict", message));
        }
        if subresource == "status" {
            let status = object["status"].take();
            object = old.clone();
            object["status"] = status;
        } else if subresource.is_empty() && !old["status"].is_null() {
            object["status"] = old["status"].clone();
        }
        for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            if !old["metadata"][field].is_null() {
                object["metadata"][field] = old["metadata"][field].clone();
            }
        }
        if object["spec"] != old["spec"] {
            object["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
        }
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        if deleting && !is_held(resource, &object) {
            return Ok(self.write(resource, key, None));
        }
        if object == old {
            return Ok(old);
        }
        Ok(self.write(resource, key, Some(object)))
    }

    pub(super) fn delete(
        &mut self,
        resource: &Resource,
        key: Name,
        options: &Value,
        now: Timestamp,
    ) -> Result<Value, Box<Status>> {
        let mut object = self.get(resource, &key)?.clone();
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return Err(failure(409, "Conflict", format!("precondition failed: {field}")));
            }
        }
        let finalizer = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let metadata = &mut object["metadata"];
        if let Some(finalizer) = finalizer {
            let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
            if !finalizers.contains(&json!(finalizer)) {
                finalizers.push(json!(finalizer));
            }
            metadata["finalizers"] = json!(finalizers);
        }
        let grace = options["gracePeriodSeconds"].as_u64();
        let bound_pod = resource.1 == "pods" && object["spec"]["nodeName"].is_string() && grace != Some(0);
        if grace == Some(0) && resource.1 == "pods" {
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        }
        if !bound_pod && !is_held(resource, &object) {
            return Ok(self.write(resource, key, None));
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!(Time(now));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace.unwrap_or(30));
        }
        if resource.1 == "namespaces" {
            object["status"]["phase"] = json!("Terminating");
        }
        Ok(self.write(resource, key, Some(object)))
    }

    /// Opens a watch; see the API's rules for `resourceVersion`.
    pub(super) fn watch(
        &mut self,
        selection: Selection,
        from: Option<u64>,
        initial_events: bool,
        sender: UnboundedSender<Bytes>,
    ) -> Result<(), Box<Status>> {
        // The receiver is alive: the caller holds it. So sending cannot fail here.
        let send = |bytes: Bytes| drop(sender.send(bytes));
        match from {
            Some(from) if from < self.compacted => {
                send(line("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})));
                return Ok(());
            }
            Some(from) => {
                let changes = self.history.iter().filter(|change| change.revision > from);
                changes.filter_map(|change| change.event(&selection)).for_each(send);
            }
            None => {
                let present = self.objects.get(&selection.resource).into_iter().flat_map(BTreeMap::values);
                let present = present.filter(|object| selection.matches(&selection.resource, object));
                present.map(|object| line("ADDED", object)).for_each(send);
                if initial_events {
                    send(line(
                        "BOOKMARK",
                        &json!({"metadata": {
                            "resourceVersion": self.revision.to_string(),
                            "annotations": {"k8s.io/initial-events-end": "true"},
                        }}),
                    ));
                }
            }
        }
        self.watchers.push(Watcher { selection, sender });
        Ok(())
    }

    pub(super) fn end_watches(&mut self) {
        self.watchers.clear();
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.revision;
    }
}

/// Whether something must still happen before the object may go.
fn is_held(resource: &Resource, object: &Value) -> bool {
    let any = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let pod = resource.1 == "pods" && !object["metadata"]["deletionTimestamp"].is_null();
    any(&object["metadata"]["finalizers"])
        || (resource.1 == "namespaces" && any(&object["spec"]["finalizers"]))
        || (pod && object["metadata"]["deletionGracePeriodSeconds"].as_u64() != Some(0))
}

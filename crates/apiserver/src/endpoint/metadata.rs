//! What the server itself says in an object's metadata.

mod check;

use portolan_api::time;
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use super::{Call, names};
use crate::status::Status;
use crate::strategy::Generations;

pub(crate) use check::{check_new, check_update, is_standard_finalizer};

/// Fields that only the server sets.
const OF_THE_SERVER: [&str; 4] = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// The metadata of an object, made if missing.
pub(crate) fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = Value::Object(Map::new());
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("the line above made it an object"),
    }
}

/// Drops a list of managers that has none.
fn drop_no_managers(metadata: &mut Map<String, Value>) {
    if metadata.get("managedFields").is_some_and(|it| it.is_null() || it.as_array().is_some_and(Vec::is_empty)) {
        metadata.remove("managedFields");
    }
}

/// A text of an object's metadata; empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"].get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Call<'_> {
    /// Refuses an object that has another name than the URL says.
    pub(crate) fn expect_name(&self, object: &Value) -> Result<(), Status> {
        self.expect_given_name(text(object, "name"))
    }

    /// The same of the name alone.
    pub(super) fn expect_given_name(&self, given: &str) -> Result<(), Status> {
        let name = &self.info.name;
        if given.is_empty() || given == name {
            return Ok(());
        }
        Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )))
    }

    /// Refuses an object that names another namespace than the URL.
    pub(crate) fn expect_namespace(&self, object: &Value) -> Result<(), Status> {
        let given = text(object, "namespace");
        if given.is_empty() || self.namespace().is_empty() || given == self.namespace() {
            return Ok(());
        }
        Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ))
    }

    /// Refuses an object that is meant to replace another one than that with this UID.
    pub(super) fn expect_uid(&self, object: &Value, uid: &str) -> Result<(), Status> {
        let given = text(object, "uid");
        if given.is_empty() || given == uid {
            return Ok(());
        }
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
        Err(Status::conflict(&self.target(), &self.info.name, &why))
    }

    /// Takes from a new object what is not the client's to say, and puts it into the namespace of the request.
    pub(super) fn stamp_new(&self, object: &mut Value) -> Result<(), Status> {
        self.place(object)?;
        let metadata = of(object);
        for name in OF_THE_SERVER.iter().chain(&["selfLink", "generation"]) {
            metadata.remove(*name);
        }
        Ok(())
    }

    /// Gives a new object its identity, once everybody who may change it did. Returns the version that it came with, which
    /// it cannot have yet.
    pub(super) fn identify(&self, object: &mut Value) -> Result<Option<String>, Status> {
        let counts = self.strategy.generations() == Generations::FromCreation;
        let rule = self.strategy.name_rule();
        let now = time::format(self.now);
        self.place(object)?;
        let metadata = of(object);
        let version = match metadata.remove("resourceVersion") {
            Some(Value::String(version)) if !version.is_empty() => Some(version),
            _ => None,
        };
        drop_no_managers(metadata);
        let unnamed = metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty);
        if unnamed && let Some(base) = metadata.get("generateName").and_then(Value::as_str).filter(|it| !it.is_empty())
        {
            let name = names::made(base, rule);
            metadata.insert("name".into(), name.into());
        }
        metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".into(), now.into());
        if counts {
            metadata.insert("generation".into(), 1.into());
        }
        Ok(version)
    }

    /// Puts an object into the namespace of the request. Fails if it names another one.
    fn place(&self, object: &mut Value) -> Result<(), Status> {
        self.expect_namespace(object)?;
        let namespace = self.namespace().to_owned();
        let metadata = of(object);
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".into(), namespace.into());
        }
        Ok(())
    }

    /// Keeps what an update may not touch. Fails if it names another object.
    pub(super) fn stamp_update(&self, new: &mut Value, old: &Value) -> Result<(), Status> {
        let uid = text(old, "uid").to_owned();
        let old = old["metadata"].as_object().ok_or_else(|| Status::internal("a stored object has no metadata"))?;
        self.expect_name(new)?;
        self.expect_namespace(new)?;
        // What replaces an object is meant for that very one; a patch is only not to change it.
        if self.info.verb == "update" {
            self.expect_uid(new, &uid)?;
        }
        let is_of_nobody = text(new, "uid").is_empty();
        let metadata = of(new);
        metadata.remove("selfLink");
        metadata.remove("resourceVersion");
        for field in ["creationTimestamp", "name", "namespace", "generation"] {
            match old.get(field) {
                Some(value) => metadata.insert(field.into(), value.clone()),
                None => metadata.remove(field),
            };
        }
        if is_of_nobody {
            metadata.insert("uid".into(), uid.into());
        }
        for (field, is_kept) in [("deletionTimestamp", true), ("deletionGracePeriodSeconds", false)] {
            let is_given = metadata.get(field).is_some_and(|given| !given.is_null());
            match old.get(field) {
                Some(value) if is_kept || !is_given => drop(metadata.insert(field.into(), value.clone())),
                None if !is_given => drop(metadata.remove(field)),
                _ => {}
            }
        }
        // A client that does not know the field does not mean to drop it; an empty list does.
        if !metadata.contains_key("managedFields")
            && let Some(fields) = old.get("managedFields")
        {
            metadata.insert("managedFields".into(), fields.clone());
        }
        Ok(())
    }

    /// Takes from a changed object what those who admitted it may not say either. Fails if they moved it to another
    /// namespace, or mean it for another revision than that of `old`.
    pub(super) fn stamp_admitted(&self, new: &mut Value, old: &Value) -> Result<(), Status> {
        self.place(new)?;
        let revision = of(new).remove("resourceVersion");
        let revision = revision.as_ref().and_then(Value::as_str).unwrap_or_default();
        if !matches!(revision, "" | "0") && revision != text(old, "resourceVersion") {
            return Err(Status::modified(&self.target(), &self.info.name));
        }
        let is_of_nobody = text(new, "uid").is_empty();
        let kept = ["creationTimestamp", "generation"].into_iter().chain(is_of_nobody.then_some("uid"));
        let metadata = of(new);
        drop_no_managers(metadata);
        for field in kept {
            match old["metadata"].get(field) {
                Some(value) => metadata.insert(field.into(), value.clone()),
                None => metadata.remove(field),
            };
        }
        Ok(())
    }

    /// Raises the generation if what is wanted changed.
    pub(super) fn raise_generation(&self, new: &mut Value, old: &Value) {
        if !self.info.subresource.is_empty() && self.info.subresource == "status" {
            return;
        }
        if self.strategy.generations() == Generations::None {
            return;
        }
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        if self.strategy.is_new_generation(new, old) {
            of(new).insert("generation".into(), (generation + 1).into());
        }
    }
}

/// Marks an object as being deleted.
pub(super) fn mark_deleted(object: &mut Value, now: Timestamp, grace_seconds: i64) {
    let deadline = now + jiff_seconds(grace_seconds);
    let metadata = of(object);
    metadata.insert("deletionTimestamp".into(), time::format(deadline).into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace_seconds.into());
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
}

fn jiff_seconds(seconds: i64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds.max(0).unsigned_abs().min(u64::from(u32::MAX)))
}

/// Whether nothing holds an object that is being deleted any more.
pub(super) fn may_go(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata.get("deletionTimestamp").is_some()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
        && object["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

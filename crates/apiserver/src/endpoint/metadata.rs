//! What the server itself says in an object's metadata.

use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::field::{self, Path};
use portolan_api::{time, validation};
use portolan_base::{Timestamp, go};
use serde_json::{Map, Value};

use super::{Call, names};
use crate::status::Status;
use crate::strategy::{Generations, NameRule};

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

    /// Gives a new object its identity.
    pub(super) fn stamp_new(&self, object: &mut Value) -> Result<(), Status> {
        let namespace = self.namespace().to_owned();
        let counts = self.strategy.generations() == Generations::FromCreation;
        let rule = self.strategy.name_rule();
        let now = time::format(self.now);
        let is_dry_run = self.is_dry_run()?;
        self.expect_namespace(object)?;
        let metadata = of(object);
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".into(), namespace.into());
        }
        // As upstream's store: 0 and what is no number name no version.
        let version = metadata.get("resourceVersion").and_then(Value::as_str).unwrap_or_default();
        // What is only tried does not come that far.
        if version.parse::<u64>().is_ok_and(|version| version != 0) && !is_dry_run {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        for name in OF_THE_SERVER.iter().chain(&["resourceVersion", "selfLink", "generation"]) {
            metadata.remove(*name);
        }
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
        Ok(())
    }

    /// Keeps what an update may not touch. Fails if it names another object.
    pub(super) fn stamp_update(&self, new: &mut Value, old: &Value) -> Result<(), Status> {
        let name = text(old, "name").to_owned();
        let uid = text(old, "uid").to_owned();
        let target = self.target();
        let old = old["metadata"].as_object().ok_or_else(|| Status::internal("a stored object has no metadata"))?;
        self.expect_name(new)?;
        self.expect_namespace(new)?;
        let given = text(new, "uid");
        if !given.is_empty() && given != uid {
            let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
            return Err(Status::conflict(&target, &name, &why));
        }
        let metadata = of(new);
        metadata.remove("selfLink");
        metadata.remove("resourceVersion");
        for field in OF_THE_SERVER.iter().chain(&["name", "namespace", "generation"]) {
            match old.get(*field) {
                Some(value) => metadata.insert((*field).into(), value.clone()),
                None => metadata.remove(*field),
            };
        }
        // A client that does not know the field does not mean to drop it; an empty list does.
        if !metadata.contains_key("managedFields")
            && let Some(fields) = old.get("managedFields")
        {
            metadata.insert("managedFields".into(), fields.clone());
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

/// What is wrong with a new object's metadata.
pub(crate) fn check_new(object: &Value, rule: NameRule) -> Vec<field::Error> {
    let mut errors = names::check(text(object, "generateName"), text(object, "name"), rule);
    errors.extend(check(object));
    errors
}

/// What is wrong with metadata that may have changed since the object was new.
fn check(object: &Value) -> Vec<field::Error> {
    let path = Path::new("metadata");
    let mut errors = validation::metadata(&object["metadata"], &path);
    errors.extend(unqualified_finalizers(object, &path.child("finalizers")));
    errors
}

/// Finalizers that need no domain.
const FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// Whether a finalizer can be nobody else's by accident.
pub(crate) fn is_standard_finalizer(name: &str) -> bool {
    name.contains('/') || FINALIZERS.contains(&name)
}

/// Groups whose finalizers need not be standard ones, as upstream serves them by the same code as users' kinds.
const FREE_IN_FINALIZERS: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// Finalizers of built-in kinds that are not standard ones. Objects of users' own kinds are free in that, and so are
/// the definitions of those kinds.
fn unqualified_finalizers(object: &Value, path: &Path) -> Vec<field::Error> {
    let of = |name: &str| object[name].as_str().unwrap_or_default();
    let kind = GroupVersionKind::from_api_version(of("apiVersion"), of("kind"));
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let unqualified = finalizers.enumerate().filter(|(_, name)| !is_standard_finalizer(name));
    let is_builtin = || !FREE_IN_FINALIZERS.contains(&kind.group) && builtin().schema(kind).is_some();
    let unqualified = unqualified.filter(|_| is_builtin());
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    unqualified.map(|(index, name)| field::Error::invalid(&path.index(index), name, detail)).collect()
}

/// What is wrong with an update of metadata. A name stays what it is, even if such names are refused by now.
pub(crate) fn check_update(new: &Value, old: &Value, rule: Option<NameRule>) -> Vec<field::Error> {
    let base = text(new, "generateName");
    let mut errors = if base == text(old, "generateName") { Vec::new() } else { names::check_changed(base, rule) };
    errors.extend(check(new));
    errors.extend(new_finalizers(new, old));
    errors
}

/// Finalizers that come while the object is being deleted.
fn new_finalizers(new: &Value, old: &Value) -> Vec<field::Error> {
    if old["metadata"].get("deletionTimestamp").is_none() {
        return Vec::new();
    }
    let list = |object: &Value| -> Vec<String> {
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        finalizers.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let before = list(old);
    let added: Vec<String> = list(new).into_iter().filter(|name| !before.contains(name)).collect();
    if added.is_empty() {
        return Vec::new();
    }
    let names = added.iter().map(|name| go::quote(name)).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
    );
    vec![field::Error::forbidden(&Path::new("metadata").child("finalizers"), detail)]
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

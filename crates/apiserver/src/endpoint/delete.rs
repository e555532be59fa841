//! Deleting objects: preconditions, grace, finalizers, propagation.

use std::borrow::Cow;

use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::field::{Error, Path};
use portolan_api::{custom, encoded, schema};
use portolan_base::clock::earlier;
use portolan_store::Entry;
use serde_json::{Value, json};

use super::write::{ATTEMPTS, Written};
use super::{Call, habits, kinds, metadata};
use crate::admission::{self, Attributes};
use crate::body::{self, Body};
use crate::request::{Info, Target, go_integer};
use crate::status::{self, Status};
use crate::{respond, storage};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Objects of a collection that are deleted at the same time.
const DELETED_AT_ONCE: usize = 32;

/// The kind of a request's options; every other version of it is the same.
const KIND: GroupVersionKind<'_> = GroupVersionKind { group: "", version: "v1", kind: "DeleteOptions" };

/// What happens to the objects that belong to a deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Unset,
    Orphan,
    Background,
    Foreground,
}

/// How an object shall be deleted.
#[derive(Debug, Clone)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    propagation: Propagation,
    /// Whether the older word for it was used, and how.
    orphans: Option<bool>,
    pub(crate) uid: Option<String>,
    resource_version: Option<String>,
    pub(crate) dry_run: bool,
    /// Whether all of a collection go: those who are asked about one hear no name then.
    is_of_collection: bool,
}

/// What became of a deletion.
pub(crate) enum Deleted {
    /// The object is gone; what it was at last.
    Gone(Written),
    /// The object stays until its grace is over and its finalizers are done.
    Marked(Written),
}

impl DeleteOptions {
    /// Reads options, which may be in the body, the query or both (the query wins).
    pub(crate) fn read(call: &Call<'_>, bytes: &Bytes) -> Result<Self, Status> {
        if bytes.is_empty() {
            return Self::from_value(call, &Value::Null);
        }
        let body = call.decoded_options(bytes, KIND)?.value;
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        if let Some(problem) = kinds::version_problem(text("apiVersion")) {
            return Err(Status::bad_request(problem));
        }
        if !matches!(text("kind"), "" | "DeleteOptions") {
            return Err(Status::bad_request(kinds::no_option(text("apiVersion"), text("kind"))));
        }
        // Values of a wrong type would else count as absent, and what they guard would be deleted.
        let schema = builtin().definition("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        if let Some(problem) = schema.and_then(|schema| schema::check_at(&body, schema).wrong_type) {
            return Err(Status::bad_request(problem));
        }
        Self::from_value(call, &body)
    }

    pub(crate) fn from_value(call: &Call<'_>, body: &Value) -> Result<Self, Status> {
        if let Some(kind) = body["kind"].as_str().filter(|kind| !matches!(*kind, "" | "DeleteOptions")) {
            return Err(Status::bad_request(format!("{kind} is not of the kind DeleteOptions")));
        }
        let query = call.query;
        let grace_seconds = if query.has("gracePeriodSeconds") {
            Some(go_integer(query.get("gracePeriodSeconds"))?)
        } else {
            body["gracePeriodSeconds"].as_i64()
        };
        let policy = match query.get("propagationPolicy") {
            "" => body["propagationPolicy"].as_str().unwrap_or_default(),
            text => text,
        };
        let orphan = match query.get("orphanDependents") {
            "" => body["orphanDependents"].as_bool(),
            // As upstream reads truth values: what is not false is true.
            text => Some(!matches!(text.to_ascii_lowercase().as_str(), "false" | "0")),
        };
        let path = Path::new("propagationPolicy");
        let mut errors = Vec::new();
        if !policy.is_empty() && orphan.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&path, policy, why));
        }
        let propagation = match (policy, orphan) {
            ("", None) => Propagation::Unset,
            ("", Some(true)) | ("Orphan", _) => Propagation::Orphan,
            ("", Some(false)) | ("Background", _) => Propagation::Background,
            ("Foreground", _) => Propagation::Foreground,
            _ => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(Error::not_supported_as_listed(&path, policy, &supported));
                Propagation::Unset
            }
        };
        let wanted = body["dryRun"].as_array().filter(|values| values.iter().any(|value| *value != "All"));
        if let Some(values) = wanted {
            errors.push(Error::not_supported(&Path::new("dryRun"), Value::Array(values.clone()), &["All"]));
        }
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &errors));
        }
        let dry_run = call.is_dry_run()? || body["dryRun"].as_array().is_some_and(|values| !values.is_empty());
        let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
        Ok(Self {
            grace_seconds,
            propagation,
            orphans: orphan,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run,
            is_of_collection: false,
        })
    }

    /// As an object, for those who are asked about the deletion.
    fn to_value(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        if let Some(seconds) = self.grace_seconds {
            options["gracePeriodSeconds"] = seconds.into();
        }
        match self.propagation {
            _ if self.orphans.is_some() => options["orphanDependents"] = self.orphans.into(),
            Propagation::Unset => {}
            Propagation::Orphan => options["propagationPolicy"] = "Orphan".into(),
            Propagation::Background => options["propagationPolicy"] = "Background".into(),
            Propagation::Foreground => options["propagationPolicy"] = "Foreground".into(),
        }
        for (name, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(value) = value {
                options["preconditions"][name] = value.as_str().into();
            }
        }
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        options
    }
}

impl Call<'_> {
    pub(super) async fn delete(&self, body: Body) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        let options = DeleteOptions::read(self, &body::read(body).await?)?;
        let mut warnings = Vec::new();
        let mut response = match self.delete_object(&options, Some(&mut warnings)).await? {
            Deleted::Gone(last) if !habits::is_shown_once_gone(self.resource) => {
                let uid = encoded::string_at(&last.stored, &["metadata", "uid"]);
                respond::json(200, &status::success(&self.target(), &self.info.name, uid.as_deref()))
            }
            Deleted::Gone(last) | Deleted::Marked(last) => self.present(200, view, &last.stored, last.revision)?,
        };
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// Deletes the object that the URL names, or marks it as being deleted.
    ///
    /// Admission is asked if there is a place for its warnings; an eviction was admitted as such.
    pub(crate) async fn delete_object(
        &self,
        options: &DeleteOptions,
        mut warnings: Option<&mut Vec<String>>,
    ) -> Result<Deleted, Status> {
        let name = self.info.name.as_str();
        let target = self.target();
        for _ in 0..ATTEMPTS {
            let entry = self.entry(name).await?;
            let old = storage::decode(&entry)?;
            self.check_preconditions(options, &old)?;
            if let Some(warnings) = warnings.as_deref_mut() {
                let mut attributes = Attributes::delete(self, &old, options.to_value(), options.dry_run);
                if options.is_of_collection {
                    attributes.name.clear();
                }
                admission::mutate(&mut attributes).await?;
                admission::validate(&mut attributes).await?;
                *warnings = attributes.warnings;
                if let Some(Some(warning)) = habits::orphans(self.resource)
                    && options.propagation == Propagation::Unset
                {
                    warnings.push(warning.into());
                }
            }
            let mut new = old.clone();
            let gone = self.mark(&mut new, options)?;
            let stored = storage::encode(&new)?;
            // One that needs no time to stop never says that it is being deleted.
            let last = if self.stops(&old) { stored.clone() } else { entry.value.clone() };
            if options.dry_run || (!gone && stored == entry.value) {
                let revision = entry.mod_revision;
                return Ok(match gone {
                    true => Deleted::Gone(Written { stored: last, revision }),
                    false => Deleted::Marked(Written { stored, revision }),
                });
            }
            if gone {
                if let Ok(revision) = self.remove(name, &old, entry.mod_revision).await? {
                    return Ok(Deleted::Gone(Written { stored: last, revision }));
                }
                continue;
            }
            if let Ok(revision) = self.put(name, stored.clone(), entry.mod_revision, None, None).await? {
                return Ok(Deleted::Marked(Written { stored, revision }));
            }
        }
        Err(Status::modified(&target, name))
    }

    /// Refuses if the object is not the one that shall be deleted.
    pub(crate) fn check_preconditions(&self, options: &DeleteOptions, object: &Value) -> Result<(), Status> {
        let checks = [
            ("UID", "uid", &options.uid, "deleted and then recreated"),
            ("ResourceVersion", "resourceVersion", &options.resource_version, "modified"),
        ];
        for (title, field, wanted, guess) in checks {
            let found = metadata::text(object, field);
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
                let why = format!(
                    "the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). \
                     The object might have been {guess}"
                );
                // Upstream takes the kind for the plural here.
                let target = Target { group: &self.resource.group, resource: &self.resource.kind };
                return Err(Status::conflict(&target, &self.info.name, &why));
            }
        }
        Ok(())
    }

    /// Whether objects of this kind may take time to stop.
    fn stops(&self, object: &Value) -> bool {
        self.strategy.default_grace_period_seconds(object).is_some()
    }

    /// Writes into an object how far its deletion is; returns whether it goes at once.
    fn mark(&self, object: &mut Value, options: &DeleteOptions) -> Result<bool, Status> {
        if self.is_definition() && !custom::is_terminating(object) {
            self.mark_definition(object);
            return Ok(false);
        }
        match options.propagation {
            Propagation::Unset if habits::orphans(self.resource).is_some() && !says_what_of_dependents(object) => {
                propagate(object, Propagation::Orphan);
            }
            propagation => propagate(object, propagation),
        }
        if self.target().qualified() == "namespaces" {
            return self.mark_namespace(object);
        }
        let default_grace = self.strategy.default_grace_period_seconds(object);
        let grace = match (default_grace, options.grace_seconds) {
            (None, _) => 0,
            // Upstream reads a negative period as the shortest one that is not "at once".
            (Some(0), _) => 0,
            (Some(_), Some(given)) if given < 0 => 1,
            (Some(_), Some(given)) => given,
            (Some(default), None) => default,
        };
        let pending = object["metadata"].get("deletionTimestamp").is_some();
        if pending {
            let left = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            let shorter = grace < left && (options.grace_seconds.is_some() || default_grace == Some(0));
            if shorter {
                if grace > 0 {
                    shorten(object, left - grace, grace);
                } else {
                    metadata::of(object).insert("deletionGracePeriodSeconds".into(), 0.into());
                }
            }
        } else {
            metadata::mark_deleted(object, self.now, grace);
        }
        Ok(metadata::may_go(object))
    }

    fn mark_namespace(&self, object: &mut Value) -> Result<bool, Status> {
        if object["metadata"].get("deletionTimestamp").is_some() {
            if metadata::may_go(object) {
                return Ok(true);
            }
            let why = "The system is ensuring all content is removed from this namespace.  Upon completion, this \
                       namespace will automatically be purged by the system.";
            return Err(Status::conflict(&self.target(), &self.info.name, why));
        }
        metadata::mark_deleted(object, self.now, 0);
        metadata::of(object).remove("deletionGracePeriodSeconds");
        object["status"]["phase"] = json!("Terminating");
        Ok(metadata::may_go(object))
    }

    pub(super) async fn delete_collection(&self, body: Body) -> Result<Response<Body>, Status> {
        let accepted = self.accepted()?;
        let read = DeleteOptions::read(self, &body::read(body).await?)?;
        let options = DeleteOptions { is_of_collection: true, ..read };
        let page = self.page().await?;
        let mut warnings = Vec::new();
        // Each waits for the disk: together they wait once. All of them come to their end, also beside one that is
        // refused, and the first of the list that is says why.
        for entries in page.entries.chunks(DELETED_AT_ONCE) {
            for outcome in join_all(entries.iter().map(|entry| self.delete_listed(entry, &options))).await {
                warnings.append(&mut outcome?);
            }
        }
        // As upstream: the list as it was read.
        let mut response = self.listed(accepted, page).await?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// Deletes one of a collection, unless somebody else was faster; gives the warnings about it.
    async fn delete_listed(&self, entry: &Entry, options: &DeleteOptions) -> Result<Vec<String>, Status> {
        let text = |field: &str| {
            let found = encoded::string_at(&entry.value, &["metadata", field]);
            found.map(Cow::into_owned).unwrap_or_default()
        };
        let info = Info { verb: "delete", name: text("name"), namespace: text("namespace"), ..self.info.clone() };
        let mut warnings = Vec::new();
        match self.on(self.resource, &info).delete_object(options, Some(&mut warnings)).await {
            Err(status) if status.code() != 404 => Err(status),
            _ => Ok(warnings),
        }
    }
}

/// Whether an object has one of the finalizers by which the garbage collector learns what to do.
fn says_what_of_dependents(object: &Value) -> bool {
    let mut finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    finalizers.any(|name| name == ORPHAN || name == FOREGROUND)
}

/// Adds or drops the finalizers by which the garbage collector learns what to do.
fn propagate(object: &mut Value, propagation: Propagation) {
    let wanted = match propagation {
        Propagation::Unset => return,
        Propagation::Background => None,
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Foreground => Some(FOREGROUND),
    };
    let metadata = metadata::of(object);
    let mut finalizers: Vec<Value> = metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    finalizers.retain(|name| name != ORPHAN && name != FOREGROUND);
    finalizers.extend(wanted.map(Value::from));
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
}

/// Moves the end of a running grace period forward.
fn shorten(object: &mut Value, by_seconds: i64, grace: i64) {
    let deadline = metadata::text(object, "deletionTimestamp").parse::<portolan_base::Timestamp>().ok();
    let by = std::time::Duration::from_secs(by_seconds.max(0).unsigned_abs());
    let metadata = metadata::of(object);
    if let Some(deadline) = deadline {
        metadata.insert("deletionTimestamp".into(), portolan_api::time::format(earlier(deadline, by)).into());
    }
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
}

//! Changing an object: the loop under update, patch, scale and the server's own changes.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use portolan_api::custom;
use portolan_store::{Entry, Revision};
use serde_json::Value;

use super::aftermath::Reservation;
use super::owner_references::{Noticed, drop_doubles};
use super::owners::{are_same_encoded, is_same_but_times};
use super::select::parse_revision;
use super::write::{ATTEMPTS, Moved, Written};
use super::{Call, Input, habits, metadata, names};
use crate::admission::{self, Attributes, Charge};
use crate::authorization::{devices, escalation};
use crate::body::Body;
use crate::resources::core::pod_template::drop_disabled_of;
use crate::status::Status;
use crate::strategy::Context;
use crate::{authorization, extensions, respond, storage, subresource};

/// What a change makes of an object.
pub(crate) struct Changed {
    pub(crate) object: Value,
    /// Whether the change itself recorded its owner (server-side apply).
    pub(crate) tracked: bool,
    /// The new `managedFields`, encoded, if those of the old object were left so ([`Managers::Apart`]).
    pub(crate) managers: Option<Vec<u8>>,
}

impl From<Value> for Changed {
    fn from(object: Value) -> Self {
        Self { object, tracked: false, managers: None }
    }
}

/// Where `managedFields` stand while an object is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Managers {
    /// In the object.
    Inside,
    /// Beside it, encoded as they are stored.
    Apart,
}

/// An object before it is changed.
pub(super) struct Old {
    pub(super) object: Value,
    /// Encoded, if they are to stand apart; else empty.
    pub(super) managers: Bytes,
}

/// Who wrote what of a change.
pub(super) enum Owners {
    /// Is recorded: in the object, or in these encoded managers.
    Recorded(Option<Vec<u8>>),
    /// Is still to be recorded there.
    ToRecord(Managers),
}

/// A change that may be written.
pub(super) struct Prepared {
    /// The new `managedFields`, encoded, unless they are in the object.
    managers: Option<Vec<u8>>,
    reservation: Option<Arc<Reservation>>,
    charge: Option<Charge>,
}

/// The revision that a change is meant for; 0 if for any. What is no number is refused in the words of upstream's store.
fn wanted_revision(new: &Value) -> Result<Revision, Status> {
    match metadata::text(new, "resourceVersion") {
        "" => Ok(Revision(0)),
        text => parse_revision(text).map_err(Status::unnamed),
    }
}

impl Managers {
    pub(super) fn decode(self, entry: &Entry) -> Result<Old, Status> {
        let (object, managers) = match self {
            Self::Inside => (storage::decode(entry)?, Bytes::new()),
            Self::Apart => storage::decode_apart(entry)?,
        };
        Ok(Old { object, managers })
    }
}

impl<'a> Call<'a> {
    pub(crate) async fn update(&self, body: Body) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        let dry_run = self.is_dry_run()?;
        let Input { object, mut warnings } = self.input(body).await?;
        let name = metadata::text(&object, "name").to_owned();
        if name.is_empty() {
            return Err(self.unnamed_object());
        }
        self.expect_name(&object)?;
        let blind = metadata::text(&object, "resourceVersion").is_empty();
        let may_create = habits::is_created_by_update(self.resource) && self.info.subresource.is_empty();
        if may_create && self.find(&name).await?.is_none() {
            return self.create_by_update(object, blind, dry_run, warnings).await;
        }
        if blind && habits::is_never_updated_blindly(self.resource) {
            let old = storage::decode(&*self.entry(&name).await?)?;
            self.expect_uid(&object, metadata::text(&old, "uid"))?;
            let path = portolan_api::field::Path::new("metadata").child("resourceVersion");
            let error = portolan_api::field::Error::invalid(&path, 0, "must be specified for an update");
            // Upstream takes the plural for the kind here.
            return Err(Status::invalid(&self.resource.group, &self.resource.name, &name, &[error]));
        }
        let managers = self.managers_stand().await?;
        let change = |_: &Old, _: &mut Vec<String>| Ok(object.clone().into());
        let outcome = self.change_with(managers, dry_run, &mut warnings, change).await;
        let written = Status::warned(outcome, &warnings)?;
        let mut response = self.present(200, view, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    async fn create_by_update(
        &self,
        mut object: Value,
        blind: bool,
        dry_run: bool,
        mut warnings: Vec<String>,
    ) -> Result<Response<Body>, Status> {
        if !blind {
            return Err(Status::not_found(&self.target(), &self.info.name));
        }
        let info = crate::request::Info { verb: "create", ..self.info.clone() };
        let create = self.on(self.resource, &info);
        authorization::authorize(create.server, create.user, &info).await?;
        metadata::of(&mut object).remove("uid");
        let written = create.create_object(object, dry_run, &mut warnings).await?;
        let mut response = self.present(201, self.view()?, &written.stored, written.revision)?;
        respond::add_warnings(&mut response, &warnings);
        Ok(response)
    }

    /// Replaces the object that the URL names by what `change` makes of it, again if another write
    /// came first.
    ///
    /// An object with a resource version is only written if that is still the newest one.
    pub(crate) async fn change(
        &self,
        dry_run: bool,
        warnings: &mut Vec<String>,
        mut change: impl FnMut(&Value, &mut Vec<String>) -> Result<Changed, Status>,
    ) -> Result<Written, Status> {
        self.change_with(Managers::Inside, dry_run, warnings, |old, warnings| change(&old.object, warnings)).await
    }

    /// The same with a say in where `managedFields` stand.
    pub(super) async fn change_with(
        &self,
        managers: Managers,
        dry_run: bool,
        warnings: &mut Vec<String>,
        mut change: impl FnMut(&Old, &mut Vec<String>) -> Result<Changed, Status>,
    ) -> Result<Written, Status> {
        let name = self.info.name.as_str();
        for _ in 0..ATTEMPTS {
            let entry = self.entry(name).await?;
            let old = managers.decode(&entry)?;
            let mut news = Vec::new();
            let changed = Status::warned(change(&old, &mut news), &news)?;
            let mut new = changed.object;
            let owners = if changed.tracked { Owners::Recorded(changed.managers) } else { Owners::ToRecord(managers) };
            let wanted = wanted_revision(&new)?;
            if wanted != Revision(0) && wanted != entry.mod_revision {
                return Err(Status::modified(&self.target(), name));
            }
            self.keep_renewal(&old.object, &mut new);
            let prepared = self.prepare(&mut new, &old, owners, dry_run, &mut news).await;
            let prepared = Status::warned(prepared, &news)?;
            if let Ok(written) = self.commit(&entry, &old, &new, dry_run, prepared).await? {
                warnings.append(&mut news);
                return Ok(written);
            }
        }
        Err(Status::modified(&self.target(), name))
    }

    /// From what the client wants to what is written: server's fields, defaults, admission, checks.
    pub(super) async fn prepare(
        &self,
        new: &mut Value,
        before: &Old,
        owners: Owners,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Prepared, Status> {
        let context = self.context();
        let old = &before.object;
        let given = self.given(new, old);
        let granting = escalation::Old { object: old, came_whole: escalation::is_whole(new, old) };
        self.stamp_update(new, old)?;
        let is_binding = self.info.subresource == "binding";
        if !is_binding {
            self.strategy.default(new);
            self.fill(new);
        }
        // Before admission: what the cluster changes belongs to nobody.
        let managers = match owners {
            Owners::Recorded(managers) => managers,
            Owners::ToRecord(Managers::Apart) => self.track_apart(before, new)?,
            Owners::ToRecord(Managers::Inside) => {
                self.track(Some(old), new)?;
                None
            }
        };
        if is_binding {
            // Made by the server itself out of a valid pod. Its generation stays: nobody asks for anything else.
            return Ok(Prepared { managers, reservation: self.reserve(new, Some(old)).await?, charge: None });
        }
        let seen_old =
            if self.is_scale() { Cow::Owned(subresource::scale_of(self.resource, old)) } else { Cow::Borrowed(old) };
        let mut attributes = Attributes::update(self, self.seen(new), &seen_old, dry_run);
        if !self.is_scale() {
            let metadata = metadata::of(&mut attributes.new);
            for (name, value) in given {
                match value {
                    Value::Null => drop(metadata.remove(name)),
                    value => drop(metadata.insert(name.to_owned(), value)),
                }
            }
        }
        admission::mutate(&mut attributes).await?;
        self.unseen(attributes.new.take(), new)?;
        self.stamp_admitted(new, old)?;
        warnings.extend(drop_doubles(new, Noticed::AfterAdmission));
        escalation::check(self, new, Some(granting)).await?;
        drop_disabled_of(&self.resource.group, &self.resource.name, new);
        self.strategy.prepare_for_update(new, old, &context);
        self.fill_status(new);
        self.keep_metadata(new, old);
        let reservation = self.reserve(new, Some(old)).await?;
        self.raise_generation(new, old);
        self.expect_own_kind(new)?;
        let rule = names::rule_of_changed(self.resource, &self.info.subresource, self.strategy.name_rule());
        let mut errors = metadata::check_update(new, old, rule);
        errors.extend(devices::problems(self, new, Some(old)).await?);
        errors.extend(self.new_problems(new, old, &context, warnings));
        if !errors.is_empty() {
            return Err(self.invalid(new, &errors));
        }
        attributes.new = self.seen(new);
        admission::validate(&mut attributes).await?;
        warnings.append(&mut attributes.warnings);
        let charge = attributes.charge.take();
        self.unseen(attributes.new, new)?;
        if self.resource.custom.is_some() {
            custom::tidy_numbers(new);
        }
        if self.info.subresource == "status" {
            warnings.extend(self.strategy.status_warnings(new));
        } else {
            warnings.extend(self.strategy.update_warnings(new, old));
        }
        self.drop_empty_lists(new);
        Ok(Prepared { managers, reservation, charge })
    }

    /// What is wrong with a changed object, but for what was wrong with the stored one already: checks that
    /// came later must not keep anybody from writing a status or from letting go of a finalizer.
    fn new_problems(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        warnings: &mut Vec<String>,
    ) -> Vec<portolan_api::field::Error> {
        let check = |new: &Value, warnings: &mut Vec<String>| {
            let mut errors = self.strategy.validate_changed(new, old, context, warnings);
            if !errors.is_empty() && self.resource.custom.is_none() {
                let known = self.strategy.validate(old, context);
                errors.retain(|error| !known.contains(error));
            }
            errors
        };
        self.worded_as_it_came(check(new, warnings), new, |whole| check(whole, &mut Vec::new()))
    }

    /// What those who may change an object see of its identity: what the client says, null where that is nothing.
    fn given(&self, new: &Value, old: &Value) -> Vec<(&'static str, Value)> {
        let of = |object: &Value, name: &str| object["metadata"].get(name).cloned().unwrap_or_default();
        match self.info.verb {
            "update" => ["resourceVersion", "uid", "creationTimestamp", "generation"]
                .map(|name| (name, Some(of(new, name)).filter(|it| it != "").unwrap_or_default()))
                .into(),
            // What is patched is what was found.
            _ => vec![("resourceVersion", of(old, "resourceVersion"))],
        }
    }

    fn is_scale(&self) -> bool {
        self.info.subresource == "scale"
    }

    /// What admission sees of an object: itself, or its scale.
    fn seen(&self, object: &mut Value) -> Value {
        if self.is_scale() { subresource::scale_of(self.resource, object) } else { object.take() }
    }

    /// Puts into an object what admission made of it.
    fn unseen(&self, seen: Value, object: &mut Value) -> Result<(), Status> {
        if self.is_scale() {
            // None is what a scale does not say.
            let replicas = seen["spec"]["replicas"].as_i64().unwrap_or_default();
            subresource::check_scale(self, replicas)?;
            subresource::set_replicas(self.resource, object, replicas.into());
        } else {
            *object = seen;
        }
        Ok(())
    }

    /// Whether an object is to be written again although it is the same: under another key.
    pub(super) async fn is_stale(&self, name: &str) -> bool {
        match &self.server.encrypted {
            None => false,
            Some(store) => store.is_stale(&self.key(name)).await,
        }
    }

    pub(super) async fn commit(
        &self,
        entry: &Entry,
        before: &Old,
        new: &Value,
        dry_run: bool,
        prepared: Prepared,
    ) -> Result<Result<Written, Moved>, Status> {
        let name = self.info.name.as_str();
        let old = &before.object;
        let Prepared { managers, reservation, charge } = prepared;
        let stored = storage::encode_managed(new, managers.as_deref())?;
        // If nothing changed nothing is written and nobody is woken; nor is a heartbeat written.
        let same_but_times =
            is_same_but_times(new, old) && are_same_encoded(managers.as_deref().unwrap_or_default(), &before.managers);
        let is_same = stored == entry.value || same_but_times;
        let keeps = is_same && !self.is_outdated(entry).await? && !self.is_stale(name).await;
        if keeps && !dry_run && self.is_definition() {
            // Who writes it as it is wants that looked at again: others may have let go of names.
            extensions::settle(self.server, name).await;
        }
        if dry_run || keeps && !same_but_times || self.renews(entry, old, new, &stored) {
            return Ok(Ok(Written { stored: self.through_storage(stored).await?, revision: entry.mod_revision }));
        }
        if keeps {
            return Ok(Ok(Written { stored: entry.value.clone(), revision: entry.mod_revision }));
        }
        if metadata::may_go(new) {
            let removed = self.remove(name, old, entry.mod_revision).await?;
            return Ok(removed.map(|revision| Written { stored, revision }));
        }
        match self.put(name, stored.clone(), entry.mod_revision, charge, reservation).await? {
            Ok(revision) => Ok(Ok(Written { stored: self.through_storage(stored).await?, revision })),
            Err(moved) => Ok(Err(moved)),
        }
    }
}

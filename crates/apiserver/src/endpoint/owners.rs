//! Who owns the fields of an object: what the request says about that.

use std::borrow::Cow;

use portolan_api::apply::{self, Versioned};
use portolan_api::conversion;
use portolan_api::description::GroupVersionKind;
use portolan_api::field::Path;
use portolan_api::validation;
use serde_json::Value;

use super::Call;
use super::update::{Managers, Old};
use crate::resources::json;
use crate::status::Status;

/// Paths of fields.
type Fields = &'static [&'static [&'static str]];

const STATUS: Fields = &[&["status"]];
/// Nobody owns any of a request for a certificate, nor what it grew into.
const SPEC_AND_STATUS: Fields = &[&["spec"], &["status"]];
const SPEC_AND_CONDITIONS: Fields = &[&["spec"], &["status", "conditions"]];
const SPEC_AND_CERTIFICATE: Fields = &[&["spec"], &["status", "certificate"]];
const SPEC: Fields = &[&["spec"]];
const SPEC_AND_LABELS: Fields = &[&["spec"], &["metadata", "labels"]];
const SPEC_AND_OWNERS: Fields = &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]];
const ALL_BUT_STATUS: Fields = &[
    &["spec"],
    &["metadata", "annotations"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "finalizers"],
    &["metadata", "labels"],
    &["metadata", "ownerReferences"],
];

/// Groups and resources whose status is written without their metadata.
const STATUS_WITHOUT_METADATA: [(&str, &str); 9] = [
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("apiregistration.k8s.io", "apiservices"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("internal.apiserver.k8s.io", "storageversions"),
    ("networking.k8s.io", "servicecidrs"),
    ("resource.k8s.io", "resourceclaims"),
    ("storage.k8s.io", "volumeattachments"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
];

impl Call<'_> {
    /// Fields that a write of this request cannot change, as the strategies of upstream have them.
    pub(super) fn unreachable_fields(&self) -> Fields {
        let has_status = self.resource.subresource("status").is_some();
        let id = (&*self.resource.group, &*self.resource.name);
        match self.info.subresource.as_str() {
            subresource if id == ("certificates.k8s.io", "certificatesigningrequests") => match subresource {
                "status" => SPEC_AND_CONDITIONS,
                "approval" => SPEC_AND_CERTIFICATE,
                _ => SPEC_AND_STATUS,
            },
            "status" if STATUS_WITHOUT_METADATA.contains(&id) => ALL_BUT_STATUS,
            // Of users' kinds the status is written and nothing else.
            "status" if self.resource.custom.is_some() => ALL_BUT_STATUS,
            "status" => match id {
                ("apps", "deployments") => SPEC_AND_LABELS,
                ("", "pods") => SPEC_AND_OWNERS,
                _ => SPEC,
            },
            _ if has_status => STATUS,
            _ => &[],
        }
    }

    /// Keeps of an old object what a write of this request cannot change in metadata.
    pub(super) fn keep_metadata(&self, new: &mut Value, old: &Value) {
        // Upstream's strategy means to, and does not: its finalizer goes with the last condition.
        if self.is_definition() {
            return;
        }
        for path in self.unreachable_fields() {
            let ["metadata", name] = path else { continue };
            let metadata = super::metadata::of(new);
            match old["metadata"].get(*name) {
                Some(value) => metadata.insert((*name).to_owned(), value.clone()),
                None => metadata.remove(*name),
            };
        }
    }

    /// Who writes, for `managedFields`: the parameter, or the beginning of the user agent.
    pub(crate) fn manager(&self) -> Result<String, Status> {
        let given = self.query.get("fieldManager");
        let problems = validation::field_manager(given, &Path::new("fieldManager"));
        if !problems.is_empty() {
            let options = match self.info.verb {
                "create" => "CreateOptions",
                "patch" => "PatchOptions",
                _ => "UpdateOptions",
            };
            return Err(Status::invalid("meta.k8s.io", options, "", &problems));
        }
        if !given.is_empty() {
            return Ok(given.to_owned());
        }
        let agent = self.headers.get(http::header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        let name = validation::manager_of_agent(&String::from_utf8_lossy(agent));
        Ok(if name.is_empty() { "unknown".to_owned() } else { name })
    }

    /// Records in an object's `managedFields` who writes it.
    pub(crate) fn track(&self, old: Option<&Value>, new: &mut Value) -> Result<(), Status> {
        let name = self.manager()?;
        self.with_owners(&name, |kind, manager| apply::track_update(old, new, kind, manager)).map_or(Ok(()), Ok)
    }

    /// The same for what is answered and not kept, and for a subresource with an object of its own.
    pub(crate) fn track_sent(&self, new: &mut Value) -> Result<(), Status> {
        let (name, kind) = (self.manager()?, self.body_kind());
        let Some(schema) = self.schema_of(kind) else { return Ok(()) };
        let api_version = kind.api_version();
        let manager = apply::Manager {
            name: &name,
            api_version: &api_version,
            subresource: &self.info.subresource,
            now: self.now,
        };
        let convert = converter(|object, version| (version == api_version).then_some((Cow::Borrowed(object), schema)));
        apply::track_update(None, new, &apply::Kind { schema, ignored: &[], convert: &convert }, &manager);
        Ok(())
    }

    /// The same for an object whose managers stand beside it; returns the new ones.
    pub(super) fn track_apart(&self, old: &Old, new: &mut Value) -> Result<Option<Vec<u8>>, Status> {
        let name = self.manager()?;
        let live = apply::Apart { object: &old.object, managers: &old.managers };
        let tracked = self.with_owners(&name, |kind, manager| apply::track_update_apart(live, new, kind, manager));
        Ok(tracked.unwrap_or_else(|| Some(old.managers.to_vec()).filter(|managers| !managers.is_empty())))
    }

    /// Records who writes a new object: in its `managedFields` if they stand inside, or if it names managers itself;
    /// else the list is returned encoded, to be stored with it.
    pub(super) fn track_new(&self, new: &mut Value, stand: Managers) -> Result<Option<Vec<u8>>, Status> {
        let names_managers = new.pointer("/metadata/managedFields").is_some_and(|given| !given.is_null());
        let name = self.manager()?;
        let managers = self.with_owners(&name, |kind, manager| {
            if stand == Managers::Apart && !names_managers {
                return apply::managers_of_new(new, kind, manager);
            }
            apply::track_update(None, new, kind, manager);
            None
        });
        Ok(managers.flatten())
    }

    /// Where `managedFields` stand while an object is changed: beside it if nobody is asked about the change who
    /// would see it, and if nothing of the request itself looks at them.
    pub(super) async fn managers_stand(&self) -> Result<Managers, Status> {
        let is_plain = self.is_as_stored() && self.resource.custom.is_none();
        let apart = is_plain && !self.server.admission.asks_anyone().await?;
        Ok(if apart { Managers::Apart } else { Managers::Inside })
    }

    /// Whether the URL speaks of an object as it is stored: of no view of it, and of none that is partly elsewhere.
    pub(super) fn is_as_stored(&self) -> bool {
        matches!(self.info.subresource.as_str(), "" | "status") && !self.beats()
    }

    /// Calls `act` with what is written and who writes; `None` if the kind has no schema.
    pub(super) fn with_owners<T>(
        &self,
        name: &str,
        act: impl FnOnce(&apply::Kind<'_>, &apply::Manager<'_>) -> T,
    ) -> Option<T> {
        let kind = self.kind();
        let schema = self.resource.schema()?;
        let api_version = kind.api_version();
        let manager =
            apply::Manager { name, api_version: &api_version, subresource: &self.info.subresource, now: self.now };
        let convert = converter(|object, version| self.as_version(object, version));
        Some(act(&apply::Kind { schema, ignored: self.unreachable_fields(), convert: &convert }, &manager))
    }
}

impl<'a> Call<'a> {
    /// An object as another version has it: fields keep their names but for the few kinds whose versions
    /// differ. `None` if that is not served.
    fn as_version<'v>(&self, object: &'v Value, version: &str) -> Option<Versioned<'v, 'a>> {
        let id = (&*self.resource.group, &*self.resource.name);
        // Not even events, which two groups have: upstream forgets what was written by way of the other.
        if GroupVersionKind::from_api_version(version, "").group != id.0 {
            return None;
        }
        if let Some(conversion) = conversion::of(id.0, id.1).filter(|conversion| conversion.knows(version)) {
            let GroupVersionKind { group, version: name, .. } = GroupVersionKind::from_api_version(version, "");
            let schema = self.description.resource(group, name, id.1)?.schema()?;
            if object["apiVersion"] == version {
                return Some((Cow::Borrowed(object), schema));
            }
            let mut converted = object.clone();
            conversion.convert(&mut converted, version);
            return Some((Cow::Owned(converted), schema));
        }
        let GroupVersionKind { group, version, .. } = GroupVersionKind::from_api_version(version, "");
        let other = match version == self.resource.version {
            true => self.resource,
            false => self.description.resource(group, version, &self.resource.name)?,
        };
        other.schema().map(|schema| (Cow::Borrowed(object), schema))
    }
}

/// Says of a closure that it converts objects of any lifetime.
fn converter<'a, F>(convert: F) -> F
where
    F: for<'v> Fn(&'v Value, &str) -> Option<Versioned<'v, 'a>>,
{
    convert
}

/// Whether two objects are the same but for the times of their managers.
pub(super) fn is_same_but_times(new: &Value, old: &Value) -> bool {
    json::are_same_but(new, old, &["metadata"], |_, new, old| new == old)
        && match (new.get("metadata"), old.get("metadata")) {
            (Some(new), Some(old)) => {
                json::are_same_but(new, old, &["resourceVersion", "managedFields"], |_, new, old| new == old)
                    && are_same_managers(new.get("managedFields"), old.get("managedFields"))
            }
            (new, old) => new == old,
        }
}

/// The same for lists that are encoded; empty ones are none.
pub(super) fn are_same_encoded(new: &[u8], old: &[u8]) -> bool {
    if new == old {
        return true;
    }
    let decode = |list| serde_json::from_slice::<Value>(list).ok();
    match (decode(new), decode(old)) {
        (Some(new), Some(old)) => are_same_managers(Some(&new), Some(&old)),
        _ => false,
    }
}

/// Whether two lists of managers are the same but for their times.
fn are_same_managers(new: Option<&Value>, old: Option<&Value>) -> bool {
    let (Some(Value::Array(new)), Some(Value::Array(old))) = (new, old) else { return new == old };
    let is_same = |(new, old)| json::are_same_but(new, old, &["time"], |_, new, old| new == old);
    new.len() == old.len() && new.iter().zip(old).all(is_same)
}

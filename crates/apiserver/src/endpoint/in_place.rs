//! Applies to stored bytes: what they leave as it is need not be decoded, compared or checked again.

use bytes::Bytes;
use portolan_api::apply::{self, InPlace, Manifest};
use portolan_api::field::Path;
use portolan_api::{custom, encoded, validation};
use portolan_store::Entry;
use serde_json::{Map, Value};

use super::Call;
use super::update::{Managers, Owners};
use super::write::Written;
use crate::status::Status;
use crate::{admission, authorization};

const RBAC: &str = "rbac.authorization.k8s.io";

/// How much of an object nobody that is built in has a say about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undisputed {
    /// That it stays as it is.
    Unchanged,
    /// That, and its labels and annotations, but for those that Kubernetes itself gives a meaning: admission and the
    /// strategy look at what else changes, warnings are of other things, and checks forgive what was there before.
    Notes,
}

/// Kinds of which that was checked.
///
/// Of roles and bindings labels are looked at: by them roles are taken together ([`crate::authorization::escalation`]).
const UNDISPUTED: [(&str, &str, Undisputed); 11] = [
    ("", "configmaps", Undisputed::Notes),
    ("", "limitranges", Undisputed::Notes),
    ("", "pods", Undisputed::Notes),
    ("", "secrets", Undisputed::Notes),
    ("networking.k8s.io", "ingresses", Undisputed::Notes),
    ("networking.k8s.io", "networkpolicies", Undisputed::Notes),
    ("policy", "poddisruptionbudgets", Undisputed::Notes),
    (RBAC, "clusterrolebindings", Undisputed::Unchanged),
    (RBAC, "clusterroles", Undisputed::Unchanged),
    (RBAC, "rolebindings", Undisputed::Unchanged),
    (RBAC, "roles", Undisputed::Unchanged),
];

impl Call<'_> {
    /// What an apply that gives nothing up makes of a stored object. `None` if this cannot tell: the whole way has to
    /// be gone.
    ///
    /// The manifest is rarely needed again: it is not kept while the disk is waited for, and dropped where it was made.
    pub(super) fn found_in_place(&self, entry: &Entry, manifest: Manifest<'_>) -> Option<InPlace> {
        if !self.is_as_stored() {
            return None;
        }
        let found = self.with_owners(self.query.get("fieldManager"), |kind, manager| {
            apply::apply_in_place(&entry.value, &manifest, kind, manager, self.force())
        });
        found.flatten()
    }

    /// Writes what was found so. `None` if the whole way has to be gone nevertheless, as the object was written meanwhile.
    pub(super) async fn write_in_place(
        &self,
        entry: &Entry,
        found: &InPlace,
        stand: Managers,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Written>, Status> {
        if !dry_run && stand == Managers::Apart && self.is_undisputed(entry, found).await? {
            admission::note_harmless_update(self).await?;
            let written = self.put_in_place(entry, found).await?;
            if written.is_some() {
                self.server.metrics.admissions.passed(admission::Operation::Update);
            }
            return Ok(written);
        }
        Box::pin(self.change_in_place(entry, found, stand, dry_run, warnings)).await
    }

    /// Whether nobody has a say about an apply, if nobody is asked who would see the managers.
    async fn is_undisputed(&self, entry: &Entry, found: &InPlace) -> Result<bool, Status> {
        // What Kubernetes gives a meaning, be it with a prefix or behind it.
        let is_free = |name: &str| {
            ["k8s.io", "kubernetes.io", "seccomp", "apparmor.security"].iter().all(|it| !name.contains(it))
        };
        let is_this =
            |(group, name, _): &&(&str, &str, _)| (*group, *name) == (&*self.resource.group, &*self.resource.name);
        let covered = match UNDISPUTED.iter().find(is_this) {
            Some((_, _, Undisputed::Unchanged)) => found.leaves_object(),
            Some((_, _, Undisputed::Notes)) => found.only_notes(is_free),
            None => false,
        };
        Ok(covered
            && self.info.subresource.is_empty()
            // A node may not even say again what a pod is.
            && authorization::node_of(self.user).is_none()
            && self.server.config.access.admission.are_usual()
            // What is being deleted may be free to go by now.
            && encoded::value_from(&entry.value, &["metadata", "deletionTimestamp"]).is_none()
            && !self.is_outdated(entry).await?
            && !self.is_stale(&self.info.name).await)
    }

    /// Writes what nobody has a say about.
    async fn put_in_place(&self, entry: &Entry, found: &InPlace) -> Result<Option<Written>, Status> {
        if found.leaves_object() && found.managers.is_none() {
            return Ok(Some(Written { stored: entry.value.clone(), revision: entry.mod_revision }));
        }
        let stored = Bytes::from(found.encoded(&entry.value));
        if !found.leaves_object() && !has_good_notes(found, &stored) {
            return Ok(None);
        }
        let written = self.put(&self.info.name, stored.clone(), entry.mod_revision, None, None).await?;
        Ok(written.ok().map(|revision| Written { stored, revision }))
    }

    /// Lets everyone look at the change who has a say.
    async fn change_in_place(
        &self,
        entry: &Entry,
        found: &InPlace,
        stand: Managers,
        dry_run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Written>, Status> {
        let old = stand.decode(entry)?;
        let mut new = old.object.clone();
        found.change(&mut new);
        if let Some(definition) = &self.resource.custom {
            custom::prune(&mut new, definition.root());
        }
        let managers = match (stand, &found.managers) {
            (Managers::Apart, Some(managers)) => Some(managers.clone()),
            (Managers::Apart, None) => Some(old.managers.to_vec()),
            (Managers::Inside, None) => None,
            (Managers::Inside, Some(managers)) => {
                let managers = serde_json::from_slice(managers).map_err(|error| Status::internal(error.to_string()))?;
                super::metadata::of(&mut new).insert("managedFields".into(), managers);
                None
            }
        };
        let mut news = Vec::new();
        let prepared = self.prepare(&mut new, &old, Owners::Recorded(managers), dry_run, &mut news).await?;
        let written = self.commit(entry, &old, &new, dry_run, prepared).await?;
        warnings.append(&mut news);
        Ok(written.ok())
    }
}

/// Whether the labels and annotations that change are fit to be among the others of the object, whose new bytes are
/// `stored`.
fn has_good_notes(found: &InPlace, stored: &[u8]) -> bool {
    let is_good = |part: &str, check: fn(&Value, &Path) -> Vec<portolan_api::field::Error>| {
        let notes = found.changed_notes(part);
        notes.as_object().is_none_or(Map::is_empty) || check(&notes, &Path::new(part)).is_empty()
    };
    // As they are written they are no shorter than what counts.
    let are_few = || {
        let all = encoded::raw_at(stored, &["metadata", "annotations"]).unwrap_or_default();
        all.len() <= validation::ANNOTATIONS_LIMIT
    };
    is_good("labels", validation::labels) && is_good("annotations", validation::annotations) && are_few()
}

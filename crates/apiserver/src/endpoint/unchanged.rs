//! Applies that leave the object as it is.

use bytes::Bytes;
use portolan_api::{apply, encoded};
use portolan_store::Entry;
use serde_json::Value;

use super::Call;
use super::update::Managers;
use super::write::Written;
use crate::authorization;
use crate::resources::core::service_allocation::Moved as Addresses;
use crate::status::Status;

/// Kinds of which nobody that is built in has a say about an object that stays as it is: admission looks at what
/// changes of them, nothing is said of them in warnings, and their checks forgive what was there before.
const UNDISPUTED: [(&str, &str); 2] = [("", "configmaps"), ("", "pods")];

impl Call<'_> {
    /// Applies to a stored object what that says already: nothing is written then, or nothing but who owns what.
    ///
    /// `None` if something changes, or if this cannot tell: the whole way has to be gone.
    pub(super) async fn apply_unchanged(&self, entry: &Entry, applied: &Value) -> Result<Option<Written>, Status> {
        let id = (&*self.resource.group, &*self.resource.name);
        if !self.info.subresource.is_empty()
            || !UNDISPUTED.contains(&id)
            // A node may not even say again what a pod is.
            || authorization::node_of(self.user).is_some()
            || !self.server.config.access.admission.are_usual()
            || self.managers_stand().await? == Managers::Inside
        {
            return Ok(None);
        }
        // What is being deleted may be free to go by now.
        if encoded::value_from(&entry.value, &["metadata", "deletionTimestamp"]).is_some() {
            return Ok(None);
        }
        let unchanged = self.with_owners(self.query.get("fieldManager"), |kind, manager| {
            apply::apply_unchanged(&entry.value, applied, kind, manager)
        });
        let Some(apply::Unchanged { managers, place }) = unchanged.flatten() else { return Ok(None) };
        if self.is_outdated(entry).await? || self.is_stale(&self.info.name).await {
            return Ok(None);
        }
        let Some(managers) = managers else {
            return Ok(Some(Written { stored: entry.value.clone(), revision: entry.mod_revision }));
        };
        let stored: Bytes = [&entry.value[..place.start], &managers, &entry.value[place.end..]].concat().into();
        let written = self.put(&self.info.name, stored.clone(), entry.mod_revision, None, Addresses::default()).await?;
        Ok(written.ok().map(|revision| Written { stored, revision }))
    }
}

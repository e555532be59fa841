//! Custom resources between the version that is stored and the one that is asked for.

use std::sync::Arc;

use bytes::Bytes;
use portolan_api::custom::{self, Conversion};
use portolan_api::encoded;
use portolan_store::Entry;
use serde_json::Value;

use crate::endpoint::Call;
use crate::status::Status;
use crate::storage;

impl Call<'_> {
    /// Stored objects in the version of the request, with what its schema says now.
    pub(crate) async fn converted(&self, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
        let Some(version) = &self.resource.custom else { return Ok(entries) };
        entries.into_iter().map(|entry| read(version, entry)).collect()
    }

    /// An object of the request's version in the one that is stored.
    pub(crate) async fn to_storage(&self, encoded: Bytes) -> Result<Bytes, Status> {
        let Some(version) = self.resource.custom.as_ref().filter(|version| !version.is_storage()) else {
            return Ok(encoded);
        };
        let definition = &version.definition;
        let mut object: Value =
            serde_json::from_slice(&encoded).map_err(|error| Status::internal(error.to_string()))?;
        set_version(&mut object, &definition.group, &definition.storage_version);
        storage::encode(&object)
    }

    /// Whether an object that nobody changed would still be stored as something else than it is.
    pub(crate) async fn is_outdated(&self, entry: &Entry) -> Result<bool, Status> {
        let Some(version) = &self.resource.custom else { return Ok(false) };
        let definition = &version.definition;
        let wanted = format!("{}/{}", definition.group, definition.storage_version);
        let range = portolan_store::KeyRange::key(entry.key.clone());
        let request = portolan_store::RangeRequest { range, revision: None, limit: 1 };
        let answer = self.server.store().range(request).await?;
        let stored = answer.entries.first().map(|stored| stored.value.clone()).unwrap_or_default();
        Ok(encoded::string_at(&stored, &["apiVersion"]).is_some_and(|found| found != wanted))
    }
}

/// Reads a stored object as a version sees it. What was written by the schema of now is passed on as it is.
pub(crate) fn read(version: &custom::Version, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
    let definition = &version.definition;
    let wanted = format!("{}/{}", definition.group, version.name);
    let found = encoded::string_at(&entry.value, &["apiVersion"]).unwrap_or_default();
    if entry.value.is_empty() || (found == wanted && entry.mod_revision.0 >= definition.since) {
        return Ok(entry);
    }
    if found != wanted && definition.conversion != Conversion::None {
        return Err(Status::internal("conversion by a webhook is not available here"));
    }
    let mut object: Value = serde_json::from_slice(&entry.value)
        .map_err(|error| Status::internal(format!("a stored object cannot be decoded: {error}")))?;
    set_version(&mut object, &definition.group, &version.name);
    custom::prune(&mut object, version.root());
    custom::default(&mut object, version.root());
    Ok(Arc::new(Entry { value: storage::encode(&object)?, ..Entry::clone(&entry) }))
}

fn set_version(object: &mut Value, group: &str, version: &str) {
    object["apiVersion"] = format!("{group}/{version}").into();
}

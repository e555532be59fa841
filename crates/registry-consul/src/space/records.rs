//! Records of one area: JSON by id, with one further unique name each.

use std::marker::PhantomData;

use bytes::Bytes;
use portolan_store::{Compare, Entry, KeyRange, Operation, RangeRequest, Revision, Store, Txn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// A stored record, and how clients read it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record<T> {
    /// What was stored.
    #[serde(flatten)]
    pub(crate) value: T,
    /// Index at which it came into being.
    #[serde(rename = "CreateIndex")]
    pub(crate) created: u64,
    /// Index of its last change.
    #[serde(rename = "ModifyIndex")]
    pub(crate) modified: u64,
}

/// Why a record was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Another record has the name.
    Taken,
    /// Somebody changed the record since it was read.
    Stale,
    /// The store.
    Store(Error),
}

impl From<portolan_store::Error> for WriteError {
    fn from(error: portolan_store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error,
            WriteError::Taken => Self::Internal("another one has this name already".into()),
            WriteError::Stale => Self::Internal("somebody else changed it at the same time; try again".into()),
        }
    }
}

/// Records below one area.
pub(crate) struct Records<'a, T> {
    store: &'a dyn Store,
    area: &'static str,
    records: PhantomData<fn() -> T>,
}

impl<'a, T> Records<'a, T> {
    pub(super) fn new(store: &'a dyn Store, area: &'static str) -> Self {
        Self { store, area, records: PhantomData }
    }

    /// Prefix of the records.
    pub(crate) fn prefix(&self) -> Bytes {
        format!("/consul/{}/", self.area).into()
    }

    fn key(&self, id: &str) -> Bytes {
        format!("/consul/{}/id/{id}", self.area).into()
    }

    fn name(&self, name: &str) -> Bytes {
        format!("/consul/{}/name/{name}", self.area).into()
    }

    async fn read(&self, range: KeyRange) -> Result<Vec<std::sync::Arc<Entry>>, Error> {
        Ok(self.store.range(RangeRequest { range, revision: None, limit: 0 }).await?.entries)
    }

    /// Deletes a record and its name. `false` if it was not there like this any more.
    pub(crate) async fn delete(&self, id: &str, modified: u64, name: Option<&str>) -> Result<bool, Error> {
        self.delete_with(id, modified, name, vec![], vec![]).await
    }

    /// As [`Records::delete`], with further conditions and steps in the same transaction.
    pub(crate) async fn delete_with(
        &self,
        id: &str,
        modified: u64,
        name: Option<&str>,
        mut compare: Vec<Compare>,
        mut success: Vec<Operation>,
    ) -> Result<bool, Error> {
        compare.push(Compare::ModRevision { key: self.key(id), equals: Revision(modified) });
        success.extend(self.deletion(id, name));
        Ok(self.store.txn(Txn { compare, success, failure: vec![] }).await?.succeeded)
    }

    /// The steps that delete a record.
    pub(crate) fn deletion(&self, id: &str, name: Option<&str>) -> Vec<Operation> {
        let keys = std::iter::once(self.key(id)).chain(name.map(|name| self.name(name)));
        keys.map(|key| Operation::Delete { range: KeyRange::key(key) }).collect()
    }
}

impl<T: Serialize + DeserializeOwned> Records<'_, T> {
    /// A record by id.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<Record<T>>, Error> {
        self.read(KeyRange::key(self.key(id))).await?.first().map(|entry| decode(entry)).transpose()
    }

    /// A record by its further name.
    pub(crate) async fn by_name(&self, name: &str) -> Result<Option<Record<T>>, Error> {
        let found = self.read(KeyRange::key(self.name(name))).await?;
        match found.first().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()) {
            Some(id) => self.get(&id).await,
            None => Ok(None),
        }
    }

    /// All records, by id.
    pub(crate) async fn list(&self) -> Result<Vec<Record<T>>, Error> {
        let found = self.read(KeyRange::prefix(self.key(""))).await?;
        found.iter().map(|entry| decode(entry)).collect()
    }

    /// Writes a record. `before` is what it replaces: its index and name.
    pub(crate) async fn put(
        &self,
        id: &str,
        name: Option<&str>,
        value: &T,
        before: Option<(u64, Option<&str>)>,
    ) -> Result<u64, WriteError> {
        self.put_with(id, name, value, before, vec![], vec![]).await
    }

    /// As [`Records::put`], with further conditions and steps in the same transaction.
    pub(crate) async fn put_with(
        &self,
        id: &str,
        name: Option<&str>,
        value: &T,
        before: Option<(u64, Option<&str>)>,
        mut compare: Vec<Compare>,
        mut success: Vec<Operation>,
    ) -> Result<u64, WriteError> {
        let encoded = serde_json::to_vec(value)
            .map_err(|error| WriteError::Store(Error::Internal(format!("cannot encode a record: {error}"))))?;
        let (modified, old_name) = before.unwrap_or_default();
        compare.push(Compare::ModRevision { key: self.key(id), equals: Revision(modified) });
        success.push(Operation::Put { key: self.key(id), value: encoded.into(), lease: None });
        if name != old_name {
            if let Some(name) = name {
                compare.push(Compare::ModRevision { key: self.name(name), equals: Revision(0) });
                let id = Bytes::copy_from_slice(id.as_bytes());
                success.push(Operation::Put { key: self.name(name), value: id, lease: None });
            }
            if let Some(old) = old_name {
                success.push(Operation::Delete { range: KeyRange::key(self.name(old)) });
            }
        }
        let response = self.store.txn(Txn { compare, success, failure: vec![] }).await?;
        if response.succeeded {
            return Ok(response.revision.0);
        }
        match name.filter(|_| name != old_name) {
            Some(name) if !self.read(KeyRange::key(self.name(name))).await.map_err(WriteError::Store)?.is_empty() => {
                Err(WriteError::Taken)
            }
            _ => Err(WriteError::Stale),
        }
    }
}

fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<Record<T>, Error> {
    let value = serde_json::from_slice(&entry.value)
        .map_err(|error| Error::Internal(format!("the stored record {:?} is damaged: {error}", entry.key)))?;
    Ok(Record { value, created: entry.create_revision.0, modified: entry.mod_revision.0 })
}

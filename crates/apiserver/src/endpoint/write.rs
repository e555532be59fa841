//! The transactions that writes end in.

use std::sync::Arc;

use bytes::Bytes;
use portolan_api::field;
use portolan_store::{Compare, Entry, KeyRange, Operation, RangeRequest, Revision, Txn};
use serde_json::Value;

use super::{Call, metadata};
use crate::admission::Charge;
use crate::request::Target;
use crate::resources::core::service_allocation::Grant;
use crate::server::Server;
use crate::status::Status;
use crate::{aggregation, authorization, extensions, fairness};

/// An object as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) stored: Bytes,
    pub(crate) revision: Revision,
}

impl From<&Arc<Entry>> for Written {
    fn from(entry: &Arc<Entry>) -> Self {
        Self { stored: entry.value.clone(), revision: entry.mod_revision }
    }
}

/// How often a write is tried again because another one came first.
pub(super) const ATTEMPTS: usize = 8;

/// Another write came first.
#[derive(Debug)]
pub(super) struct Moved;

/// Addresses and ports reserved for a Service until its write is through; given back otherwise.
#[must_use = "keep it after the write"]
pub(super) struct Reservation<'a> {
    server: &'a Server,
    grant: Option<Grant>,
}

impl Reservation<'_> {
    /// The object was written.
    pub(super) fn keep(mut self) {
        if let Some(grant) = self.grant.take() {
            self.server.allocator.lock().commit(grant);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.server.allocator.lock().abandon(grant);
        }
    }
}

impl<'a> Call<'a> {
    fn is_service(&self) -> bool {
        self.resource.group.is_empty() && self.resource.name == "services"
    }

    /// Chooses addresses and ports for a Service; nothing for other kinds.
    pub(super) fn reserve(&self, object: &mut Value, old: Option<&Value>) -> Result<Reservation<'a>, Status> {
        if !self.is_service() || !self.info.subresource.is_empty() {
            return Ok(Reservation { server: self.server, grant: None });
        }
        let granted = self.server.allocator.lock().allocate(object, old);
        let grant = granted.map_err(|errors| self.invalid(object, &errors))?;
        grant.apply(object);
        Ok(Reservation { server: self.server, grant: Some(grant) })
    }

    /// Writes an object if its key is still at `expected` (0: does not exist).
    pub(super) async fn put(
        &self,
        name: &str,
        stored: Bytes,
        expected: Revision,
        charge: Option<Charge>,
    ) -> Result<Result<Revision, Moved>, Status> {
        let key = self.key(name);
        let stored = self.in_storage_version(stored).await?;
        let lease = match (self.resource.group.as_ref(), self.resource.name.as_ref()) {
            ("" | "events.k8s.io", "events") => Some(self.server.event_leases.lease(self.server.store()).await?),
            _ => None,
        };
        let put = || Operation::Put { key: key.clone(), value: stored.clone(), lease };
        let Some(mut charge) = charge else { return self.apply(key.clone(), expected, put(), None).await };
        for _ in 0..ATTEMPTS {
            if let Ok(revision) = self.apply(key.clone(), expected, put(), Some(&charge)).await? {
                return Ok(Ok(revision));
            }
            let range = KeyRange::key(key.clone());
            let found = self.server.store().range(RangeRequest { range, revision: None, limit: 1 }).await?;
            if found.entries.first().map_or(Revision(0), |entry| entry.mod_revision) != expected {
                return Ok(Err(Moved));
            }
            // It was a quota that moved.
            charge.renew(self.server).await?.map_err(|why| Status::forbidden(&self.target(), name, &why))?;
        }
        Err(Status::modified(&Target { group: "", resource: "resourcequotas" }, ""))
    }

    /// Removes an object if its key is still at `expected`.
    pub(super) async fn remove(
        &self,
        name: &str,
        object: &Value,
        expected: Revision,
    ) -> Result<Result<Revision, Moved>, Status> {
        let key = self.key(name);
        let removed = self.apply(key.clone(), expected, Operation::Delete { range: KeyRange::key(key) }, None).await?;
        if removed.is_ok() {
            self.server.heartbeats.forget(&self.key(name));
        }
        if removed.is_ok() && self.is_service() {
            self.server.allocator.lock().release(object);
        }
        Ok(removed)
    }

    async fn apply(
        &self,
        key: Bytes,
        expected: Revision,
        operation: Operation,
        charge: Option<&Charge>,
    ) -> Result<Result<Revision, Moved>, Status> {
        let mut compare = vec![Compare::ModRevision { key, equals: expected }];
        let mut success = vec![operation];
        if let Some(charge) = charge {
            charge.add_to(&mut compare, &mut success);
        }
        let answer = self.server.store().txn(Txn { compare, success, failure: Vec::new() }).await?;
        if answer.succeeded && self.resource.group == extensions::GROUP {
            self.server.extensions.expect(answer.revision);
        }
        if answer.succeeded && self.resource.group == aggregation::GROUP {
            self.server.aggregation.expect(answer.revision);
        }
        if answer.succeeded && self.resource.group == authorization::bootstrap::API {
            self.server.authorizer.expect(answer.revision);
        }
        if answer.succeeded && self.resource.group == fairness::GROUP {
            self.server.fairness.iter().for_each(|fairness| fairness.expect(answer.revision));
        }
        if answer.succeeded && self.resource.group.is_empty() && self.resource.name == "pods" {
            self.server.authorizer.expect_pod(answer.revision);
        }
        if answer.succeeded && self.resource.group == "admissionregistration.k8s.io" {
            self.server.admission.expect(&self.resource.name, answer.revision);
        }
        Ok(if answer.succeeded { Ok(answer.revision) } else { Err(Moved) })
    }

    /// 422 about an object.
    pub(crate) fn invalid(&self, object: &Value, errors: &[field::Error]) -> Status {
        Status::invalid(&self.resource.group, &self.resource.kind, metadata::text(object, "name"), errors)
    }
}

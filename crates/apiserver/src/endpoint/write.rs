//! The transactions that writes end in.

use std::sync::Arc;

use bytes::Bytes;
use portolan_api::field;
use portolan_store::{Compare, Entry, KeyRange, Operation, RangeRequest, Revision, Txn};
use serde_json::Value;

use super::aftermath::{Aftermath, Holder, Reservation};
use super::{Call, metadata};
use crate::admission::Charge;
use crate::request::Target;
use crate::resources::core::service_allocation::{Moved as Addresses, Refusal};
use crate::resources::core::service_families;
use crate::service_addresses;
use crate::status::Status;

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

impl Call<'_> {
    fn is_service(&self) -> bool {
        self.resource.group.is_empty() && self.resource.name == "services"
    }

    /// Chooses addresses and ports for a Service; nothing for other kinds.
    pub(super) async fn reserve(
        &self,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Option<Arc<Reservation>>, Status> {
        if !self.is_service() || !self.info.subresource.is_empty() {
            return Ok(None);
        }
        service_families::settle(object, old).map_err(|errors| self.invalid(object, &errors))?;
        let ranges = self.server.service_ranges.usable().await?;
        loop {
            let granted = {
                let mut allocator = self.server.allocator.lock();
                allocator.use_ranges(&ranges);
                allocator.allocate(object, old)
            };
            let grant = granted.map_err(|refusal| match refusal {
                Refusal::Invalid(error) => self.invalid(object, &[error]),
                Refusal::Internal(why) => Status::internal(why),
            })?;
            let reservation = Reservation::new(self.server.shared(), grant);
            // Somebody may have written the address down without being a Service of this server.
            if let Some(address) = reservation.addresses().taken
                && service_addresses::is_taken(self.server, address).await?
            {
                drop(reservation);
                self.server.allocator.lock().hold_foreign(address);
                continue;
            }
            reservation.apply(object);
            return Ok(Some(Arc::new(reservation)));
        }
    }

    /// Writes a new object that nothing else is written with; `None` if there is one of its name.
    pub(crate) async fn put_new(&self, name: &str, stored: Bytes) -> Result<Option<Revision>, Status> {
        Ok(self.put(name, stored, Revision(0), None, None).await?.ok())
    }

    /// Writes an object if its key is still at `expected` (0: does not exist).
    pub(super) async fn put(
        &self,
        name: &str,
        stored: Bytes,
        expected: Revision,
        charge: Option<Charge>,
        reservation: Option<Arc<Reservation>>,
    ) -> Result<Result<Revision, Moved>, Status> {
        let key = self.key(name);
        let addresses = reservation.as_ref().map(|reservation| reservation.addresses()).unwrap_or_default();
        let written = || match self.is_definition() {
            true => Aftermath::Defined(name.to_owned()),
            false => Aftermath::Written(reservation.clone()),
        };
        let stored = self.in_storage_version(stored).await?;
        let lease = match (self.resource.group.as_ref(), self.resource.name.as_ref()) {
            ("" | "events.k8s.io", "events") => self.server.event_leases.lease(self.server.store()).await?,
            _ => None,
        };
        let put = || Operation::Put { key: key.clone(), value: stored.clone(), lease };
        let Some(mut charge) = charge else {
            let outcome = self.apply(key.clone(), expected, put(), None, (name, addresses), written()).await?;
            if outcome.is_err() && addresses.taken.is_some() && self.is_at(&key, expected).await? {
                return Err(address_is_gone(addresses));
            }
            return Ok(outcome);
        };
        for _ in 0..ATTEMPTS {
            let applied = self.apply(key.clone(), expected, put(), Some(&charge), (name, addresses), written()).await?;
            if let Ok(revision) = applied {
                return Ok(Ok(revision));
            }
            if !self.is_at(&key, expected).await? {
                return Ok(Err(Moved));
            }
            if let Some(address) = addresses.taken
                && service_addresses::is_taken(self.server, address).await?
            {
                return Err(address_is_gone(addresses));
            }
            // It was a quota that moved.
            charge.renew(self.server).await?.map_err(|why| Status::forbidden(&self.target(), name, &why))?;
        }
        Err(Status::modified(&Target { group: "", resource: "resourcequotas" }, ""))
    }

    /// Whether a key was written last at `expected`.
    async fn is_at(&self, key: &Bytes, expected: Revision) -> Result<bool, Status> {
        let range = KeyRange::key(key.clone());
        let found = self.server.store().range(RangeRequest { range, revision: None, limit: 1 }).await?;
        Ok(found.entries.first().map_or(Revision(0), |entry| entry.mod_revision) == expected)
    }

    /// Removes an object if its key is still at `expected`.
    pub(super) async fn remove(
        &self,
        name: &str,
        object: &Value,
        expected: Revision,
    ) -> Result<Result<Revision, Moved>, Status> {
        let key = self.key(name);
        let (mut addresses, mut holder) = (Addresses::default(), Holder::None);
        if self.is_service() {
            addresses = service_addresses::given_back(self.server, object).await?;
            holder = Holder::Service(object.clone());
        } else if (&*self.resource.group, &*self.resource.name)
            == (service_addresses::GROUP, service_addresses::ADDRESSES)
            && let Ok(address) = name.parse()
        {
            holder = Holder::Address(object.clone(), address);
        }
        let delete = Operation::Delete { range: KeyRange::key(key.clone()) };
        let removed = Aftermath::Removed(key.clone(), holder);
        self.apply(key, expected, delete, None, (name, addresses), removed).await
    }

    async fn apply(
        &self,
        key: Bytes,
        expected: Revision,
        operation: Operation,
        charge: Option<&Charge>,
        (name, addresses): (&str, Addresses),
        aftermath: Aftermath,
    ) -> Result<Result<Revision, Moved>, Status> {
        let mut compare = vec![Compare::ModRevision { key, equals: expected }];
        let mut success = vec![operation];
        if let Some(charge) = charge {
            charge.add_to(&mut compare, &mut success);
        }
        service_addresses::add_to(addresses, (self.namespace(), name), self.now, &mut compare, &mut success)?;
        self.write(Txn { compare, success, failure: Vec::new() }, aftermath).await
    }

    /// 422 about an object.
    pub(crate) fn invalid(&self, object: &Value, errors: &[field::Error]) -> Status {
        // Upstream has one type in memory for the events of both groups, and takes it for that of the first.
        let group = if self.resource.name == "events" { "" } else { &*self.resource.group };
        Status::invalid(group, &self.resource.kind, metadata::text(object, "name"), errors)
    }
}

/// Another server gave the address away between the choice and the write.
fn address_is_gone(addresses: Addresses) -> Status {
    let address = addresses.taken.map(|address| address.to_string()).unwrap_or_default();
    Status::internal(format!("failed to allocate IP {address}: it was taken meanwhile; try again"))
}

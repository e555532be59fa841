//! Where the addresses of Services come from, and the objects that say who has which.
//!
//! Addresses are chosen in memory, out of the `ServiceCIDR` objects in the store. Each address that a Service has
//! is an `IPAddress` object as well, written and deleted in the transaction that gives or takes it: so two servers
//! over one store can never give the same address twice. At start and every few minutes both sides are compared, and
//! what is missing or left over is repaired.

mod repair;
mod reports;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use portolan_api::time;
use portolan_base::Timestamp;
use portolan_store::{Compare, Entry, EventKind, KeyRange, Operation, Revision, Store, Txn};
use serde_json::{Value, json};

use crate::authorization::followed::{Followed, View};
use crate::config::Network;
use crate::resources::core::service_allocation::{Moved, address_of};
use crate::resources::json::{items, text};
use crate::server::Server;
use crate::status::Status;
use crate::storage;

pub(crate) use repair::{keep, run as repair};
pub(crate) use reports::Reports;
use reports::{Told, regarding, report};

/// Group of the objects about addresses.
pub(crate) const GROUP: &str = "networking.k8s.io";
/// Objects that say who has an address.
pub(crate) const ADDRESSES: &str = "ipaddresses";
/// Objects that say which ranges there are.
const RANGES: &str = "servicecidrs";

const PREFIX: &str = "/registry/networking.k8s.io/servicecidrs/";

/// The label by which addresses of Services are known, and its value.
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");

/// The label by which they are known to be of one family, and the one that is served.
const FAMILY: (&str, &str) = ("ipaddress.kubernetes.io/ip-family", "IPv4");

/// Attempts at a Service that is being changed; the next comparison repairs what is left.
const RESTORES: usize = 5;

/// The ranges in the store.
pub(crate) struct ServiceRanges(Followed<Ranges>);

/// By name of the object; only those that addresses may come from.
#[derive(Default)]
struct Ranges(BTreeMap<String, Vec<Network>>);

impl View for Ranges {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let key = String::from_utf8_lossy(&entry.key);
        let Some(name) = key.strip_prefix(PREFIX) else { return };
        self.0.remove(name);
        let object = match kind {
            EventKind::Delete => return,
            EventKind::Put => serde_json::from_slice::<Value>(&entry.value).unwrap_or_default(),
        };
        if object["metadata"].get("deletionTimestamp").is_some() {
            return;
        }
        self.0.insert(name.to_owned(), networks(&object));
    }
}

impl ServiceRanges {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(Followed::new(store, PREFIX))
    }

    /// Says that an object of this resource of the group was written at `revision`.
    pub(crate) fn expect_of(&self, resource: &str, revision: Revision) {
        if resource == RANGES {
            self.0.expect(revision);
        }
    }

    /// The networks that addresses come from now: that of every cluster, then the others by name.
    pub(crate) async fn usable(&self) -> Result<Vec<Network>, Status> {
        self.0.refresh().await?;
        let view = self.0.view();
        let (own, others): (Vec<_>, Vec<_>) = view.0.iter().partition(|(name, _)| *name == "kubernetes");
        Ok(own.into_iter().chain(others).flat_map(|(_, networks)| networks).copied().collect())
    }
}

/// The networks of a range. Of IPv4: others are not configured on this cluster.
fn networks(range: &Value) -> Vec<Network> {
    items(&range["spec"]["cidrs"]).iter().filter_map(|cidr| text(cidr).parse().ok()).collect()
}

fn key(address: Ipv4Addr) -> Bytes {
    storage::key(GROUP, ADDRESSES, "", &address.to_string())
}

/// Whether something has an address.
pub(crate) async fn is_taken(server: &Server, address: Ipv4Addr) -> Result<bool, Status> {
    Ok(storage::find(server, GROUP, ADDRESSES, "", &address.to_string()).await?.is_some())
}

/// The object that says that a Service has an address.
fn object(address: Ipv4Addr, namespace: &str, name: &str, now: Timestamp) -> Value {
    let owned = json!({
        "f:metadata": {"f:labels": {".": {}, (format!("f:{}", FAMILY.0)): {}, (format!("f:{}", MANAGED_BY.0)): {}}},
        "f:spec": {"f:parentRef": {".": {}, "f:name": {}, "f:namespace": {}, "f:resource": {}}},
    });
    json!({
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": address.to_string(), "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": time::format(now), "labels": {(FAMILY.0): FAMILY.1, (MANAGED_BY.0): MANAGED_BY.1},
            "managedFields": [{
                "apiVersion": "networking.k8s.io/v1", "fieldsType": "FieldsV1", "fieldsV1": owned,
                "manager": "kube-apiserver", "operation": "Update", "time": time::format(now),
            }],
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    })
}

/// Adds to the write of a Service what becomes of its addresses.
pub(crate) fn add_to(
    moved: Moved,
    (namespace, name): (&str, &str),
    now: Timestamp,
    compare: &mut Vec<Compare>,
    success: &mut Vec<Operation>,
) -> Result<(), Status> {
    if let Some(address) = moved.taken {
        let value = storage::encode(&object(address, namespace, name, now))?;
        compare.push(Compare::ModRevision { key: key(address), equals: Revision(0) });
        success.push(Operation::Put { key: key(address), value, lease: None });
    }
    if let Some(address) = moved.freed {
        success.push(Operation::Delete { range: KeyRange::key(key(address)) });
    }
    Ok(())
}

/// The address of a Service that is to go, if its object says so: what somebody else has stays.
pub(crate) async fn given_back(server: &Server, service: &Value) -> Result<Moved, Status> {
    let Some(address) = address_of(service) else { return Ok(Moved::default()) };
    let found = storage::find(server, GROUP, ADDRESSES, "", &address.to_string()).await?;
    let found = found.and_then(|entry| storage::decode(&entry).ok());
    let is_own = found.is_some_and(|object| parent(&object) == Some(id(service)));
    Ok(Moved { taken: None, freed: is_own.then_some(address) })
}

/// Somebody deleted the object that says that a Service has an address: as long as it has it, it is said again.
pub(crate) async fn restore(server: &Server, gone: &Value, address: Ipv4Addr) -> Result<(), Status> {
    let Some((namespace, name)) = &parent(gone) else { return Ok(()) };
    for _ in 0..RESTORES {
        let Some(entry) = storage::find(server, "", "services", namespace, name).await? else { return Ok(()) };
        let service = storage::decode(&entry)?;
        if address_of(&service) != Some(address) {
            return Ok(());
        }
        let mut compare = vec![Compare::ModRevision { key: entry.key.clone(), equals: entry.mod_revision }];
        let mut success = Vec::new();
        let moved = Moved { taken: Some(address), freed: None };
        add_to(moved, (namespace, name), server.config.clock.now(), &mut compare, &mut success)?;
        let written = server.store().txn(Txn { compare, success, failure: Vec::new() }).await?;
        if written.succeeded {
            report(server, regarding(&service, "Service", "v1"), Told::not_allocated(address)).await;
            return Ok(());
        }
        if is_taken(server, address).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Namespace and name.
type Id = (String, String);

fn id(object: &Value) -> Id {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// The Service that an address belongs to, if it belongs to one.
fn parent(address: &Value) -> Option<Id> {
    let field = |name: &str| text(&address["spec"]["parentRef"][name]);
    let is_service = field("resource") == "services" && field("group").is_empty();
    is_service.then(|| (field("namespace").to_owned(), field("name").to_owned()))
}

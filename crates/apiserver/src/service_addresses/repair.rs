//! Compares what Services have with what is said of it, and repairs the latter.
//!
//! Source: `repairip.go` of `kubernetes/pkg/registry/core/service/ipallocator/controller` and `repair.go` of
//! `portallocator/controller`.

mod plan;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use portolan_base::Timestamp;
use portolan_store::{Compare, KeyRange, Operation, RangeRequest, RangeResponse, Revision, Txn};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::plan::{Action, Repair, Subject};
use super::reports::{regarding, report_all};
use super::{ADDRESSES, GROUP, Id, PREFIX, id, key, networks, object};
use crate::config::Network;
use crate::resources::core::service_allocation::address_of;
use crate::rounds;
use crate::server::Server;
use crate::status::Status;
use crate::storage;

/// How often both sides are compared, as upstream.
const ROUND: Duration = Duration::from_secs(180);

/// Repairs that are written at a time.
const BATCH: usize = 64;

/// Compares again and again until `stop`.
pub(crate) async fn keep(server: Arc<Server>, stop: CancellationToken) {
    rounds::every(&stop, ROUND, || async {
        if let Err(error) = run(&server).await {
            tracing::warn!(%error, "the addresses of services could not be repaired");
        }
    })
    .await;
}

/// What was in the store at one moment.
struct Seen {
    services: Vec<Value>,
    /// Only those of IPv4: others are not given to Services here.
    addresses: HashMap<Ipv4Addr, Value>,
    ranges: Vec<Network>,
    node_ports: RangeInclusive<u16>,
}

/// Tells the allocator which addresses and ports are taken, and writes the objects that say so where they are
/// missing or wrong; removes those of Services that are gone. Whoever is concerned is told by events.
pub(crate) async fn run(server: &Server) -> Result<(), Status> {
    let now = server.config.clock.now();
    let returns = server.allocator.lock().returns();
    let services = all(server, storage::prefix("", "services", ""), None).await?;
    let at = Some(services.revision);
    let addresses = all(server, storage::prefix(GROUP, ADDRESSES, ""), at).await?;
    let ranges = all(server, Bytes::from_static(PREFIX.as_bytes()), at).await?;
    let decoded = |found: RangeResponse| -> Result<Vec<Value>, Status> {
        found.entries.iter().map(|entry| storage::decode(entry)).collect()
    };
    let addresses = decoded(addresses)?.into_iter().filter_map(|object| Some((id(&object).1.parse().ok()?, object)));
    let seen = Seen {
        services: decoded(services)?,
        addresses: addresses.collect(),
        ranges: decoded(ranges)?.iter().flat_map(networks).collect(),
        node_ports: server.config.networks.node_ports.clone(),
    };
    {
        let mut allocator = server.allocator.lock();
        allocator.compare(&seen.services, returns);
        allocator.hold_all_foreign(plan::foreign(&seen), returns);
    }
    apply(server, &seen, plan::plan(&seen, now), now).await
}

async fn apply(server: &Server, seen: &Seen, repairs: Vec<Repair>, now: Timestamp) -> Result<(), Status> {
    let mut writes = Vec::new();
    for repair in &repairs {
        tracing::warn!(?repair, "an address or port of a Service is not what it should be");
        writes.extend(transaction(seen, repair, now).transpose()?);
    }
    let mut writes = writes.into_iter().peekable();
    while writes.peek().is_some() {
        // One that does not apply is of something that changed meanwhile: the next round looks again.
        try_join_all(writes.by_ref().take(BATCH).map(|txn| server.store().txn(txn))).await?;
    }
    let told = repairs.into_iter().filter_map(|Repair { subject, told, .. }| {
        let regarding = match subject {
            Subject::Service(index) => regarding(&seen.services[index], "Service", "v1"),
            Subject::Address(address) => regarding(&seen.addresses[&address], "IPAddress", "networking.k8s.io/v1"),
        };
        Some((regarding, told?))
    });
    report_all(server, told.collect());
    Ok(())
}

/// What is written; it applies as long as what was seen is so.
fn transaction(seen: &Seen, repair: &Repair, now: Timestamp) -> Option<Result<Txn, Status>> {
    let revision = |object: Option<&Value>| {
        let text = object.and_then(|object| object["metadata"]["resourceVersion"].as_str());
        Revision(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    let is_still = |key: Bytes, object: Option<&Value>| Compare::ModRevision { key, equals: revision(object) };
    match (&repair.action, repair.subject) {
        (Action::Write(address), Subject::Service(index)) => {
            let service = &seen.services[index];
            let (namespace, name): Id = id(service);
            let of_service = storage::key("", "services", &namespace, &name);
            let compare =
                vec![is_still(key(*address), seen.addresses.get(address)), is_still(of_service, Some(service))];
            debug_assert_eq!(address_of(service), Some(*address), "it is this Service's address");
            let made = object(*address, &namespace, &name, now);
            let written = match seen.addresses.get(address) {
                None => made,
                Some(found) => corrected(found, &made),
            };
            Some(storage::encode(&written).map(|value| Txn {
                compare,
                success: vec![Operation::Put { key: key(*address), value, lease: None }],
                failure: Vec::new(),
            }))
        }
        (Action::Remove, Subject::Address(address)) => Some(Ok(Txn {
            compare: vec![is_still(key(address), seen.addresses.get(&address))],
            success: vec![Operation::Delete { range: KeyRange::key(key(address)) }],
            failure: Vec::new(),
        })),
        _ => None,
    }
}

/// An object that says who has an address, saying now what it should. Who follows it knows it by its UID.
fn corrected(found: &Value, wanted: &Value) -> Value {
    let mut new = found.clone();
    if new["spec"] != wanted["spec"] {
        new["spec"].clone_from(&wanted["spec"]);
    }
    for (name, value) in wanted["metadata"]["labels"].as_object().into_iter().flatten() {
        new["metadata"]["labels"][name] = value.clone();
    }
    new
}

async fn all(server: &Server, prefix: Bytes, revision: Option<Revision>) -> Result<RangeResponse, Status> {
    Ok(server.store().range(RangeRequest { range: KeyRange::prefix(prefix), revision, limit: 0 }).await?)
}

//! ResourceQuota: what a namespace uses is counted before it is used.
//!
//! The new count is written in the transaction that writes the object, on the condition that nobody wrote the
//! quota meanwhile: no two requests can take what is there for one, and no count stays behind an object that was
//! not written. Requests of one namespace with quotas wait for each other only for that moment.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_api::quota::{self, Amounts};
use portolan_store::{Compare, Entry, KeyRange, Operation as Step, RangeRequest, Revision};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::attributes::{Attributes, Operation};
use crate::bootstrap::{Own, SERVER};
use crate::endpoint::Call;
use crate::request::Query;
use crate::server::Server;
use crate::status::Status;
use crate::storage;

mod limited;

pub(super) use limited::LimitedResource;

/// Who charges the quotas of which namespace.
#[derive(Debug, Default)]
pub(super) struct Tills(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Tills {
    async fn enter(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let till = {
            let mut tills = self.0.lock();
            // Whoever holds or waits for one has a copy of it.
            tills.retain(|name, till| name == namespace || Arc::strong_count(till) > 1);
            tills.entry(namespace.to_owned()).or_default().clone()
        };
        till.lock_owned().await
    }
}

/// What is to be written to quotas together with an object.
pub(crate) struct Charge {
    delta: Amounts,
    quotas: Vec<Charged>,
    _turn: OwnedMutexGuard<()>,
}

struct Charged {
    key: Bytes,
    revision: Revision,
    value: Bytes,
}

/// Checks a write against the quotas of its namespace; leaves in `attributes` what is to be charged.
pub(super) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if !is_counted(attributes) {
        return Ok(());
    }
    let server = attributes.call.server;
    let namespace = attributes.call.namespace().to_owned();
    let limited = server.config.access.admission.limited_resources.as_slice();
    if limited.is_empty() && quotas(server, &namespace).await?.is_empty() {
        return Ok(());
    }
    let turn = server.admission.tills.enter(&namespace).await;
    // Read again: those before us have charged.
    let quotas = quotas(server, &namespace).await?;
    let decoded = quotas.into_iter().map(|entry| Ok((storage::decode(&entry)?, entry)));
    let quotas = decoded.collect::<Result<Vec<(Value, Arc<Entry>)>, Status>>()?;
    let concerned = concerned(attributes, &quotas)?;
    let delta = delta(attributes)?;
    if delta.is_empty() {
        return Ok(());
    }
    if !limited.is_empty() {
        let covering: Vec<&Value> = concerned.iter().map(|(quota, _)| quota).collect();
        let all: Vec<&Value> = quotas.iter().map(|(quota, _)| quota).collect();
        limited::check(attributes, limited, &covering, &all)?;
    }
    if concerned.is_empty() {
        return Ok(());
    }
    let mut charged = Vec::new();
    for (quota, entry) in &concerned {
        charged.extend(charge(server, entry, quota, &delta)?.map_err(|why| attributes.forbidden(&why))?);
    }
    if !attributes.dry_run && !charged.is_empty() {
        attributes.charge = Some(Charge { delta, quotas: charged, _turn: turn });
    }
    Ok(())
}

impl Charge {
    /// Conditions and steps that belong into the transaction of the object.
    pub(crate) fn add_to(&self, compare: &mut Vec<Compare>, steps: &mut Vec<Step>) {
        for it in &self.quotas {
            compare.push(Compare::ModRevision { key: it.key.clone(), equals: it.revision });
            steps.push(Step::Put { key: it.key.clone(), value: it.value.clone(), lease: None });
        }
    }

    /// Calculates once more because a quota was written by somebody else. The error is why it is too much now.
    pub(crate) async fn renew(&mut self, server: &Server) -> Result<Result<(), String>, Status> {
        let mut renewed = Vec::new();
        for it in &self.quotas {
            let request = RangeRequest { range: KeyRange::key(it.key.clone()), revision: None, limit: 1 };
            // A quota that is gone limits nothing.
            let Some(entry) = server.store().range(request).await?.entries.into_iter().next() else { continue };
            match charge(server, &entry, &storage::decode(&entry)?, &self.delta)? {
                Ok(charged) => renewed.extend(charged),
                Err(why) => return Ok(Err(why)),
            }
        }
        self.quotas = renewed;
        Ok(Ok(()))
    }
}

fn is_counted(attributes: &Attributes<'_>) -> bool {
    let is_resize = attributes.is("", "pods") && attributes.subresource() == "resize";
    if attributes.call.namespace().is_empty() || !(attributes.subresource().is_empty() || is_resize) {
        return false;
    }
    match attributes.operation {
        Operation::Create => true,
        Operation::Update => is_resize || attributes.is("", "services") || attributes.is("", "persistentvolumeclaims"),
        Operation::Delete | Operation::Connect => false,
    }
}

/// Whether there are quotas in the namespace of a request.
pub(super) async fn has_quotas(call: &Call<'_>) -> Result<bool, Status> {
    Ok(!quotas(call.server, call.namespace()).await?.is_empty())
}

async fn quotas(server: &Server, namespace: &str) -> Result<Vec<Arc<Entry>>, Status> {
    let range = KeyRange::prefix(storage::prefix("", "resourcequotas", namespace));
    Ok(server.store().range(RangeRequest { range, revision: None, limit: 0 }).await?.entries)
}

/// The quotas that speak of the object. Until its use was counted for the first time, a quota limits nothing.
fn concerned<'q>(
    attributes: &Attributes<'_>,
    quotas: &'q [(Value, Arc<Entry>)],
) -> Result<Vec<&'q (Value, Arc<Entry>)>, Status> {
    let resource = attributes.call.resource;
    let mut concerned = Vec::new();
    for both in quotas {
        let (quota, _) = both;
        let hard = Amounts::read(&quota["status"]["hard"]);
        let counted = hard.only(|name| quota::counts(&resource.group, &resource.name, name));
        let in_scope = quota::in_scope(&quota["spec"], &resource.group, &resource.name, &attributes.new);
        if counted.is_empty() || !in_scope {
            continue;
        }
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        if attributes.is("", "pods") {
            let missing = quota::pod_misses(&attributes.new, |name| counted.get(name).is_some());
            if !missing.is_empty() {
                let parts: Vec<String> = missing
                    .iter()
                    .map(|(what, who)| format!("{what} for: {}", who.iter().cloned().collect::<Vec<_>>().join(",")))
                    .collect();
                return Err(attributes.forbidden(&format!("failed quota: {name}: must specify {}", parts.join("; "))));
            }
        }
        let used = Amounts::read(&quota["status"]["used"]);
        let unknown: Vec<&str> = counted.iter().map(|(name, _)| name).filter(|name| used.get(name).is_none()).collect();
        if !unknown.is_empty() {
            let why = format!("status unknown for quota: {name}, resources: {}", unknown.join(","));
            return Err(attributes.forbidden(&why));
        }
        concerned.push(both);
    }
    Ok(concerned)
}

/// What the write adds to the use.
fn delta(attributes: &Attributes<'_>) -> Result<Amounts, Status> {
    let resource = attributes.call.resource;
    let usage = |object: &Value| quota::usage(&resource.group, &resource.name, object, attributes.call.now);
    let new = usage(&attributes.new);
    let negative: Vec<&str> = new.iter().filter(|(_, quantity)| quantity.is_negative()).map(|(name, _)| name).collect();
    if !negative.is_empty() {
        return Err(attributes.forbidden(&format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    let before = if attributes.operation == Operation::Update { usage(attributes.old) } else { Amounts::default() };
    Ok(new.minus(&before))
}

/// The quota with `delta` added to what is used; nothing if that changes nothing. The inner error says what is too much.
fn charge(
    server: &Server,
    entry: &Entry,
    quota: &Value,
    delta: &Amounts,
) -> Result<Result<Option<Charged>, String>, Status> {
    let hard = Amounts::read(&quota["status"]["hard"]);
    let mut used = Amounts::read(&quota["status"]["used"]);
    let requested = delta.only(|name| hard.get(name).is_some());
    if requested.is_empty() {
        return Ok(Ok(None));
    }
    let before = used.clone();
    used.add_all(&requested);
    let exceeds = |name: &str| requested.get(name).is_some() && used.get(name) > hard.get(name);
    let too_much = requested.only(exceeds);
    if !too_much.is_empty() {
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let (used, limited) = (before.only(exceeds), hard.only(exceeds));
        return Ok(Err(format!("exceeded quota: {name}, requested: {too_much}, used: {used}, limited: {limited}")));
    }
    let mut charged = quota.clone();
    charged["status"]["used"] = used.to_value();
    own_status(server, quota, &mut charged)?;
    let value = storage::encode(&charged)?;
    Ok(Ok(Some(Charged { key: entry.key.clone(), revision: entry.mod_revision, value })))
}

/// Records that the server itself wrote the status of a quota.
fn own_status(server: &Server, old: &Value, new: &mut Value) -> Result<(), Status> {
    let own = Own::about(old, "update", SERVER, Query::default());
    let own = own.map_err(|error| Status::internal(error.to_string()))?.of_status();
    own.call(server).track(Some(old), new)
}

//! Renewals of node leases, kept in memory: a heartbeat does not pass through the log.
//!
//! An update of a lease in `kube-node-lease` that changes nothing but `spec.renewTime` (and the times
//! in `managedFields`) is kept here and answered as any update, with the resource version that the
//! lease already has, because nothing was written. Whoever reads the lease sees the newest time; who
//! watches it sees what is written: that it came, changed and went. Any other change is an ordinary
//! write and takes the newest time along.
//!
//! What is kept here is lost with the process. Whoever draws conclusions from silence must therefore
//! count from what it heard itself; see the node life cycle controller.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_api::time;
use portolan_store::{Entry, Revision};
use serde_json::Value;

use crate::endpoint::Call;
use crate::status::Status;
use crate::storage;

const NAMESPACE: &str = "kube-node-lease";

/// The newest renewal of each lease.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<Bytes, Renewal>>);

/// A renewal that was answered but not written.
#[derive(Debug, Clone)]
struct Renewal {
    /// Of the lease, so that one of the same name that comes later does not inherit it.
    uid: String,
    renew_time: String,
    /// The version that was renewed.
    revision: Revision,
    /// The lease as it was answered, for readers of that version.
    stored: Bytes,
}

impl Heartbeats {
    /// Keeps a renewal of a version of a lease, unless a newer one is known.
    fn keep(&self, key: Bytes, revision: Revision, new: &Value, stored: Bytes) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (uid, renew_time) = (text(&new["metadata"]["uid"]), text(&new["spec"]["renewTime"]));
        let mut renewals = self.0.lock();
        let newer = |known: &Renewal| known.uid == uid && !is_older(&known.renew_time.as_str().into(), &renew_time);
        if !renewals.get(&key).is_some_and(newer) {
            renewals.insert(key, Renewal { uid, renew_time, revision, stored });
        }
    }

    /// Forgets a lease that is gone.
    pub(crate) fn forget(&self, key: &Bytes) {
        self.0.lock().remove(key);
    }

    /// The lease with its newest renewal.
    fn renewed(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
        let Some(renewal) = self.0.lock().get(&entry.key).cloned() else { return Ok(entry) };
        if renewal.revision == entry.mod_revision {
            return Ok(Arc::new(Entry { value: renewal.stored, ..Entry::clone(&entry) }));
        }
        // A write passed the renewal by: the newer of the two times counts.
        let mut lease = storage::decode(&entry)?;
        if entry.mod_revision < renewal.revision || lease["metadata"]["uid"] != renewal.uid.as_str() {
            return Ok(entry);
        }
        if !is_older(&lease["spec"]["renewTime"], &renewal.renew_time) {
            self.0.lock().remove(&entry.key);
            return Ok(entry);
        }
        lease["spec"]["renewTime"] = renewal.renew_time.into();
        Ok(Arc::new(Entry { value: storage::encode(&lease)?, ..Entry::clone(&entry) }))
    }
}

/// Whether a time is before another; a text that is none is before all.
fn is_older(time: &Value, than: &str) -> bool {
    match (time.as_str().and_then(time::parse), time::parse(than)) {
        (Some(time), Some(than)) => time < than,
        (None, than) => than.is_some(),
        (Some(_), None) => false,
    }
}

impl Call<'_> {
    /// Whether the request is about leases whose renewals stay in memory.
    pub(crate) fn beats(&self) -> bool {
        self.resource.group == "coordination.k8s.io"
            && self.resource.name == "leases"
            && matches!(self.namespace(), NAMESPACE | "")
    }

    /// An object as readers see it: a node's lease with its newest renewal, any other as it is stored.
    pub(crate) fn current(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
        if self.beats() { self.server.heartbeats.renewed(entry) } else { Ok(entry) }
    }

    /// The same for many objects.
    pub(crate) fn current_all(&self, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
        if !self.beats() {
            return Ok(entries);
        }
        entries.into_iter().map(|entry| self.current(entry)).collect()
    }

    /// Keeps a change in memory if it is but a renewal; `false` if it must be written.
    pub(crate) fn renews(&self, entry: &Entry, old: &Value, new: &Value, stored: &Bytes) -> bool {
        let renewal = self.beats()
            && new["spec"]["renewTime"].is_string()
            && new["metadata"].get("deletionTimestamp").is_none()
            && timeless(old) == timeless(new);
        if renewal {
            self.server.heartbeats.keep(entry.key.clone(), entry.mod_revision, new, stored.clone());
        }
        renewal
    }

    /// Lets a change that is written not take back a renewal that its author had not seen.
    pub(crate) fn keep_renewal(&self, old: &Value, new: &mut Value) {
        let Some(known) = old["spec"]["renewTime"].as_str().filter(|_| self.beats()) else { return };
        if new["spec"]["renewTime"].is_string() && is_older(&new["spec"]["renewTime"], known) {
            new["spec"]["renewTime"] = known.into();
        }
    }
}

/// A lease without the times that a renewal changes.
fn timeless(lease: &Value) -> Value {
    let mut lease = lease.clone();
    if let Some(spec) = lease["spec"].as_object_mut() {
        spec.remove("renewTime");
    }
    if let Some(metadata) = lease["metadata"].as_object_mut() {
        // Already compared, and not part of what is stored.
        metadata.remove("resourceVersion");
    }
    for entry in lease["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("time");
        }
    }
    lease
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newer_of_two_times_is_told_by_the_time_and_not_by_its_text() {
        let cases = [
            (json!("2026-01-01T00:00:00.000000Z"), "2026-01-01T00:00:10.000000Z", true),
            (json!("2026-01-01T00:00:10.000000Z"), "2026-01-01T00:00:10.000000Z", false),
            (json!("2026-01-01T01:00:00.000000+01:00"), "2026-01-01T00:00:01.000000Z", true),
            (json!(null), "2026-01-01T00:00:01.000000Z", true),
        ];
        for (time, than, older) in cases {
            assert_eq!(is_older(&time, than), older, "{time} {than}");
        }
    }
}

//! Objects that are encrypted where they are stored.
//!
//! A store around the store: what is written is encrypted, what is read and watched decrypted, so
//! that nobody above knows. Watchers of encrypted kinds do not share the bytes of an event; those of
//! all others do.

mod cipher;
mod configuration;
pub(crate) mod reload;
mod rule;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use portolan_store::{
    Entry, Error, Event, EventKind, KeyRange, LeaseId, LeaseStatus, Operation, OperationResult, RangeRequest,
    RangeResponse, Revision, Status, Store, Txn, TxnResponse, Watch, WatchItem, WatchRequest,
};

pub use configuration::Encryption;

use cipher::Failed;
use reload::Reload;
use rule::Rule;

/// The store, with some of its values encrypted.
#[derive(Debug)]
pub(crate) struct EncryptedStore {
    inner: Arc<dyn Store>,
    rules: Arc<Rules>,
    /// Where new rules come from while it is in use.
    reload: Option<Reload>,
}

/// The rules, which may be replaced.
#[derive(Debug)]
struct Rules(RwLock<Arc<Vec<Rule>>>);

impl Rules {
    /// Those that count now.
    fn now(&self) -> Arc<Vec<Rule>> {
        self.0.read().clone()
    }

    fn replace(&self, rules: Vec<Rule>) {
        *self.0.write() = Arc::new(rules);
    }
}

impl EncryptedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, settings: Encryption) -> Self {
        let rules = Arc::new(Rules(RwLock::new(Arc::new(settings.rules))));
        Self { inner, rules, reload: settings.source.map(Reload::new) }
    }

    /// What is stored, as it is stored: for who looks at keys alone.
    pub(crate) fn below(&self) -> &dyn Store {
        &*self.inner
    }

    /// Whether the newest version of a key is stored otherwise than it would be now: writing it
    /// again, even unchanged, is worth the while.
    pub(crate) async fn is_stale(&self, key: &Bytes) -> bool {
        let rules = self.rules.now();
        let Some(rule) = find(&rules, key) else { return false };
        let request = RangeRequest { range: KeyRange::key(key.clone()), revision: None, limit: 1 };
        let stored = self.inner.range(request).await;
        stored.is_ok_and(|answer| answer.entries.first().is_some_and(|entry| !rule.is_current(key, &entry.value)))
    }
}

fn find<'a>(rules: &'a [Rule], key: &[u8]) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.holds(key))
}

fn decrypted(rules: &[Rule], entry: Arc<Entry>) -> Result<Arc<Entry>, Error> {
    let Some(rule) = find(rules, &entry.key) else { return Ok(entry) };
    let value = rule.decrypt(&entry.key, &entry.value).map_err(|why| failed("decrypt", &entry.key, why))?;
    Ok(Arc::new(Entry { value, ..Entry::clone(&entry) }))
}

fn failed(operation: &str, key: &[u8], why: Failed) -> Error {
    let operation = format!("{operation} {}: {why}", String::from_utf8_lossy(key));
    Error::Backend { operation, source: Arc::new(why) }
}

fn all(rules: &[Rule], entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Error> {
    entries.into_iter().map(|entry| decrypted(rules, entry)).collect()
}

/// What a watch delivers, readable.
fn readable(rules: &[Rule], item: WatchItem) -> WatchItem {
    let WatchItem::Events(events) = item else { return item };
    if !events.iter().any(|event| find(rules, &event.entry.key).is_some()) {
        return WatchItem::Events(events);
    }
    let readable = events.into_iter().map(|event| {
        if find(rules, &event.entry.key).is_none() {
            return Ok(event);
        }
        let entry = match event.kind {
            EventKind::Put => decrypted(rules, event.entry.clone())?,
            EventKind::Delete => event.entry.clone(),
        };
        let previous = event.previous.clone().map(|previous| decrypted(rules, previous)).transpose()?;
        Ok(Arc::new(Event { kind: event.kind, entry, previous, encoded: Default::default() }))
    });
    match readable.collect::<Result<Vec<_>, Error>>() {
        Ok(events) => WatchItem::Events(events),
        Err(error) => {
            tracing::error!(error = %portolan_base::error::chain(&error), "a watch ends");
            WatchItem::Closed
        }
    }
}

#[async_trait::async_trait]
impl Store for EncryptedStore {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let answer = self.inner.range(request).await?;
        Ok(RangeResponse { entries: all(&self.rules.now(), answer.entries)?, ..answer })
    }

    async fn txn(&self, mut txn: Txn) -> Result<TxnResponse, Error> {
        let rules = self.rules.now();
        for operation in txn.success.iter_mut().chain(&mut txn.failure) {
            if let Operation::Put { key, value, .. } = operation
                && let Some(rule) = find(&rules, key)
            {
                let sealed = rule.encrypt(key, std::mem::take(value));
                *value = sealed.map_err(|why| failed("encrypt", key, why))?;
            }
        }
        let mut answer = self.inner.txn(txn).await?;
        // They may have been replaced meanwhile, and what is read be newer than those above.
        let rules = self.rules.now();
        for result in &mut answer.results {
            match result {
                OperationResult::Put { previous } => {
                    *previous = previous.take().map(|entry| decrypted(&rules, entry)).transpose()?;
                }
                OperationResult::Delete { previous: entries } | OperationResult::Range { entries } => {
                    *entries = all(&rules, std::mem::take(entries))?;
                }
            }
        }
        Ok(answer)
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        let rules = self.rules.clone();
        Ok(self.inner.watch(request).await?.mapped(Arc::new(move |item| readable(&rules.now(), item))))
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.inner.grant_lease(ttl).await
    }

    async fn renew_lease(&self, id: LeaseId) -> Result<Duration, Error> {
        self.inner.renew_lease(id).await
    }

    async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error> {
        self.inner.revoke_lease(id).await
    }

    async fn lease(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        self.inner.lease(id).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision).await
    }

    async fn snapshot(&self, path: &Path) -> Result<Revision, Error> {
        self.inner.snapshot(path).await
    }

    async fn status(&self) -> Status {
        self.inner.status().await
    }
}
